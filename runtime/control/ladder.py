"""The points in the order in which the controller steps down."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from edgehybrid.points import OperatingPoint
from edgehybrid.profiles import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """Points to choose from, most energy first.

    Attributes:
        every: All that may run at all; guards may go to its end.
        above_floor: Those above the quality floor; choices stay in it. Never empty.
    """

    every: tuple[OperatingPoint, ...]
    above_floor: tuple[OperatingPoint, ...]

    @property
    def cheapest(self) -> OperatingPoint:
        """The most economical point of all."""
        return self.every[-1]


def build_ladder(points: Iterable[OperatingPoint], policy: Policy, excluded: Collection[str] = ()) -> Ladder | None:
    """Order ``points`` by falling energy.

    The reference is in it only when nothing else is left. When all lose more than the floor allows, the best one stays.

    Returns:
        The ladder, or ``None`` when every point is excluded.
    """
    usable = [point for point in points if point.name not in excluded]
    usable = [point for point in usable if not point.is_reference] or usable
    if not usable:
        return None
    every = tuple(sorted(usable, key=lambda point: -point.energy_mj.value))  # stable: bundle order among equals
    floor = policy.max_drop
    above = tuple(point for point in every if floor is None or point.quality.drop <= floor)
    return Ladder(every=every, above_floor=above or (min(every, key=lambda point: point.quality.drop),))
