"""Two options for one goal: the lower convex hull, one price of a joule for all that may come.

The least energy for a mean quality, and the best mean quality for an energy, are a linear program over the shares of
the options. Its solution lies on the upper convex hull of (energy, worth), and mixes two neighbours on it (POET's
result). Where the board changes between regimes (neighbours coming and going), one hull each, the same program over
all of them takes the steps of all hulls in the order of worth per joule: one price for a joule in every regime, and at
most one step taken in part.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import NamedTuple

from msgspec import Struct

from edgehybrid.runtime.control.appraise import Appraised, Row
from edgehybrid.runtime.control.evolve import evolve

_TINY = 1e-12
_FLAT = 0.03  # a step that brings less of the span of quality for each doubling of the energy is not worth it


class Mix(Struct, frozen=True, kw_only=True, gc=False):
    """A time-share of two options.

    Attributes:
        low: The one that takes less.
        high: The other one; the same where one is enough.
        share: Share of the inputs that ``high`` gets, 0 to 1.
        price: Worth of a joule: that of the step taken in part, or of the last one taken; 0 when all are taken.
        reached: Whether the goal can be reached at all.
    """

    low: Appraised
    high: Appraised
    share: float
    price: float
    reached: bool = True

    @property
    def worth(self) -> float:
        """Expected mean quality."""
        return self.low.worth + self.share * (self.high.worth - self.low.worth)

    @property
    def energy_j(self) -> float:
        """Expected mean energy of an input above the idle board."""
        return self.low.energy_j + self.share * (self.high.energy_j - self.low.energy_j)

    def single(self, limit: str) -> Mix:
        """Return one of the two: the better one for a goal of quality, the cheaper one under a limit of energy."""
        one = self.high if limit == "quality" or self.share >= 1.0 else self.low
        return evolve(self, low=one, high=one, share=0.0)


Hull = list[Appraised]


def upper_hull(appraised: Sequence[Appraised], span: float = 0.0) -> Hull:
    """Return the options on the upper convex hull, least energy first, best quality last.

    Args:
        appraised: At least one.
        span: Quality between the worst and the best of the bundle; last steps that bring next to none of it are cut.
    """
    rows = [(one.energy_j, -one.worth, place, one.in_time) for place, one in enumerate(appraised)]
    return [appraised[row[2]] for row in hull_of(rows, span)]


def hull_of(rows: list[Row], span: float = 0.0) -> list[Row]:
    """Return the rows on the upper convex hull; see ``upper_hull``."""
    hull: list[Row] = []
    low_j = low = top_j = top = 0.0  # of the last step but one, and of the last; qualities have their sign turned
    for row in sorted(rows):
        new_j, new, _, _ = row
        if hull and -new <= _TINY - top:
            continue
        while len(hull) > 1:
            if (low - top) * (new_j - low_j) > (low - new) * (top_j - low_j):
                break
            hull.pop()
            top_j, top = low_j, low
            if len(hull) > 1:
                low_j, low = hull[-2][0], hull[-2][1]
        hull.append(row)
        low_j, low, top_j, top = top_j, top, new_j, new
    return _steep(hull, span)


def _steep(hull: list[Row], span: float) -> list[Row]:
    """Leave out the last steps when they bring next to nothing for their energy."""
    kept = len(hull)
    while kept > 1:
        (low_j, low, _, _), (high_j, high, _, _) = hull[kept - 2], hull[kept - 1]
        if (low - high) * low_j >= _FLAT * span * (high_j - low_j):
            break
        kept -= 1
    return hull[:kept]


class Stairs(NamedTuple):
    """The steps of all hulls together, steepest first.

    Attributes:
        steps: Slope, worth, energy in J and regime of each, the first two by the share of the inputs in its regime.
        worth: Mean over the regimes where no step is taken.
        energy_j: The same.
    """

    steps: list[tuple[float, float, float, int]]
    worth: float
    energy_j: float


def stairs_of(hulls: Sequence[tuple[float, Hull]]) -> Stairs:
    """Bring the steps of all hulls in the order in which they are taken.

    Args:
        hulls: Share of the inputs in each regime, and its hull; the present one first.
    """
    total = sum([weight for weight, _ in hulls]) or 1.0
    steps: list[tuple[float, float, float, int]] = []
    worth = energy_j = 0.0
    for regime, (weight, hull) in enumerate(hulls):
        share = weight / total
        low, low_j = hull[0].worth, hull[0].energy_j
        worth += share * low
        energy_j += share * low_j
        for one in hull[1:]:
            high, high_j = one.worth, one.energy_j
            gain, cost = high - low, high_j - low_j
            steps.append((gain / max(_TINY, cost), share * gain, share * cost, regime))
            low, low_j = high, high_j
    steps.sort(key=itemgetter(0), reverse=True)
    return Stairs(steps, worth, energy_j)


def for_worth(hulls: Sequence[tuple[float, Hull]], goal: float) -> Mix:
    """Return what to run in the first regime so that the mean quality over all is ``goal`` at the least energy.

    Args:
        hulls: Share of the inputs in each regime, and its hull; the present one first.
        goal: Mean quality.
    """
    return _climb(stairs_of(hulls), hulls[0][1], goal, measure=1)


def for_energy(hulls: Sequence[tuple[float, Hull]], most_j: float) -> Mix:
    """Return what to run in the first regime for the best mean quality with at most ``most_j`` an input over all."""
    return climb(stairs_of(hulls), hulls[0][1], most_j)


def at_energy(hull: Hull, energy_j: float) -> Mix:
    """Return the two neighbours on one hull that take ``energy_j`` together; its ends beyond them."""
    return climb(stairs_of([(1.0, hull)]), hull, energy_j)


def climb(stairs: Stairs, present: Hull, most_j: float, price: float = 0.0) -> Mix:
    """Take the steps that bring at least ``price`` for a joule, up to a mean energy of ``most_j``.

    Args:
        stairs: Of all regimes.
        present: Hull of the first of them.
        most_j: Mean energy of an input.
        price: Worth of a joule.
    """
    if price > 0.0:
        stairs = stairs._replace(steps=[step for step in stairs.steps if step[0] >= price])
    return _climb(stairs, present, most_j, measure=2)


def _climb(stairs: Stairs, present: Hull, goal: float, measure: int) -> Mix:
    """Take steps, steepest first, until the goal in worth (1) or the limit in energy (2) is met."""
    base = stairs.worth if measure == 1 else stairs.energy_j
    taken, last, slack = 0, 0.0, _TINY * abs(goal)
    for step in stairs.steps:
        slope, size, regime = step[0], step[measure], step[3]
        left = goal - base
        if left <= slack and (measure == 1 or size > slack):  # a step that costs no energy is taken all the same
            return _mix(present, taken, 0.0, slope, reached=measure == 1 or left >= 0)
        if size > max(left, slack if measure == 2 else 0.0):
            part = left / size
            return _mix(present, taken, part if regime == 0 else 0.0, slope)
        base += size
        last = slope
        taken += regime == 0
    reached = measure == 2 or goal - base <= 1e-9 * max(abs(goal), 1.0)
    return _mix(present, taken, 0.0, 0.0 if measure == 2 else last, reached=reached)


def _mix(hull: Hull, taken: int, part: float, price: float, *, reached: bool = True) -> Mix:
    low = hull[taken]
    high = hull[taken + 1] if part > 0 and taken + 1 < len(hull) else low
    return Mix(low=low, high=high, share=part if high is not low else 0.0, price=price, reached=reached)
