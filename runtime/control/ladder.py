"""The points in the order in which the controller steps down."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from edgehybrid.points import OperatingPoint
from edgehybrid.profiles import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """Points to choose from, best quality first; each costs less energy than those before it.

    Attributes:
        every: All that may run at all: those above the floor, then cheaper ones below it; guards may go to its end.
        above_floor: Those above the quality floor, where ``every`` begins; choices stay in it. Never empty.
    """

    every: tuple[OperatingPoint, ...]
    above_floor: tuple[OperatingPoint, ...]

    @property
    def cheapest(self) -> OperatingPoint:
        """The most economical point of all."""
        return self.every[-1]


def build_ladder(points: Iterable[OperatingPoint], policy: Policy, excluded: Collection[str] = ()) -> Ladder | None:
    """Take those of ``points`` that are worth stepping down to, in their order.

    A point that costs no less than a better one is never chosen by itself (it may be there for its small file). The
    reference is in it only when nothing else is left. When all lose more than the floor allows, the best one stays.

    Args:
        points: Best quality first, as a bundle holds them.
        policy: For its quality floor.
        excluded: Names of points that do not work here.

    Returns:
        The ladder, or ``None`` when every point is excluded.
    """
    usable = [point for point in points if point.name not in excluded]
    usable = [point for point in usable if not point.is_reference] or usable
    if not usable:
        return None
    floor = policy.max_drop
    above = [point for point in usable if floor is None or point.quality.drop <= floor]
    above_floor = _downwards(above or [min(usable, key=lambda point: point.quality.drop)])
    below = [point for point in usable if point not in above]
    return Ladder(every=_downwards((*above_floor, *below)), above_floor=above_floor)


def _downwards(points: Iterable[OperatingPoint]) -> tuple[OperatingPoint, ...]:
    """Keep the points that cost less than every better one."""
    kept: list[OperatingPoint] = []
    for point in points:
        if not kept or point.energy_mj.value < kept[-1].energy_mj.value:
            kept.append(point)
    return tuple(kept)
