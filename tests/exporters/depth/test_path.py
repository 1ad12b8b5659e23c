from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgehybrid.errors import DataError, RequestError
from edgehybrid.exporters.depth.path import (
    NEVER,
    Certified,
    Path,
    certify,
    certify_between,
    depths,
    exit_shares,
    fit_path,
    losses_along,
    make_exits,
    mean_cost,
    predict_failure,
)
from edgehybrid.exporters.depth.risk import Refusal

Floats = NDArray[np.float64]
COSTS = (0.3, 0.6, 1.0)
UNIT = st.floats(0, 1, width=32)


def chain(n: int, draw: np.random.Generator, *, exits: int = 2) -> tuple[Floats, Floats]:
    """Confidences and losses of rows that are hard at every exit or at none: strongly correlated."""
    hard = draw.standard_normal((n, 1))
    sure = 2.0 - hard + draw.standard_normal((n, exits)) * 0.7 - np.linspace(1.5, 0, exits)
    losses = (draw.random((n, exits)) < 1 / (1 + np.exp(2 * sure))).astype(np.float64)
    return 1 / (1 + np.exp(-sure)), losses


@st.composite
def rows(draw: st.DrawFn) -> tuple[Floats, Floats]:
    """Any confidences, with NaN, and any losses."""
    n, exits = draw(st.integers(1, 25)), draw(st.integers(1, 3))
    confidence = st.one_of(UNIT, st.sampled_from([0.0, 1.0, math.nan]))
    cells = n * exits
    confidences = draw(st.lists(confidence, min_size=cells, max_size=cells))
    losses = draw(st.lists(st.one_of(UNIT, st.sampled_from([0.0, 1.0])), min_size=cells, max_size=cells))
    return np.reshape(confidences, (n, exits)), np.reshape(losses, (n, exits))


def costs_of(exits: int) -> Sequence[float]:
    return [float(cost) for cost in np.linspace(0.3, 1, exits + 1)]


@given(rows())
def test_failure_falls_with_confidence(data: tuple[Floats, Floats]) -> None:
    """Predicted failure stays in 0 to 1 and never rises; an answer of NaN fails."""
    failure = predict_failure(data[0][:, 0], data[1][:, 0])
    predicted = failure(np.linspace(0, 1, 50))

    assert (np.diff(predicted) <= 1e-12).all()
    assert ((predicted >= 0) & (predicted <= 1)).all()
    assert failure(np.array([np.nan]))[0] == 1


def test_failure_follows_the_losses() -> None:
    """Surer than 0.5 never fails, less sure always: 1 below, 0 above; between two pools, in between."""
    confidence = np.linspace(0, 1, 101)
    failure = predict_failure(confidence, (confidence < 0.5).astype(np.float64))

    assert pytest.approx(1, abs=0.02) == failure(np.array([0.1]))[0]
    assert pytest.approx(0, abs=0.02) == failure(np.array([0.9]))[0]


@settings(max_examples=60)
@example((np.array([[0.0], [0.0], [0.0], [2.0**-126], [math.nan], [math.nan]]), np.zeros((6, 1))))
@given(rows())
def test_thresholds_never_rise(data: tuple[Floats, Floats]) -> None:
    """Along the path every exit's threshold falls or stays; at its start nothing leaves early."""
    confidences, losses = data
    path = fit_path(confidences, losses, costs_of(losses.shape[1]))
    table = np.array([path.thresholds(u) for u in np.linspace(0, 1, 203)])

    assert (np.diff(table, axis=0) <= 0).all()
    assert (table[0] == NEVER).all()
    assert (depths(path.thresholds(0), confidences) == losses.shape[1]).all()


@settings(max_examples=60)
@given(rows())
def test_cost_never_rises_along_the_path(data: tuple[Floats, Floats]) -> None:
    """Lower thresholds mean earlier answers, on any rows."""
    confidences, losses = data
    costs = costs_of(losses.shape[1])
    path = fit_path(confidences, losses, costs)
    cost = [mean_cost(path, u, confidences[::-1], costs) for u in np.linspace(0, 1, 50)]

    assert (np.diff(cost) <= 1e-12).all()


@settings(max_examples=60)
@given(rows())
def test_nan_never_leaves(data: tuple[Floats, Floats]) -> None:
    """A row of NaN takes the full depth, wherever on the path, and loses nothing."""
    confidences, losses = data
    path = fit_path(confidences, losses, costs_of(losses.shape[1]))
    nothing = np.full_like(confidences, np.nan)

    assert (depths(path.thresholds(1), nothing) == losses.shape[1]).all()
    assert not losses_along(path, np.linspace(0, 1, 5), nothing, losses).any()


