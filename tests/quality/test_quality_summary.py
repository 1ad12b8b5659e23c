from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgehybrid.errors import DataError
from edgehybrid.points import Quality
from edgehybrid.quality import Metric, choose_metric, summarize
from edgehybrid.quality.intervals import Scores, student_t, wilson
from edgehybrid.tensors import TensorSpec

Draw = Callable[[np.random.Generator, int], tuple[Scores, Scores]]


def metric_named(name: str) -> Metric:
    """A metric; with labels where it needs them."""
    output = TensorSpec(name="y", dtype="float32", shape=("batch", 3))
    return choose_metric(name, outputs=[output], has_labels=True, label_dtype="int64")


ACCURACY, RMSE, MAE = metric_named("accuracy"), metric_named("rmse"), metric_named("mae")


def test_wilson_as_published() -> None:
    """15 of 148: 0.0624 to 0.1605 (Newcombe 1998, table I, method 3, without continuity correction)."""
    assert (0.0624, 0.1605) == pytest.approx(wilson(15, 148), abs=5e-5)
    assert (0.0, 0.0) == (wilson(0, 20)[0], 1 - wilson(20, 20)[1])


@pytest.mark.parametrize(
    ("freedom", "expected"), [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (9, 2.2622), (29, 2.0452)]
)
def test_student_t_as_tabulated(freedom: int, expected: float) -> None:
    """The 97.5 % quantile, within 0.2 %."""
    assert expected == pytest.approx(student_t(freedom), rel=2e-3)


def _paired_binary(rng: np.random.Generator, n: int) -> tuple[Scores, Scores]:
    draw = rng.choice(4, size=n, p=(0.82, 0.07, 0.02, 0.09))  # both right, lost, won, both wrong
    return np.isin(draw, (0, 2)).astype(float), np.isin(draw, (0, 1)).astype(float)


def _paired_squares(rng: np.random.Generator, n: int) -> tuple[Scores, Scores]:
    error = rng.normal(size=n)
    return (1.2 * error + 0.3 * rng.normal(size=n)) ** 2, error**2


def _paired_amounts(rng: np.random.Generator, n: int) -> tuple[Scores, Scores]:
    candidate, reference = _paired_squares(rng, n)
    return np.sqrt(candidate), np.sqrt(reference)


@pytest.mark.parametrize(
    ("metric", "draw", "n", "truth", "true_drop"),
    [
        (ACCURACY, _paired_binary, 60, 0.84, 0.05),
        (ACCURACY, _paired_binary, 300, 0.84, 0.05),
        (RMSE, _paired_squares, 200, math.sqrt(1.53), math.sqrt(1.53) - 1),
        (MAE, _paired_amounts, 100, math.sqrt(1.53 * 2 / math.pi), (math.sqrt(1.53) - 1) * math.sqrt(2 / math.pi)),
    ],
)
def test_intervals_cover_the_truth(metric: Metric, draw: Draw, n: int, truth: float, true_drop: float) -> None:
    """Of 1,500 simulated evaluations, 93 to 97.5 % of the 95 % intervals hold the true value, and the true loss."""
    rng = np.random.default_rng(11)
    results = [summarize(metric, *draw(rng, n)) for _ in range(1500)]

    def covered(of: Callable[[Quality], tuple[float, float]], true: float) -> float:
        return sum(of(result)[0] <= true <= of(result)[1] for result in results) / len(results)

    assert 0.93 <= covered(lambda result: result.ci95, truth) <= 0.975
    assert 0.93 <= covered(lambda result: result.drop_ci95, true_drop) <= 0.975


def test_pairing_narrows_the_interval_of_the_loss() -> None:
    """The loss of a candidate that errs where the reference errs is known better than either accuracy."""
    candidate, reference = _paired_binary(np.random.default_rng(0), 400)
    result = summarize(ACCURACY, candidate, reference)

    assert result.drop_ci95[1] - result.drop_ci95[0] < result.ci95[1] - result.ci95[0]


