"""The oracle's arithmetic is the linear program's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linprog

from edgehybrid.runtime.simulation.mixture import best_over_time, best_within, cheapest_reaching, climb

Floats = NDArray[np.float64]


def made(seed: int, n: int, m: int) -> tuple[Floats, Floats]:
    """Draw options; the last leaves an input out. Some figures are equal, as real ones are."""
    rng = np.random.default_rng(seed)
    worth = np.round(rng.random((n, m)), rng.integers(1, 4))
    energy = np.round(rng.random((n, m)), rng.integers(1, 4)) + 0.01
    worth[:, -1] = energy[:, -1] = 0.0
    return worth, energy


def solved(worth: Floats, energy: Floats, rows: Floats, limits: Floats) -> float:
    """Solve the linear program with scipy: maximize worth, each input's shares sum to one."""
    n, m = worth.shape
    one = np.kron(np.eye(n), np.ones(m))
    weights = np.stack([(energy * row[:, None]).ravel() for row in rows])
    found = linprog(-worth.ravel(), A_ub=weights, b_ub=limits, A_eq=one, b_eq=np.ones(n), bounds=(0, 1))
    assert found.success
    return -float(found.fun)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(2, 6), st.floats(0, 1.2))
def test_one_budget_is_the_linear_program(seed: int, n: int, m: int, share: float) -> None:
    """Cheapest gain first gives scipy's optimum, within the budget."""
    worth, energy = made(seed, n, m)
    budget = share * float(energy.max(axis=1).sum())
    mixture = best_within(climb(worth, energy), budget)
    rows = np.arange(n)

    assert solved(worth, energy, np.ones((1, n)), np.asarray([budget])) == pytest.approx(mixture.worth, abs=1e-7)
    assert mixture.energy <= budget + 1e-9
    assert energy[rows, mixture.choice].sum() <= budget + 1e-9
    assert mixture.worth - worth[rows, mixture.choice].sum() <= worth.max() + 1e-9


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 10), st.integers(2, 6), st.floats(0, 1))
def test_least_energy_for_a_quality_is_the_linear_program(seed: int, n: int, m: int, share: float) -> None:
    """The dual question: no mixture that reaches the worth costs less."""
    worth, energy = made(seed, n, m)
    goal = share * float(worth.max(axis=1).sum())
    mixture = cheapest_reaching(climb(worth, energy), goal)
    one = np.kron(np.eye(n), np.ones(m))
    found = linprog(energy.ravel(), A_ub=-worth.ravel()[None], b_ub=[-goal], A_eq=one, b_eq=np.ones(n), bounds=(0, 1))

    assert mixture.feasible
    assert float(found.fun) == pytest.approx(mixture.energy, abs=1e-7)
    assert worth[np.arange(n), mixture.choice].sum() >= goal - 1e-9


@settings(deadline=None, max_examples=80)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(2, 5), st.integers(1, 5))
def test_budgets_over_time_are_the_linear_program(seed: int, n: int, m: int, periods: int) -> None:
    """Energy that comes over time, and must not be spent before: scipy's optimum again."""
    worth, energy = made(seed, n, m)
    rng = np.random.default_rng(seed + 1)
    period = np.sort(rng.integers(0, periods, n))
    budgets = np.abs(np.cumsum(rng.normal(0.3, 0.5, periods) * n / periods))
    mixture = best_over_time(climb(worth, energy), period, budgets)
    prefixes = np.stack([period <= k for k in range(periods)]).astype(float)
    spent = np.bincount(period, weights=energy[np.arange(n), mixture.choice], minlength=periods).cumsum()

    assert solved(worth, energy, prefixes, budgets) == pytest.approx(mixture.worth, abs=1e-7)
    assert (spent <= budgets + 1e-9).all()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(1, 4))
def test_caps_hold_in_every_period(seed: int, n: int, periods: int) -> None:
    """With caps no period takes more, and the worth is that of the program but for the steps that do not fit whole."""
    worth, energy = made(seed, n, 4)
    rng = np.random.default_rng(seed + 2)
    period = np.sort(rng.integers(0, periods, n))
    budgets, caps = np.full(periods, 0.4 * n), rng.random(periods) * n / periods
    mixture = best_over_time(climb(worth, energy), period, budgets, caps)
    rows = np.vstack([np.stack([period <= k, period == k]) for k in range(periods)]).astype(float)
    limits = np.stack([budgets, caps], axis=1).ravel()
    spent = np.bincount(period, weights=energy[np.arange(n), mixture.choice], minlength=periods)

    assert (spent <= caps + 1e-9).all()
    assert solved(worth, energy, rows, limits) - periods <= mixture.worth <= solved(worth, energy, rows, limits) + 1e-7


def test_what_cannot_be_is_said() -> None:
    """A budget below the cheapest choice is infeasible, and so is a worth that no choice has."""
    steps = climb(np.asarray([[1.0, 2.0]]), np.asarray([[1.0, 2.0]]))

    assert not best_within(steps, 0.5).feasible
    assert not cheapest_reaching(steps, 3.0).feasible
    assert not best_over_time(steps, np.asarray([0]), np.asarray([0.5])).feasible
