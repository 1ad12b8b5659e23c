"""One choice for each component: least cost within a budget of loss. Pure: a table in, mixtures out.

Costs and losses of the components are taken to add up. They nearly do; what they really come to is measured when the
mixture is built.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

KEEP = "fp32"
"""The choice that every component has: no cost, no loss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One scheme for one component.

    Attributes:
        component: Name.
        scheme: Name.
        cost: What it adds; negative where it saves.
        loss: What it adds, 0 or more.
    """

    component: str
    scheme: str
    cost: float
    loss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """A scheme for every component (those that stay float are not named), with the sums of cost and loss."""

    recipe: Mapping[str, str]
    cost: float
    loss: float


def mixture(choices: Iterable[Choice]) -> Mixture:
    """Add up; the order of the components does not matter."""
    taken = sorted((c for c in choices if c.scheme != KEEP), key=lambda c: c.component)
    return Mixture(
        recipe={c.component: c.scheme for c in taken}, cost=sum(c.cost for c in taken), loss=sum(c.loss for c in taken)
    )


def cheapest(table: Sequence[Choice], budget: float) -> Mixture:
    """Return the mixture of least cost whose loss is at most ``budget``.

    Exact up to the solver's tolerance; and never over the budget, nor dearer than ``greedy``, by no tolerance at all.

    Args:
        table: Choices; components and schemes in any order, each pair once.
        budget: 0 or more; infinite is allowed.
    """
    options = _options(table, budget)
    fallback = greedy(table, budget)
    if not options:
        return fallback
    best = _solve(options, budget)
    return best if best is not None and best.loss <= budget and best.cost < fallback.cost else fallback


def greedy(table: Sequence[Choice], budget: float) -> Mixture:
    """Take, as long as the budget lasts, the change that saves most for its loss."""
    taken: dict[str, Choice] = {}
    while True:
        left = budget - mixture(taken.values()).loss
        steps = []
        for choice in table:
            now = taken.get(choice.component)
            saves = (now.cost if now else 0.0) - choice.cost
            costs = choice.loss - (now.loss if now else 0.0)
            if saves > 0.0 and costs <= left:
                worth = saves / costs if costs > 0.0 else np.inf
                steps.append((worth, saves, choice.component, choice.scheme, choice))
        if not steps:
            return _within(taken, budget)
        step = max(steps, key=lambda item: item[:4])[4]
        taken[step.component] = step


def _within(taken: Mapping[str, Choice], budget: float) -> Mixture:
    """What was taken; without the least useful where sums in another order go over the budget by a rounding."""
    kept = sorted(taken.values(), key=lambda c: c.cost)
    while kept and mixture(kept).loss > budget:
        kept.pop()
    return mixture(kept)


def frontier(table: Sequence[Choice], budgets: Iterable[float]) -> tuple[Mixture, ...]:
    """Return the cheapest mixture for each budget, smallest budget first; a larger budget never costs more."""
    found: list[Mixture] = []
    for budget in sorted(budgets):
        best = cheapest(table, budget)
        found.append(found[-1] if found and found[-1].cost <= best.cost else best)
    return tuple(found)


def propose(table: Sequence[Choice], count: int, *, steps: int = 24) -> tuple[Mixture, ...]:
    """Return up to ``count`` different mixtures along the frontier, least loss first.

    The budgets are spread by equal ratios from the smallest loss in the table to that of the cheapest mixture; of the
    mixtures that come out, the ends stay, and those between that leave the smallest gaps in cost.
    """
    if count < 1:
        return ()
    most = cheapest(table, np.inf)
    least = min((c.loss for c in table if c.loss > 0.0 and c.cost < 0.0), default=0.0)
    budgets = [0.0, most.loss]
    if 0.0 < least < most.loss:
        budgets += [float(b) for b in np.geomspace(least, most.loss, steps)[:-1]]
    distinct = [next(same) for _, same in groupby(frontier(table, budgets), key=lambda m: tuple(m.recipe.items()))]
    return _spread([m for m in distinct if m.recipe], count)


def _spread(found: Sequence[Mixture], count: int) -> tuple[Mixture, ...]:
    if len(found) <= count:
        return tuple(found)
    chosen = {len(found) - 1} if count == 1 else {0, len(found) - 1}
    while len(chosen) < count:
        rest = [index for index in range(len(found)) if index not in chosen]
        gaps = {i: min(abs(found[i].cost - found[other].cost) for other in chosen) for i in rest}
        chosen.add(max(rest, key=lambda index: (gaps[index], -index)))
    return tuple(found[index] for index in sorted(chosen))


def _options(table: Sequence[Choice], budget: float) -> list[Choice]:
    """What could be part of an answer, with the choice to keep float beside it, in an order of its own."""
    useful = [c for c in table if c.scheme != KEEP and c.loss <= budget and c.cost < 0.0]
    keeps = [Choice(component=name, scheme=KEEP, cost=0.0, loss=0.0) for name in {c.component for c in useful}]
    return sorted((*useful, *keeps), key=lambda c: (c.component, c.scheme))


def _solve(options: Sequence[Choice], budget: float) -> Mixture | None:
    names = sorted({c.component for c in options})
    one_each = np.array([[float(c.component == name) for c in options] for name in names])
    constraints = [LinearConstraint(one_each, 1.0, 1.0)]
    largest = sum(c.loss for c in options)
    if budget < largest:
        scale = budget or 1.0  # near one, where the solver's tolerance means something
        losses = np.array([[c.loss / scale for c in options]])
        constraints.append(LinearConstraint(losses, -np.inf, budget / scale))
    costs = np.array([c.cost for c in options])
    unit = float(np.abs(costs).max()) or 1.0
    answer = milp(
        costs / unit,
        constraints=constraints,
        integrality=np.ones(len(options)),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 0.0, "time_limit": 5.0},
    )
    if answer.x is None:
        return None
    return mixture(choice for choice, taken in zip(options, answer.x, strict=True) if taken > 0.5)
