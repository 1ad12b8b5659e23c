from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgehybrid.errors import DataError, RequestError
from edgehybrid.exporters.depth.risk import Promise, Refusal, fixed_sequence, p_values, promise, samples_needed

SHARES = st.floats(0.005, 0.5)


def ones(n: int, count: int) -> NDArray[np.float64]:
    return (np.arange(n) < count).astype(np.float64)[:, None]


def test_losses_of_zero_and_one_have_the_exact_tail() -> None:
    """Two of 100 at 5 %: the chance of two or fewer."""
    tail = sum(math.comb(100, k) * 0.05**k * 0.95 ** (100 - k) for k in range(3))

    assert pytest.approx(tail, rel=1e-9) == p_values(ones(100, 2), 0.05)[0]


def test_bounded_losses_have_the_smaller_of_two_bounds() -> None:
    """Losses of 0.1: Hoeffding's exponent and Bentkus' factor, as published."""
    losses = np.full((60, 1), 0.1)
    distance = 0.1 * math.log(0.1 / 0.3) + 0.9 * math.log(0.9 / 0.7)
    tail = math.e * sum(math.comb(60, k) * 0.3**k * 0.7 ** (60 - k) for k in range(7))

    assert pytest.approx(min(math.exp(-60 * distance), tail), rel=1e-9) == p_values(losses, 0.3)[0]


@given(n=st.integers(5, 300), epsilon=SHARES, data=st.data())
def test_more_losses_prove_less(n: int, epsilon: float, data: st.DataObject) -> None:
    """The p-value never falls with the number of losses, and never with a smaller risk to prove."""
    count = data.draw(st.integers(0, n - 1))

    assert p_values(ones(n, count), epsilon)[0] <= p_values(ones(n, count + 1), epsilon)[0]
    assert p_values(ones(n, count), epsilon)[0] <= p_values(ones(n, count), epsilon / 2)[0]


@given(losses=st.lists(st.sampled_from([0.0, 1.0]), min_size=3, max_size=80), epsilon=SHARES)
def test_one_soft_loss_takes_the_general_bound(losses: list[float], epsilon: float) -> None:
    """The bound for any loss in 0 to 1 is never below the exact one, had the soft loss not occurred."""
    exact = p_values(np.array([*losses, 0.0])[:, None], epsilon)[0]
    bounded = p_values(np.array([*losses, 0.5])[:, None], epsilon)[0]

    assert 0 <= exact <= bounded <= 1


@pytest.mark.parametrize("kind", ["binary", "bounded"])
def test_p_values_are_valid(kind: str) -> None:
    """With the true risk just at the limit, they are below 0.1 in at most a tenth of the draws."""
    draw = np.random.default_rng(1)
    losses: NDArray[np.float64] = (draw.random((80, 4000)) < 0.08).astype(np.float64)
    if kind == "bounded":  # as spread as a loss of this mean can be within 0 and 0.5
        losses = (draw.random((80, 4000)) < 0.16) / 2.0
    wrong = float((p_values(losses, 0.08) <= 0.1).mean())

    assert wrong <= 0.1 + 3 * math.sqrt(0.1 * 0.9 / 4000)


def test_fixed_sequence_stops_at_the_first_failure() -> None:
    """A step behind one that fails is not reached, however good it is."""
    losses = np.concatenate([ones(100, 0), ones(100, 1), ones(100, 30), ones(100, 0)], axis=1)

    assert fixed_sequence(losses, 0.05, 0.1) == 1
    assert fixed_sequence(losses, 0.05, 0.1, starts=(0, 3)) == 3
    assert fixed_sequence(losses[:, 2:], 0.05, 0.1) is None


def test_false_promises_are_rare_whatever_the_steps_share() -> None:
    """Steps on the same rows, their risks growing through the limit: wrong in at most a tenth of 2,000 draws."""
    draw = np.random.default_rng(2)
    steps = np.linspace(0, 0.3, 40)
    wrong = 0
    for _ in range(2000):
        losses = (draw.random((150, 1)) < steps).astype(np.float64)  # the same draw in all: fully correlated
        step = fixed_sequence(losses, 0.1, 0.1)
        wrong += step is not None and steps[step] > 0.1

    assert wrong / 2000 <= 0.1 + 3 * math.sqrt(0.1 * 0.9 / 2000)


