"""What a joule is worth while nobody knows how many there are.

Quality rises ever more slowly with energy, so a joule that is spent on a flat step today may be missing for a steep one
tomorrow. The best price today is the mean of tomorrow's prices over what the budget may turn out to be (the shadow
price of a stochastic program is a martingale; Rockafellar and Wets, Mathematics of Operations Research 1976):

    price = sum w_q · slope of the hulls at (mean + z_q · sd)

with the nodes z_q and weights w_q of Gauss and Hermite. Below the cheapest options inputs go unanswered: there a joule
is worth as many answers as it buys. Steps that bring less than the price are left for the day when more is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from edgehybrid.runtime.control.hull import Hull

_NODES = ((0.0, 8.0 / 15.0), (1.3556261799742659, 0.2220759220056126), (2.8569700138728056, 0.0112574113277207))
_TINY = 1e-12


def expected_price(hulls: Sequence[tuple[float, Hull]], mean_j: float, sd_j: float, unanswered: float) -> float:
    """Return the worth of a joule for a budget of ``mean_j`` an input that is known with the error ``sd_j``.

    Args:
        hulls: Share of the inputs in each regime, and its hull.
        mean_j: Energy of an input, in J.
        sd_j: Standard deviation of it.
        unanswered: Worth of an input that is not run.
    """
    total = sum(weight for weight, _ in hulls) or 1.0
    steps = sorted(
        ((b.worth - a.worth) / max(b.energy_j - a.energy_j, _TINY), weight * (b.energy_j - a.energy_j) / total)
        for weight, hull in hulls
        for a, b in pairwise(hull)
    )
    least_j = sum(weight * hull[0].energy_j for weight, hull in hulls) / total
    worth = sum(weight * hull[0].worth for weight, hull in hulls) / total
    scarce = max((worth - unanswered) / max(least_j, _TINY), steps[-1][0] if steps else 0.0, 0.0)
    price = 0.0
    for z, weight in _NODES:
        for budget_j in (mean_j - z * sd_j, mean_j + z * sd_j) if z else (mean_j,):
            price += weight * _slope_at(steps, budget_j - least_j, scarce)
    return price


def steeper(hull: Hull, price: float) -> Hull:
    """Return the part of a hull whose steps bring at least ``price`` for a joule."""
    kept = 1
    while kept < len(hull):
        a, b = hull[kept - 1], hull[kept]
        if b.worth - a.worth < price * (b.energy_j - a.energy_j):
            break
        kept += 1
    return hull[:kept]


def _slope_at(steps: Sequence[tuple[float, float]], left_j: float, scarce: float) -> float:
    """Return the slope of the step that is taken when ``left_j`` may be spent on them, the steepest first."""
    if left_j < 0.0:
        return scarce
    for slope, size_j in reversed(steps):
        if left_j < size_j:
            return slope
        left_j -= size_j
    return 0.0
