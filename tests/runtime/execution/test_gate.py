from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from edgehybrid.runtime.backends import Array
from edgehybrid.runtime.execution import exit_losses, gate_distance

rows = npst.arrays(np.float32, (1, 8), elements=st.floats(-100, 100, width=32))


@given(a=rows, b=rows)
def test_distance_is_the_scaled_mean_of_what_differs(a: Array, b: Array) -> None:
    """Symmetric, zero for the same, and the largest over the inputs."""
    scales = {"x": 2.0, "z": 0.5}
    there = gate_distance({"x": a, "z": b}, {"x": b, "z": b}, scales)
    assert float(np.abs(a - b).mean()) / 2 == pytest.approx(there, abs=1e-5)
    assert there == gate_distance({"x": b, "z": b}, {"x": a, "z": b}, scales)
    assert 0.0 == gate_distance({"x": a, "z": b}, {"x": a, "z": b}, scales)
    both = gate_distance({"x": a, "z": a}, {"x": b, "z": b}, scales)
    assert float(np.abs(a - b).mean()) / 0.5 == pytest.approx(both, abs=1e-4)


def test_images_of_integers_do_not_wrap_around() -> None:
    """A pixel of 0 and one of 255 are far apart."""
    a, b = np.zeros((1, 3, 4, 4), np.uint8), np.full((1, 3, 4, 4), 255, np.uint8)
    assert 255.0 == gate_distance({"x": a}, {"x": b}, {"x": 1.0})


def test_large_inputs_are_told_apart_by_a_part_of_them() -> None:
    """Evenly spread: whatever rows, columns or channels change is seen."""
    rng = np.random.default_rng(0)
    a = rng.random((1, 3, 128, 128), np.float32)
    for change in (np.s_[:, 1], np.s_[:, :, 32:64], np.s_[..., ::4]):
        b = a.copy()
        b[change] += 1
        whole = float(np.abs(a - b).mean())
        assert whole == pytest.approx(gate_distance({"x": a}, {"x": b}, {"x": 1.0}), rel=0.1)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_a_number_is_near_nothing(bad: float) -> None:
    """Not even itself."""
    a = np.asarray([[1.0, bad]], np.float32)
    for b in (a, np.zeros((1, 2), np.float32)):
        assert not gate_distance({"x": a}, {"x": b}, {"x": 1.0}) <= 1e30


def test_an_input_that_never_varied_must_stay_the_same() -> None:
    """A scale of zero allows no difference."""
    a, b = np.zeros((1, 2), np.float32), np.full((1, 2), 1e-6, np.float32)
    assert (0.0, math.inf) == (
        gate_distance({"x": a}, {"x": a}, {"x": 0.0}),
        gate_distance({"x": a}, {"x": b}, {"x": 0.0}),
    )


def losses(early: list[object], full: list[object], loss: str = "disagreement", **options: float) -> list[float]:
    a, b = (np.asarray(values) for values in (early, full))
    a, b = (v.astype(np.float32) if v.dtype == np.float64 else v for v in (a, b))
    found = exit_losses({"y": a}, {"y": b}, output="y", loss=loss, **options)  # type: ignore[arg-type]  # its words
    values: list[float] = found.tolist()
    return values


def test_another_class_loses() -> None:
    """By the largest logit, by the side of the middle, by the value, by position; NaN always."""
    assert [0.0, 1.0] == losses([[1.0, 2.0], [2.0, 1.0]], [[0.0, 9.0], [0.0, 9.0]])
    assert [0.0, 1.0] == losses([[0.9], [0.4]], [[0.6], [0.6]])
    assert [0.0, 1.0] == losses([[3.0], [-0.4]], [[0.6], [0.6]])
    assert [0.0, 1.0] == losses([[0.4], [0.4]], [[7.0], [-7.0]])
    assert [0.0, 1.0] == losses([3, 4], [3, 3])
    assert [0.5] == losses([[[1.0, 2.0], [2.0, 1.0]]], [[[0.0, 1.0], [0.0, 1.0]]])
    assert [1.0] == losses([[math.nan, 2.0]], [[math.nan, 2.0]])
    assert [1.0] == losses([[0.0, 1.0]], [[1.0, 0.0]], "error")


def test_a_distance_loses_its_share_of_the_bound() -> None:
    """At most all of it; NaN all."""
    early: list[object] = [[1.0, 1.0], [9.0, 9.0], [math.nan, 1.0], [math.inf, 0.0]]
    assert [0.25, 1.0, 1.0, 1.0] == losses(early, [[1.5, 1.5]] * 4, "deviation", bound=2.0)
