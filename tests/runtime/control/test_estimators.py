from __future__ import annotations

import math
import random
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehybrid.points import DepthFigures, OperatingPoint
from edgehybrid.profiles import load_device, load_policy
from edgehybrid.runtime import Controller, Observation, Snapshot
from edgehybrid.runtime.control.appraise import Menu, Terms, appraised, weigh
from edgehybrid.runtime.control.options import Options
from edgehybrid.runtime.control.slowdown import Slowdown, enter, fit, learn
from edgehybrid.testing.bundles import make_point

DEVICE = load_device("raspberry-pi-4b")
POINT = make_point("max", energy_mj=1, latency_ms=10)
OTHER = make_point("min", energy_mj=1, latency_ms=5)
OPTIONS = Options((POINT, OTHER), DEVICE, 1)


def fresh(options: Options = OPTIONS) -> Slowdown:
    return fit(Slowdown(), options.names)


def ran(slow: Slowdown, ratio: float, *, point: str = "max", at_s: float = 0.0, options: Options = OPTIONS) -> Slowdown:
    option = options.find(point, 1, 0.0)
    assert option is not None
    return learn(slow, option, option.latency_s, ratio * option.latency_s, at_s, DEVICE.cpu.cores)


def in_time(slow: Slowdown, deadline_s: float, *, point: str = "max", options: Options = OPTIONS) -> float:
    menu = Menu(options.every)
    rows = appraised(menu, weigh(menu, slow, Terms(DEVICE.cpu.cores, deadline_s, 0.0)))
    return next(row.in_time for row in rows if row.option.point == point)


@given(truth=st.floats(0.02, 500), noise=st.floats(0, 0.1), seed=st.integers(0, 99))
def test_the_slowdown_is_found(truth: float, noise: float, seed: int) -> None:
    """Whatever the device's true slowdown, forty inferences find it."""
    rng, slow = random.Random(seed), fresh()
    for i in range(40):
        slow = ran(slow, truth * rng.uniform(1 - noise, 1 + noise), at_s=float(i))
    option = OPTIONS.find("max", 1, 0.0)
    assert option is not None
    assert math.log(truth) == pytest.approx(slow.of(option)[0], abs=1.5 * noise + 0.05)


@pytest.mark.parametrize("sigma", [0.02, 0.05, 0.15])
def test_sigma_is_learned_from_the_residuals(sigma: float) -> None:
    """After two hundred inferences it is that of the latencies, neither floored nor swollen."""
    rng, slow = random.Random(3), fresh()
    for i in range(200):
        slow = ran(slow, math.exp(rng.gauss(0.0, sigma)), at_s=float(i))
    option = OPTIONS.find("max", 1, 0.0)
    assert option is not None
    assert sigma == pytest.approx(math.sqrt(slow.noise(option)), rel=0.4, abs=0.005)


def test_contention_is_followed_at_once_and_so_is_its_end() -> None:
    """A device that gets twice as slow, or quick again, is known after a single inference."""
    slow = fresh()
    for i in range(50):
        slow = ran(slow, 1.0, at_s=float(i))
    slowed = ran(slow, 2.0, at_s=50.0)
    assert 2.0 == pytest.approx(math.exp(slowed.log), rel=0.1)
    assert 1.0 == pytest.approx(math.exp(ran(slowed, 1.0, at_s=51.0).log), rel=0.15)


def test_a_neighbour_that_comes_back_is_remembered() -> None:
    """Its slowdown is there before the first inference of its second visit, and gone with it."""
    slow = fresh()
    for _ in range(3):
        for others, ratio in ((0.0, 1.0), (1.0, 1.6)):
            slow = enter(slow, others, 20.0)
            for i in range(20):
                slow = ran(slow, ratio, at_s=float(i))
    assert 1.0 == pytest.approx(enter(slow, 0.0, 20.0).mean, rel=0.1)
    assert 1.6 == pytest.approx(enter(enter(slow, 0.0, 20.0), 1.0, 20.0).mean, rel=0.1)


