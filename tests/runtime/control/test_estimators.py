from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehybrid.points import DepthFigures
from edgehybrid.runtime import Observation
from edgehybrid.runtime.control.estimators import Learned, Slowdown, learn
from edgehybrid.testing.bundles import make_point

POINT = make_point("max", energy_mj=1, latency_ms=10)
OTHER = make_point("min", energy_mj=1, latency_ms=5)


def seen(at_s: float, latency_s: float) -> Observation:
    return Observation(at_s=at_s, point="max", depth=1, latency_s=latency_s)


@given(truth=st.floats(0.05, 50), noise=st.floats(0, 0.1), seed=st.integers(0, 99))
def test_the_slowdown_is_found(truth: float, noise: float, seed: int) -> None:
    """Whatever the device's true slowdown, forty inferences find it."""
    rng = random.Random(seed)
    slowdown = Slowdown()
    for _ in range(40):
        slowdown = slowdown.update(truth * rng.uniform(1 - noise, 1 + noise))
    assert truth == pytest.approx(slowdown.mean, rel=1.5 * noise + 0.02, abs=0.05)


def test_one_stall_is_not_a_slow_device() -> None:
    """A run that hangs a hundred times longer moves the estimate by a few sigmas only, and five good ones undo it."""
    slowdown = Slowdown()
    for _ in range(50):
        slowdown = slowdown.update(1.0)
    stalled = slowdown.update(100.0)
    assert stalled.mean < 2
    for _ in range(5):
        stalled = stalled.update(1.0)
    assert 1.0 == pytest.approx(stalled.mean, abs=0.1)


@given(updates=st.lists(st.floats(1e-3, 1e3), max_size=50), ratios=st.lists(st.floats(0, 100), min_size=2, max_size=9))
def test_more_time_is_never_less_likely_to_do(updates: list[float], ratios: list[float]) -> None:
    """The share in time is a probability and rises with the time, after any history."""
    slowdown = Slowdown()
    for ratio in updates:
        slowdown = slowdown.update(ratio)
    shares = [slowdown.share_within(ratio) for ratio in sorted(ratios)]
    assert all(0 <= share <= 1 for share in shares)
    assert all(a <= b for a, b in pairwise(shares))


def test_a_point_slower_than_the_others_is_told_apart() -> None:
    """What only one point suffers becomes its own correction; the other's stays near one."""
    learned = Learned()
    for i in range(400):
        point, factor = ((POINT, 2.0), (OTHER, 1.0))[i % 2]
        observation = Observation(
            at_s=float(i), point=point.name, depth=1, latency_s=point.latency_ms.p50 / 1e3 * factor
        )
        learned = learn(learned, observation, point)
    ratio = learned.expected_s(POINT) / learned.expected_s(OTHER)
    assert 2 * POINT.latency_ms.p50 / OTHER.latency_ms.p50 == pytest.approx(ratio, rel=0.1)


def test_the_rate_of_inputs_falls_while_none_come() -> None:
    """Ten inputs a second are seen as such; a minute later they are not."""
    learned = Learned()
    for i in range(50):
        learned = learn(learned, seen(i / 10, 0.01), POINT)
    assert 10.0 == pytest.approx(learned.inputs_per_s(4.9), rel=0.01)
    assert learned.inputs_per_s(65.0) < 0.02


@pytest.mark.parametrize("latency_s", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_latencies_teach_nothing(latency_s: float) -> None:
    """They leave everything as it was."""
    assert Learned() == learn(Learned(), seen(0.0, latency_s), POINT)


def test_early_answers_are_compared_with_early_figures() -> None:
    """A device at the bundle's speed is not slow or quick because of the depths that its inputs take."""
    figures = tuple(DepthFigures(share=0.5, relaxed_share=0.5, latency_ms=ms, cpu_ms=ms) for ms in (2.0, 20.0))
    point = replace(POINT, depths=figures)
    learned = Learned()
    for i in range(60):
        depth = 1 + i % 2
        run = Observation(at_s=float(i), point="max", depth=depth, latency_s=figures[depth - 1].latency_ms / 1e3)
        learned = learn(learned, run, point)
    assert 1.0 == pytest.approx(learned.slowdown.mean, abs=0.02)
    assert 1.0 == pytest.approx(learned.corrections["max"], abs=0.02)
    assert 0.5 == pytest.approx(learned.share_in_time(point, 0.010), abs=0.01)
    assert 1.0 == pytest.approx(learned.share_in_time(point, 0.200), abs=0.01)


def test_an_answer_given_again_only_tells_that_an_input_came() -> None:
    """Depth 0 teaches the rate of inputs, not the speed of the device."""
    before = learn(Learned(), seen(0.0, 0.010), POINT)
    after = learn(before, Observation(at_s=2.0, point="max", depth=0, latency_s=1e-5), POINT)
    assert (before.slowdown, before.corrections) == (after.slowdown, after.corrections)
    assert (2.0, 2.0) == (after.period_s, after.last_input_s)
