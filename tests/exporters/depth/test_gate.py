from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from edgehybrid.bundle import GateInfo
from edgehybrid.errors import DataError
from edgehybrid.exporters.depth.gate import (
    answers_differ,
    calibrate_gate,
    disturb,
    pair_distances,
    safe_distance,
    typical_deviations,
)
from edgehybrid.exporters.depth.risk import Refusal
from edgehybrid.runtime.execution import gate_distance

Floats = NDArray[np.float64]
SCALES = {"x": 1.0}


def gate(distances: Floats, differ: Floats, epsilon: float = 0.05) -> GateInfo | Refusal:
    return calibrate_gate(distances, differ, SCALES, epsilon=epsilon, delta=0.1, pairs="disturbed")


def test_answers_hold_up_to_where_they_begin_to_differ() -> None:
    """Pairs nearer than 0.5 never differ, others always: the threshold is just at that, over the pairs within."""
    distances = np.linspace(0, 1, 401)
    found = gate(distances, (distances > 0.5).astype(np.float64))

    assert isinstance(found, GateInfo)
    assert pytest.approx(0.5, abs=0.03) == found.threshold
    assert (0.05, 0.1, "disturbed", SCALES) == (found.epsilon, found.delta, found.pairs, found.scales)
    assert found.n == (distances <= found.threshold).sum()


def test_promise_of_the_gate_holds() -> None:
    """Over 400 draws the share of reused answers that differ is above epsilon in at most a tenth."""
    draw, wrong = np.random.default_rng(0), 0
    for _ in range(400):
        distances = draw.random(300)
        found = gate(distances, (draw.random(300) < 0.4 * distances).astype(np.float64))
        if isinstance(found, GateInfo):
            wrong += 0.4 * found.threshold / 2 > 0.05  # mean chance of distances up to it

    assert wrong / 400 <= 0.1 + 3 * math.sqrt(0.1 * 0.9 / 400)


def test_refusals_say_how_many_pairs_it_takes() -> None:
    """Too few pairs; pairs that differ however near; NaN is never near."""
    few = gate(np.zeros(20), np.zeros(20))
    bad = gate(np.linspace(0, 1, 300), np.ones(300))
    nothing = gate(np.full(100, np.nan), np.zeros(100))

    assert isinstance(few, Refusal)
    assert isinstance(bad, Refusal)
    assert isinstance(nothing, Refusal)
    assert 45 == few.samples == nothing.samples
    assert "45" in few.reason
    assert bad.samples is None
    assert "100.0%" in bad.reason


def test_pairs_of_real_rows_are_measured_as_the_runtime_does() -> None:
    """Copies on a ladder of noise: distances from about a hundredth to one of the typical deviation."""
    draw = np.random.default_rng(1)
    x: NDArray[np.generic] = draw.standard_normal((40, 6, 5)).astype(np.float32)
    rows = {"x": x, "words": draw.integers(0, 9, (40, 3))}
    scales = typical_deviations({"x": x})
    copies = disturb(rows, {**scales, "words": 1.0})
    distances = pair_distances({"x": x}, {"x": copies["x"]}, scales, gate_distance)

    assert pytest.approx(math.sqrt(2 / math.pi), abs=0.05) == scales["x"]
    assert (copies["words"] == rows["words"]).all()
    assert np.float32 == copies["x"].dtype
    assert distances.min() < 0.02
    assert 0.5 < distances.max() < 1.2


def test_noise_does_not_vouch_for_other_inputs() -> None:
    """However well noise is borne, it ends at half the distance of two rows whose answers differ."""
    rows = {"x": np.array([[0.0], [0.1], [1.0], [1.5]])}
    differ = np.array([[False, False, True, True]] * 2 + [[True, True, False, False]] * 2)
    limit = safe_distance(rows, differ, SCALES, gate_distance)
    distances = np.linspace(0, 1, 300)
    found = calibrate_gate(distances, np.zeros(300), SCALES, epsilon=0.05, delta=0.1, pairs="disturbed", limit=limit)

    assert pytest.approx(0.45) == limit
    assert isinstance(found, GateInfo)
    assert 0.4 < found.threshold <= 0.45
    assert float("inf") == safe_distance(rows, np.zeros((4, 4), dtype=bool), SCALES, gate_distance)


def test_answers_of_classes_and_of_values() -> None:
    """Classes differ by the best one, values by more than the tolerance; NaN differs."""
    answers, others = np.array([[1.0, 2.0], [1.0, 2.0], [np.nan, 0.0]]), np.array([[0.0, 9.0], [3.0, 2.0], [0.0, 0.0]])

    assert [0.0, 1.0] == answers_differ(answers[:2], others[:2]).tolist()
    assert [1.0, 0.0, 1.0] == answers_differ(answers, others, tolerance=2.0).tolist()


def test_bad_arguments_are_named() -> None:
    """Not one answer for each distance."""
    with pytest.raises(DataError, match="3 distances, 2 answers"):
        gate(np.zeros(3), np.zeros(2))