def test_busy_cores_slow_a_run_down_before_any_was_seen() -> None:
    """With four busy neighbours on four cores a run takes its part of a core, which a deadline is told."""
    slow = fresh()
    for i in range(50):
        slow = ran(slow, 1.0, at_s=float(i))
    assert in_time(slow, 0.0115) > 0.9
    assert in_time(enter(slow, 4.0, 1.0), 0.0115) < 0.5


@given(
    ratios=st.lists(st.floats(1e-3, 1e3), max_size=50), deadlines=st.lists(st.floats(1e-4, 10), min_size=2, max_size=9)
)
def test_more_time_is_never_less_likely_to_do(ratios: list[float], deadlines: list[float]) -> None:
    """The share in time is a probability and rises with the deadline, after any history."""
    slow = fresh()
    for i, ratio in enumerate(ratios):
        slow = ran(slow, ratio, at_s=float(i))
    shares = [in_time(slow, deadline) for deadline in sorted(deadlines)]
    assert all(0 <= share <= 1 for share in shares)
    assert all(a <= b + 1e-12 for a, b in pairwise(shares))


def test_a_point_slower_than_the_others_is_told_apart() -> None:
    """What only one point suffers becomes its own correction, and is kept while another one runs."""
    slow = fresh()
    for i in range(40):
        slow = ran(slow, (2.0, 1.0)[i % 2], point=("max", "min")[i % 2], at_s=float(i))
    for i in range(200):
        slow = ran(slow, 1.0, point="min", at_s=40.0 + i)
    logs = [slow.of(option)[0] for option in OPTIONS.every]
    assert math.log(2.0) == pytest.approx(logs[0] - logs[1], abs=0.1)


def test_early_answers_are_compared_with_early_figures() -> None:
    """A device at the bundle's speed is not slow or quick because of the depths that its inputs take."""
    figures = tuple(DepthFigures(share=0.5, relaxed_share=0.5, latency_ms=ms, cpu_ms=ms) for ms in (2.0, 20.0))
    controller = _controller(replace(POINT, depths=figures))
    for i in range(60):
        depth = 1 + i % 2
        latency_s = figures[depth - 1].latency_ms / 1e3
        controller.observe(Observation(at_s=float(i), point="max", depth=depth, latency_s=latency_s))
    slow, options = controller.state.slow, controller._options
    assert 1.0 == pytest.approx(slow.mean, abs=0.03)
    assert 0.5 == pytest.approx(in_time(slow, 0.010, options=options), abs=0.01)
    assert 1.0 == pytest.approx(in_time(slow, 0.200, options=options), abs=0.01)


@pytest.mark.parametrize("latency_s", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_latencies_teach_nothing_of_the_speed(latency_s: float) -> None:
    """They leave the slowdown as it was."""
    controller = _controller(POINT)
    before = controller.state.slow
    controller.observe(Observation(at_s=0.0, point="max", depth=1, latency_s=latency_s))
    assert before == controller.state.slow


def test_an_answer_given_again_only_tells_that_an_input_came() -> None:
    """Depth 0 teaches the rate of inputs, not the speed of the device."""
    controller = _controller(POINT)
    controller.observe(Observation(at_s=0.0, point="max", depth=1, latency_s=0.010))
    before = controller.state
    controller.observe(Observation(at_s=2.0, point="max", depth=0, latency_s=1e-5))
    assert before.slow == controller.state.slow
    assert 0.5 == pytest.approx(controller.state.arrivals.per_s, rel=0.01)


def test_joules_of_the_account_correct_those_of_the_profile() -> None:
    """A board whose inferences take half as much again is known after some dozens of them."""
    controller = _controller(POINT)
    watts = controller._options.every[0].core_w
    for i in range(60):
        joules = 1.5 * 0.01 * watts
        controller.observe(Observation(at_s=float(i), point="max", depth=1, latency_s=0.01, energy_j=joules))
    assert 1.5 == pytest.approx(controller.state.watts_scale, rel=0.02)
    controller.decide(Snapshot(at_s=61.0))


def _controller(point: OperatingPoint) -> Controller:
    return Controller((point,), DEVICE, load_policy("balanced"))
