from __future__ import annotations

from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehybrid.exporters.placement import Step, cheapest, pick
from edgehybrid.exporters.placement.paths import WORTH

BACKENDS = ("onnx", "tflite", "onnx-openvino")


def steps(draw: st.DrawFn, stage: int) -> tuple[Step, ...]:
    kinds = draw(st.lists(st.tuples(st.sampled_from(BACKENDS), st.integers(1, 50)), min_size=1, max_size=4))
    return tuple(
        Step(option=f"{stage}.{k}", backend=backend, cost_s=float(cost)) for k, (backend, cost) in enumerate(kinds)
    )


@st.composite
def models(draw: st.DrawFn) -> tuple[list[tuple[Step, ...]], list[int]]:
    """Some stages with their options, and what a hand-over costs at each border."""
    count = draw(st.integers(1, 4))
    borders = draw(st.lists(st.integers(0, 20), min_size=count, max_size=count))
    return [steps(draw, k) for k in range(count)], borders


def border_of(costs: list[int]):  # type: ignore[no-untyped-def]  # a function made for one test
    return lambda stage, before, behind: 0.0 if before == behind else float(costs[stage])


@given(models(), st.integers(1, 6))
def test_the_cheapest_ways_are_those_of_all(model: tuple[list[tuple[Step, ...]], list[int]], most: int) -> None:
    """As cheap as the cheapest of every combination, in their order: hand-overs between back ends included."""
    stages, costs = model
    border_s = border_of(costs)
    every = sorted(
        sum(step.cost_s for step in way)
        + sum(border_s(k, a.backend, b.backend) for k, (a, b) in enumerate(pairwise(way)))
        for way in product(*stages)
    )
    found = cheapest(stages, border_s, most)

    assert every[: len(found)] == pytest.approx([way.cost_s for way in found])
    assert len(found) == min(most, len(every))


def step(option: str, backend: str, ms: float) -> Step:
    return Step(option=option, backend=backend, cost_s=ms / 1e3)


def test_a_mixture_that_pays_is_picked() -> None:
    """Convolutions where they are quick, the recurrence where that is: if the hand-over does not eat it up."""
    stages = [
        [step("conv in onnx", "onnx", 5), step("conv in tflite", "tflite", 2)],
        [step("gru in onnx", "onnx", 3), step("gru in tflite", "tflite", 8)],
    ]
    cheap = pick(stages, border_of([0, 0]), 2)
    assert ["conv in tflite", "gru in onnx"] == [s.option for s in cheap.ways[0].steps]
    assert 0.005 == pytest.approx(cheap.ways[0].cost_s)

    dear = pick(stages, lambda *_: 0.02 if len(set(_[1:])) > 1 else 0.0, 2)
    assert () == dear.ways
    assert "conv in tflite + gru in onnx, promises 25 ms; on one back end the same stages take 8 ms" in dear.why_not


def test_one_back_end_mixes_with_nothing() -> None:
    """Said, not silently left out."""
    picked = pick([[step("a", "onnx", 1)], [step("b", "onnx", 1)]], border_of([0, 0]), 2)
    assert ((), "only one back end can run its stages") == (picked.ways, picked.why_not)
    assert WORTH > 1.0
