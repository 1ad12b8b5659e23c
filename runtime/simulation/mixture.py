"""The best choice for every input under an energy budget: convex hulls, cheapest gain first.

Each input has options with a worth and an energy; the linear program that mixes them under one budget is solved by
taking, over all inputs, the steps along their upper convex hulls in the order of worth per joule. At most one step is
taken in part: every other input runs one option, and the whole is a mixture of two neighbours on the hull, as POET's
two-configuration result says. Budgets that grow with time (a battery that the sun fills) are prefix sums; with a cap
for each period they form a laminar family, for which splitting at the most exceeded prefix is exact (Groenevelt,
"Two algorithms for maximizing a separable concave function over a polymatroid feasible region", 1991).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_TINY = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Steps:
    """Upper convex hulls: where each input starts, and the steps up from there.

    Attributes:
        start: Option of least energy (best of them) of each input, shape ``(n,)``.
        worth: Its worth, shape ``(n,)``.
        energy: Its energy, shape ``(n,)``.
        row: Input of each step, shape ``(k,)``; steps of an input follow each other, steepest first.
        option: Where the step leads.
        gain: Worth that it adds.
        cost: Energy that it adds; above zero.
    """

    start: Ints
    worth: Floats
    energy: Floats
    row: Ints
    option: Ints
    gain: Floats
    cost: Floats

    def only(self, keep: NDArray[np.bool_]) -> Steps:
        """Return the same inputs with some of the steps."""
        return replace(self, row=self.row[keep], option=self.option[keep], gain=self.gain[keep], cost=self.cost[keep])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mixture:
    """A choice for every input.

    Attributes:
        choice: Option of each input, shape ``(n,)``; the step that would be taken in part is left out.
        worth: Sum over all inputs, with the part of that step: the value of the linear program.
        energy: The same of the energy.
        feasible: Whether the constraint can be kept at all.
        price: Worth of a joule: that of the flattest step taken; 0 when every step is.
    """

    choice: Ints
    worth: float
    energy: float
    feasible: bool = True
    price: float = 0.0


def climb(worth: Floats, energy: Floats) -> Steps:
    """Find the hulls.

    Args:
        worth: Shape ``(n, m)``; higher is better.
        energy: Shape ``(n, m)``.
    """
    n = len(worth)
    rows = np.arange(n)
    least = energy.min(axis=1, keepdims=True)
    start = np.where(energy <= least + _TINY, worth, -np.inf).argmax(axis=1)
    at, found = start.copy(), []
    active = rows
    while len(active):
        here_w, here_e = worth[active, at[active]][:, None], energy[active, at[active]][:, None]
        gain, cost = worth[active] - here_w, energy[active] - here_e
        ahead = (gain > _TINY) & (cost > _TINY)
        slope = np.where(ahead, gain / np.where(ahead, cost, 1.0), -np.inf)
        best = slope.max(axis=1, keepdims=True)
        reach = np.where(slope >= best * (1 - 1e-12), cost, -np.inf)  # the farthest of equal slopes
        target = np.where(np.isfinite(best[:, 0]), reach.argmax(axis=1), -1)
        moving = target >= 0
        active, target = active[moving], target[moving]
        if len(active):
            picked = np.flatnonzero(moving)
            found.append((active, target, gain[picked, target], cost[picked, target]))
            at[active] = target
    row, option = (np.concatenate([np.empty(0, np.int64), *(part[k] for part in found)]) for k in (0, 1))
    gain, cost = (np.concatenate([np.empty(0), *(part[k] for part in found)]) for k in (2, 3))
    order = np.argsort(row, kind="stable")
    return Steps(
        start=start,
        worth=worth[rows, start],
        energy=energy[rows, start],
        row=row[order],
        option=option[order],
        gain=gain[order],
        cost=cost[order],
    )


def best_within(steps: Steps, budget: float) -> Mixture:
    """Maximize the worth within an energy budget."""
    left = budget - float(steps.energy.sum())
    if left < 0:
        return Mixture(
            choice=steps.start, worth=float(steps.worth.sum()), energy=float(steps.energy.sum()), feasible=False
        )
    return _take(steps, steps.cost, left)


def cheapest_reaching(steps: Steps, goal: float) -> Mixture:
    """Minimize the energy such that the worth of all inputs together reaches ``goal``."""
    missing = goal - float(steps.worth.sum())
    mixture = _take(steps, steps.gain, max(missing, 0.0), whole=True)
    return replace(mixture, feasible=mixture.worth >= goal - 1e-9 * max(abs(goal), 1.0))


def best_over_time(steps: Steps, period: Ints, budgets: Floats, caps: Floats | None = None) -> Mixture:
    """Maximize the worth where energy comes over time.

    Args:
        steps: Hulls.
        period: Period of each input, rising, shape ``(n,)``.
        budgets: Energy that all inputs up to and with each period may take together, shape ``(periods,)``.
        caps: Most energy in each period alone, shape ``(periods,)``.
    """
    if caps is not None:
        steps = _capped(steps, period, caps)
    reachable = np.minimum.accumulate(budgets[::-1])[::-1]  # what must be left later cannot be spent before
    starts: Floats = np.bincount(period, weights=steps.energy, minlength=len(budgets)).astype(np.float64)
    taken = np.zeros(len(steps.row), dtype=np.bool_)
    part_worth, part_energy, feasible = _divide(steps, period, reachable, starts, taken)
    choice = steps.start.copy()
    choice[steps.row[taken]] = steps.option[taken]  # later steps of an input come later
    return Mixture(
        choice=choice,
        worth=float(steps.worth.sum() + steps.gain[taken].sum()) + part_worth,
        energy=float(steps.energy.sum() + steps.cost[taken].sum()) + part_energy,
        feasible=feasible,
        price=_price(steps, taken),
    )


def _price(steps: Steps, taken: NDArray[np.bool_]) -> float:
    slopes = steps.gain / steps.cost
    if taken.all():
        return 0.0
    return float(slopes[taken].min()) if taken.any() else float(slopes.max())


def _divide(
    steps: Steps, period: Ints, budgets: Floats, starts: Floats, taken: NDArray[np.bool_]
) -> tuple[float, float, bool]:
    """Mark the steps to take; return worth and energy of those taken in part, and whether it is feasible."""
    of_step = period[steps.row]
    order = _steepest(steps)
    parts_worth = parts_energy = 0.0
    feasible = True
    pending = [(0, len(budgets), 0.0)]
    while pending:
        first, end, before = pending.pop()
        mine = order[(of_step[order] >= first) & (of_step[order] < end)]
        left = budgets[end - 1] - before - starts[first:end].sum()
        feasible = feasible and left >= -1e-9 * max(1.0, abs(budgets[end - 1]))
        full = np.cumsum(steps.cost[mine]) <= max(left, 0.0) + _TINY
        chosen, rest = mine[full], mine[~full]
        spent = starts[first:end] + np.bincount(
            of_step[chosen] - first, weights=steps.cost[chosen], minlength=end - first
        )
        share = 0.0
        if len(rest):
            share = max(left - float(steps.cost[chosen].sum()), 0.0) / float(steps.cost[rest[0]])
            spent[of_step[rest[0]] - first] += share * float(steps.cost[rest[0]])
        over = before + np.cumsum(spent) - budgets[first:end]
        worst = int(over.argmax())
        if worst < end - first - 1 and over[worst] > 1e-9 * max(1.0, abs(budgets[first + worst])):
            cut = first + worst + 1
            pending += [
                (first, cut, before),
                (cut, end, float(max(budgets[cut - 1], before + starts[first:cut].sum()))),
            ]
            continue
        taken[chosen] = True
        if len(rest):
            parts_worth += share * float(steps.gain[rest[0]])
            parts_energy += share * float(steps.cost[rest[0]])
    return parts_worth, parts_energy, feasible


def _capped(steps: Steps, period: Ints, caps: Floats) -> Steps:
    """Keep in each period the steepest steps within its cap; the one that does not fit is left out."""
    of_step = period[steps.row]
    starts = np.bincount(period, weights=steps.energy, minlength=len(caps))
    order = _steepest(steps)
    order = order[np.argsort(of_step[order], kind="stable")]
    total = np.cumsum(steps.cost[order])
    periods = of_step[order]
    first = np.searchsorted(periods, np.arange(len(caps)))
    base = np.concatenate(([0.0], total))[first]
    keep = np.zeros(len(steps.row), dtype=np.bool_)
    keep[order] = total - base[periods] <= (caps - starts)[periods] + _TINY
    return steps.only(keep)


def _steepest(steps: Steps) -> Ints:
    """Order of the steps by worth per joule; those of one input stay in their order."""
    return np.argsort(-steps.gain / steps.cost, kind="stable")


def _take(steps: Steps, weight: Floats, limit: float, *, whole: bool = False) -> Mixture:
    """Take the steepest steps until their weights reach ``limit``; ``whole`` also takes the last in its choice."""
    order = _steepest(steps)
    weights = weight[order]
    total = np.cumsum(weights)
    count = int(np.searchsorted(total, limit + _TINY, side="right"))
    taken = order[:count]
    worth = float(steps.worth.sum() + steps.gain[taken].sum())
    energy = float(steps.energy.sum() + steps.cost[taken].sum())
    choice = steps.start.copy()
    shown = taken
    if count < len(order):
        last = order[count]
        share = (limit - float(total[count - 1] if count else 0.0)) / float(weights[count])
        worth, energy = worth + share * float(steps.gain[last]), energy + share * float(steps.cost[last])
        shown = order[: count + 1] if whole and share > 0 else taken
    shown = np.sort(shown)
    choice[steps.row[shown]] = steps.option[shown]
    chosen = np.zeros(len(order), dtype=np.bool_)
    chosen[shown] = True
    return Mixture(choice=choice, worth=worth, energy=energy, price=_price(steps, chosen))
