"""What a joule is worth while nobody knows how many there are.

Quality rises ever more slowly with energy, so a joule that is spent on a flat step today may be missing for a steep one
tomorrow. The best price today is the mean of tomorrow's prices over what the budget may turn out to be (the shadow
price of a stochastic program is a martingale; Rockafellar and Wets, Mathematical Programming Study 6, 1976):

    price = sum w_q · slope of the steps at (mean + z_q · sd)

with the nodes z_q and weights w_q of Gauss and Hermite. Below the cheapest options inputs go unanswered: there a joule
is worth as many answers as it buys. Steps that bring less than the price are left for the day when more is known.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgehybrid.runtime.control.hull import Hull, Mix, Stairs, climb, stairs_of

_NODES = (
    (-2.8569700138728056, 0.0112574113277207),
    (-1.3556261799742659, 0.2220759220056126),
    (0.0, 8.0 / 15.0),
    (1.3556261799742659, 0.2220759220056126),
    (2.8569700138728056, 0.0112574113277207),
)
_TINY = 1e-12


def in_doubt(hulls: Sequence[tuple[float, Hull]], most_j: float, doubt_j: float, unanswered: float) -> Mix:
    """Return what to run in the first regime on a budget of ``most_j`` an input that is known with an error.

    Args:
        hulls: Share of the inputs in each regime, and its hull; the present one first.
        most_j: Expected budget, in J.
        doubt_j: Its standard deviation.
        unanswered: Worth of an input that is not run.
    """
    stairs = stairs_of(hulls)
    price = expected_price(stairs, most_j, doubt_j, unanswered) if doubt_j > 0.0 else 0.0
    return climb(stairs, hulls[0][1], most_j, price)


def expected_price(stairs: Stairs, mean_j: float, sd_j: float, unanswered: float) -> float:
    """Return the worth of a joule for a budget of ``mean_j`` an input that is known with the error ``sd_j``."""
    steps, least_j = stairs.steps, stairs.energy_j
    scarce = max((stairs.worth - unanswered) / max(least_j, _TINY), steps[0][0] if steps else 0.0, 0.0)
    price, walked_j, k, count = 0.0, least_j, 0, len(steps)
    for z, weight in _NODES:  # from the smallest budget to the largest, so that the steps are walked once
        budget_j = mean_j + z * sd_j
        if budget_j < least_j:
            price += weight * scarce
            continue
        while k < count and budget_j >= walked_j + steps[k][2]:
            walked_j += steps[k][2]
            k += 1
        if k == count:
            break
        price += weight * steps[k][0]
    return price