@given(candidate=st.lists(st.booleans(), min_size=1, max_size=50), data=st.data())
def test_proportions_hold_together(candidate: list[bool], data: st.DataObject) -> None:
    """Value and loss lie in their intervals, intervals in their ranges; swapping the two turns the sign."""
    n = len(candidate)
    reference = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    ours, theirs = np.array(candidate, float), np.array(reference, float)

    result, swapped = summarize(ACCURACY, ours, theirs), summarize(ACCURACY, theirs, ours)

    assert 0 <= result.ci95[0] <= result.value <= result.ci95[1] <= 1
    assert -1 <= result.drop_ci95[0] <= result.drop <= result.drop_ci95[1] <= 1
    assert (-result.drop, -result.drop_ci95[1]) == pytest.approx((swapped.drop, swapped.drop_ci95[0]))
    assert n == result.n


@given(
    scores=hnp.arrays(np.float64, st.integers(2, 30), elements=st.floats(0, 1e6)),
    factor=st.floats(1.0, 10.0),
)
def test_means_and_roots_hold_together(scores: Scores, factor: float) -> None:
    """Finite, around their values, never below zero for a root; a worse candidate shows a loss."""
    for metric in (RMSE, MAE):
        result = summarize(metric, factor * scores, scores)
        slack = 1e-9 * (1 + result.value)
        assert result.ci95[0] - slack <= result.value <= result.ci95[1] + slack
        assert result.drop_ci95[0] - slack <= result.drop <= result.drop_ci95[1] + slack
        assert result.drop >= -slack
        assert np.isfinite([*result.ci95, *result.drop_ci95]).all()
        assert not result.higher_is_better
    assert summarize(RMSE, scores, scores.copy()).ci95[0] >= 0


@pytest.mark.parametrize("metric", [ACCURACY, RMSE, MAE])
def test_reference_has_no_loss_for_certain(metric: Metric) -> None:
    """The reference against itself: exactly zero; an equal candidate is another matter, for accuracy."""
    scores = np.array([1.0, 0.0, 1.0, 1.0])

    assert (0.0, (0.0, 0.0)) == (
        summarize(metric, scores, scores).drop,
        summarize(metric, scores, scores).drop_ci95,
    )
    if metric is ACCURACY:
        assert summarize(metric, scores, scores.copy()).drop_ci95[1] > 0.1


def test_more_samples_narrow_the_interval() -> None:
    """Four times the samples, about half the width."""
    few = summarize(ACCURACY, np.array([1.0, 0.0] * 50), np.array([1.0, 1.0] * 50))
    many = summarize(ACCURACY, np.array([1.0, 0.0] * 200), np.array([1.0, 1.0] * 200))

    for one, other in ((few.ci95, many.ci95), (few.drop_ci95, many.drop_ci95)):
        assert 0.5 == pytest.approx((other[1] - other[0]) / (one[1] - one[0]), abs=0.03)


def test_error_against_the_float_model_starts_at_zero() -> None:
    """When the reference's error is zero, the loss is the candidate's own error, with its own interval."""
    scores = np.array([0.5, 1.0, 2.0, 1.5])
    result = summarize(RMSE, scores, np.zeros(4))

    assert (result.value, result.ci95) == (result.drop, result.drop_ci95)
    mirrored = summarize(RMSE, np.zeros(4), scores)
    assert (-result.ci95[1], -result.ci95[0]) == mirrored.drop_ci95


def test_positions_use_the_interval_of_a_mean() -> None:
    """Shares between 0 and 1 are no coin flips: Student's t, kept within 0 and 1."""
    result = summarize(ACCURACY, np.array([0.95, 1.0, 1.0]), np.array([1.0, 1.0, 1.0]))

    assert result.ci95[1] == 1.0
    assert result.ci95[0] == pytest.approx(0.9833333 - 4.302653 * 0.0288675 / math.sqrt(3), abs=1e-6)


def test_too_few_samples() -> None:
    """One sample is enough for a proportion, not for a mean; lists of different length are no pairs."""
    one, two = np.array([0.3]), np.array([0.3, 0.4])

    assert 1 == summarize(ACCURACY, np.array([1.0]), np.array([0.0])).n
    with pytest.raises(DataError, match=r"1 samples are too few for mae with an interval. Give at least two"):
        summarize(MAE, one, one)
    with pytest.raises(DataError, match="Score the same samples"):
        summarize(MAE, one, two)
    with pytest.raises(DataError, match="0 samples are too few"):
        summarize(ACCURACY, np.array([]), np.array([]))
