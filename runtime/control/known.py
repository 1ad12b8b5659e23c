"""What stays the same from decision to decision: which options there are at all, at each level of the ladder."""

from __future__ import annotations

from collections.abc import Sequence

from edgehybrid.points import OperatingPoint
from edgehybrid.profiles import DeviceProfile, Policy
from edgehybrid.runtime.control.appraise import Menu
from edgehybrid.runtime.control.ladder import Ladder
from edgehybrid.runtime.control.options import Option, Options, worth
from edgehybrid.runtime.control.thermal import HeatPole

_ROUNDING = 1e-9
_LEAST_SPAN = 0.05  # of the best quality, for bundles whose points hardly differ


class Known:
    """The options of a bundle on a board, less those that may not be chosen.

    Args:
        options: Of the bundle.
        ladder: The points that are worth stepping down to.
        device: The board.
        policy: What the owner wants.
        poles: Of the board.
        excluded: Points that do not work here.
        reference: Whether the float reference is a point as the others.
    """

    def __init__(
        self,
        options: Options,
        ladder: Ladder,
        device: DeviceProfile,
        policy: Policy,
        poles: tuple[HeatPole, ...],
        excluded: frozenset[str],
        *,
        reference: bool,
    ) -> None:
        self.ladder, self.device, self.policy, self.poles = ladder, device, policy, poles
        best = max(o.worth for o in options.every)
        self.span = max(options.span[0], _LEAST_SPAN * abs(best))
        self.points = {point.name: point for point in options.points}
        self.ranks = {point.name: rank for rank, point in enumerate(options.points)}
        usable = [o for o in options.every if o.point not in excluded]
        usable = [o for o in usable if reference or not o.reference] or usable
        floor, names = policy.max_drop, {point.name for point in ladder.above_floor}
        self.options = options
        above = usable if floor is None else self._within(usable, floor)
        self._every = above or [o for o in usable if o.point in names and not o.scalar]
        self._kept: dict[tuple[int, float | None, float, int], Menu] = {}
        self.cheapest = min(usable, key=lambda o: o.energy_j)  # perhaps a better point, its exits wide open

    def skipped_worth(self, late_worth: float) -> float:
        """Return what an input is worth that is left out: what the policy says, else as a late one."""
        said = self.policy.duty.skipped_quality
        return late_worth if said is None else worth(self.options.points[0].quality, said)

    def allowed(self, level: int, max_drop: float | None, exit_scalar: float, cores: float | None) -> Menu:
        """Return the options that take no more energy than the point at ``level`` of the ladder.

        Args:
            level: 0 is the best.
            max_drop: A stricter floor; the best options stay where it leaves none.
            exit_scalar: Options of points with exits have at least this one.
            cores: That this process may use; ``None`` when nobody knows.
        """
        most = 1_000_000 if cores is None else max(int(cores), 1)
        key = level, max_drop, exit_scalar, most
        if key not in self._kept:
            moved = (
                o if (o.scalar or 0.0) >= exit_scalar else self.options.at(o, exit_scalar)
                for o in self._of_level(level)
            )
            kept = list(dict.fromkeys(moved))
            kept = kept if max_drop is None else self._within(kept, max_drop) or kept
            kept = _or(kept, [o for o in kept if o.threads <= most])
            self._kept[key] = Menu(kept or self._of_level(level))
        return self._kept[key]

    def _within(self, options: Sequence[Option], floor: float) -> list[Option]:
        """Return those that keep a floor of the drop, with their exits as far back as it asks."""
        kept = (self.options.within(o, floor) for o in options)
        return list(dict.fromkeys(o for o in kept if o is not None))

    def _of_level(self, level: int) -> list[Option]:
        if level == 0:
            return self._every
        top = self.ladder.above_floor[level]
        mine = [o for o in self._every if o.point == top.name]
        most_j = max(o.energy_j for o in [o for o in mine if o.threads_index == 0] or mine)
        return [o for o in self._every if o.energy_j <= most_j * (1.0 + _ROUNDING)]


def accelerated(points: Sequence[OperatingPoint]) -> frozenset[str]:
    """Return the points that need an accelerator."""
    return frozenset(point.name for point in points if point.accelerators)


def _or(all_: list[Option], some: list[Option]) -> list[Option]:
    return some or all_