def test_samples_needed_without_a_loss() -> None:
    """They are ln(delta) / ln(1 - epsilon), and so many are enough where one less is not."""
    for epsilon, n in ((0.01, 230), (0.02, 114), (0.05, 45)):
        assert n == samples_needed(epsilon, 0.1) == math.ceil(math.log(0.1) / math.log(1 - epsilon))
        assert fixed_sequence(ones(n, 0), epsilon, 0.1) == 0
        assert fixed_sequence(ones(n - 1, 0), epsilon, 0.1) is None


@given(epsilon=st.floats(0.01, 0.3), share=st.one_of(st.just(0.0), st.floats(0.01, 0.8)))
def test_as_many_samples_as_needed_give_the_promise(epsilon: float, share: float) -> None:
    """With the mean loss that was foretold, that number proves the risk."""
    risk = share * epsilon
    n = samples_needed(epsilon, 0.1, risk=risk)

    assert n is not None
    assert n >= samples_needed(epsilon, 0.1)  # type: ignore[operator]  # never None without a loss
    assert 0 == fixed_sequence(ones(n, math.ceil(n * risk)), epsilon, 0.1)


def test_no_number_of_samples_proves_what_is_not_so() -> None:
    """A loss at the limit cannot be promised to be below it."""
    assert samples_needed(0.05, 0.1, risk=0.05) is None


def test_promise_says_what_it_rests_on() -> None:
    """The last step, its risk, its p-value, and the samples."""
    made = promise(np.concatenate([ones(200, 0), ones(200, 2), ones(200, 90)], axis=1), 0.05, 0.1)

    assert isinstance(made, Promise)
    assert (0.05, 0.1, 200, 1, 0.01) == (made.epsilon, made.delta, made.n, made.step, made.risk)
    assert made.p_value <= 0.1


def test_refusal_says_how_many_samples_it_takes() -> None:
    """Too few: the number; too many losses: that no number would do."""
    few, bad = promise(ones(50, 0), 0.01, 0.1), promise(ones(50, 10), 0.01, 0.1)

    assert isinstance(few, Refusal)
    assert isinstance(bad, Refusal)
    assert 230 == few.samples
    assert "230" in few.reason
    assert bad.samples is None
    assert "more samples would not" in bad.reason


def test_later_step_may_be_required() -> None:
    """Where step 0 is worth nothing, only it being proven is a refusal."""
    losses = np.concatenate([ones(100, 0), ones(100, 40)], axis=1)

    assert isinstance(promise(losses, 0.05, 0.1), Promise)
    assert isinstance(promise(losses, 0.05, 0.1, lowest_step=1), Refusal)


@given(st.integers(0, 2**31))
def test_more_data_promises_no_less_on_average(seed: int) -> None:
    """Of 30 draws each, four times the rows go at least as far along the path."""
    draw = np.random.default_rng(seed)
    steps = np.linspace(0, 0.3, 60)

    def reach(n: int) -> float:
        ends = [fixed_sequence((draw.random((n, 1)) < steps).astype(np.float64), 0.1, 0.1) for _ in range(30)]
        return float(np.mean([-1 if end is None else end for end in ends]))

    assert reach(60) <= reach(240)


def test_bad_arguments_are_named() -> None:
    """Losses outside 0 to 1, none at all, shares that are none, starts that do not exist."""
    with pytest.raises(DataError, match="outside 0 to 1"):
        p_values(np.array([[1.5]]), 0.1)
    with pytest.raises(DataError, match="shape"):
        p_values(np.empty((0, 3)), 0.1)
    with pytest.raises(RequestError, match="epsilon is 0"):
        p_values(ones(5, 0), 0.0)
    with pytest.raises(RequestError, match="delta is 1"):
        fixed_sequence(ones(5, 0), 0.1, 1.0)
    with pytest.raises(RequestError, match="not steps"):
        fixed_sequence(ones(5, 0), 0.1, 0.1, starts=(4,))
