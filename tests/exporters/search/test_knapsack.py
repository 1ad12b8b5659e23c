from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgehybrid.exporters.search.knapsack import Choice, Mixture, cheapest, frontier, greedy, mixture, propose

SCHEMES = ("w8", "w8-dyn", "w8a8")


@st.composite
def tables(draw: st.DrawFn) -> tuple[Choice, ...]:
    """Up to four components with up to three schemes each, besides staying float."""
    cells = [(f"c{i}", scheme) for i in range(draw(st.integers(0, 4))) for scheme in SCHEMES]
    kept = [cell for cell in cells if draw(st.booleans())]
    costs, losses = st.floats(-1.0, 0.5), st.one_of(st.just(0.0), st.floats(1e-9, 1.0))
    return tuple(Choice(component=c, scheme=s, cost=draw(costs), loss=draw(losses)) for c, s in kept)


def every(table: tuple[Choice, ...]) -> list[Mixture]:
    """All mixtures there are."""
    names = sorted({choice.component for choice in table})
    rows = [[None, *(c for c in table if c.component == name)] for name in names]
    return [mixture(c for c in picks if c is not None) for picks in itertools.product(*rows)]


@settings(deadline=None)
@given(tables(), st.floats(0.0, 3.0))
def test_the_budget_is_kept_and_nothing_cheaper_exists(table: tuple[Choice, ...], budget: float) -> None:
    """The answer stays in the budget, is as cheap as the best of all mixtures, and never dearer than greedy."""
    best = cheapest(table, budget)
    true = min(m.cost for m in every(table) if m.loss <= budget)

    assert best.loss <= budget
    assert true == pytest.approx(best.cost, abs=1e-5)
    assert best.cost <= greedy(table, budget).cost
    assert greedy(table, budget).loss <= budget


@settings(deadline=None)
@given(tables(), st.lists(st.floats(0.0, 3.0), min_size=2, max_size=5))
def test_a_larger_budget_never_costs_more(table: tuple[Choice, ...], budgets: list[float]) -> None:
    """Costs fall along the frontier, each within its own budget."""
    found = frontier(table, budgets)

    assert sorted((m.cost for m in found), reverse=True) == [m.cost for m in found]
    assert all(m.loss <= budget for m, budget in zip(found, sorted(budgets), strict=True))


@settings(deadline=None)
@given(tables(), st.integers(1, 6), st.randoms(use_true_random=False))
def test_proposals_are_few_different_and_always_the_same(
    table: tuple[Choice, ...], count: int, rng: random.Random
) -> None:
    """No more than asked, no two alike, the same whatever the order of the table; the last is the cheapest of all."""
    shuffled = list(table)
    rng.shuffle(shuffled)
    found = propose(table, count)

    assert found == propose(shuffled, count)
    assert len(found) <= count
    assert len(found) == len({tuple(m.recipe.items()) for m in found})
    if found:
        assert min(m.cost for m in every(table)) == pytest.approx(found[-1].cost, abs=1e-5)


def test_loss_of_any_size_is_understood() -> None:
    """Losses as small as those of float rounding are weighed as well as large ones."""
    table = [Choice(component=f"c{i}", scheme="w8a8", cost=-1.0 - 0.1 * i, loss=1e-9 * (i + 1)) for i in range(4)]

    assert ["c0", "c1", "c3"] == list(cheapest(table, 7.5e-9).recipe)
    assert {} == cheapest(table, 1e-10).recipe
    assert 4 == len(cheapest(table, np.inf).recipe)