def test_row_leaves_at_the_first_exit_that_is_sure() -> None:
    """And loses what that exit loses; at full depth nothing."""
    path = Path(knots=np.array([[NEVER, NEVER], [0.5, 0.5]]))
    confidences = np.array([[0.6, 0.9], [0.4, 0.9], [0.4, 0.4]])
    losses = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])

    assert [0, 1, 2] == depths(path.thresholds(1), confidences).tolist()
    assert [0.1, 0.4, 0.0] == losses_along(path, np.array([1.0]), confidences, losses)[:, 0].tolist()
    assert pytest.approx((0.3 + 0.6 + 1.0) / 3) == mean_cost(path, 1.0, confidences, COSTS)
    assert [1 / 3] * 3 == exit_shares(path, 1.0, confidences).tolist()


def test_useless_exit_stays_shut() -> None:
    """An exit that fails at random and saves next to nothing is not opened before the good one is used up."""
    draw = np.random.default_rng(0)
    confidences, losses = chain(400, draw)
    confidences[:, 1], losses[:, 1] = draw.random(400), (draw.random(400) < 0.5).astype(np.float64)
    path = fit_path(confidences, losses, (0.3, 0.95, 1.0))

    assert path.thresholds(0.5)[0] < 1
    assert path.thresholds(0.5)[1] > 0.95


def test_path_costs_no_more_than_one_exit_alone() -> None:
    """At the same proven risk, both exits together are cheaper than either (mean over 20 draws)."""
    draw = np.random.default_rng(3)
    found: list[list[float]] = []
    for _ in range(20):
        (confidences, losses), test, fresh = chain(300, draw), chain(300, draw), chain(4000, draw)
        cost = []
        for shut in (None, 0, 1):
            fitting = confidences.copy()
            if shut is not None:
                fitting[:, shut] = np.nan
            path = fit_path(fitting, losses, COSTS)
            result = certify(path, *test, 0.05, 0.1)
            cost.append(mean_cost(path, 0 if isinstance(result, Refusal) else result.u, fresh[0], COSTS))
        found.append(cost)
    both, second, first = np.mean(found, axis=0)

    assert both < min(first, second)


@pytest.mark.parametrize("n", [60, 200])
def test_promise_holds(n: int) -> None:
    """Over 200 draws of rows, correlated between the exits, the true risk is above it in at most a tenth."""
    draw = np.random.default_rng(n)
    truth = chain(20_000, draw)
    wrong, epsilon, delta = 0, 0.05, 0.1
    for _ in range(200):
        path = fit_path(*chain(80, draw), COSTS)
        result = certify(path, *chain(n, draw), epsilon, delta)
        if isinstance(result, Certified):
            wrong += losses_along(path, np.array([result.u]), *truth).mean() > epsilon

    assert wrong / 200 <= delta + 3 * math.sqrt(delta * (1 - delta) / 200)


def test_larger_risk_goes_further() -> None:
    """The place never falls from a strict promise to a lenient one, and each carries its own."""
    draw = np.random.default_rng(5)
    path = fit_path(*chain(200, draw), COSTS)
    found = certify_between(path, *chain(400, draw), (0.02, 0.1), 0.1)

    assert not isinstance(found, Refusal)
    assert sorted(place.u for place in found) == [place.u for place in found]
    assert pytest.approx(np.linspace(0.02, 0.1, 9)) == [place.promise.epsilon for place in found]
    assert all(place.promise.risk <= place.promise.epsilon for place in found)


def test_too_few_rows_are_refused_with_the_number() -> None:
    """Fewer rows than a promise without one loss takes: how many it takes."""
    draw = np.random.default_rng(6)
    path = fit_path(*chain(100, draw), COSTS)
    refused = certify_between(path, *chain(100, draw), (0.01, 0.05), 0.1)

    assert isinstance(refused, Refusal)
    assert refused.samples is not None
    assert refused.samples >= 230


def test_exits_run_from_the_strict_to_the_lenient_place() -> None:
    """Scalar 0 is the first place, 1 the last; thresholds never rise; quantiles are those of the rows given."""
    draw = np.random.default_rng(7)
    path, (confidences, _) = fit_path(*chain(200, draw), COSTS), chain(300, draw)
    exits = make_exits(path, ["part-1", "part-2"], confidences, np.linspace(0.2, 0.6, 9).tolist())

    for i, found in enumerate(exits.values()):
        assert pytest.approx(path.thresholds(0.2)[i]) == found.threshold(0)
        assert pytest.approx(path.thresholds(0.6)[i]) == found.threshold(1)
        assert sorted(found.thresholds, reverse=True) == list(found.thresholds)
        assert pytest.approx(np.median(confidences[:, i])) == found.quantiles[10]


def test_bad_arguments_are_named() -> None:
    """Shapes that differ, a cost too few, places in the wrong order."""
    path = Path(knots=np.array([[NEVER], [0.5]]))
    with pytest.raises(DataError, match="shape"):
        fit_path(np.zeros((3, 2)), np.zeros((3, 1)), COSTS)
    with pytest.raises(RequestError, match="costs"):
        fit_path(np.zeros((3, 1)), np.zeros((3, 1)), COSTS)
    with pytest.raises(RequestError, match="Places"):
        make_exits(path, ["part-1"], np.zeros((3, 1)), [0.5, 0.2])
