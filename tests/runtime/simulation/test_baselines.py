"""Baselines follow the formulas of their papers."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehybrid.points import OperatingPoint
from edgehybrid.profiles import DeviceProfile, Policy
from edgehybrid.runtime.control import Context, Observation
from edgehybrid.runtime.simulation.baselines import BASELINES, Alert, JouleGuard, Poet, Task, Xi, Ztt, configs
from edgehybrid.runtime.telemetry import Snapshot

Points = tuple[OperatingPoint, ...]
NOW, SAID = Snapshot(at_s=0.0), Context()


@pytest.fixture
def task(points: Points, board: DeviceProfile, policy: Policy) -> Task:
    """An input a second, 100 ms for each."""
    return Task(points=points, device=board, policy=policy, period_s=1.0, deadline_s=0.1)


def seen(point: str, latency_s: float) -> Observation:
    """One inference."""
    return Observation(at_s=1.0, point=point, depth=1, latency_s=latency_s, energy_j=0.01)


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=30))
def test_alert_filters_as_published(ratios: list[float]) -> None:
    """Mean, variance, gain and noise follow ALERT's equations, written out here once more."""
    mu, s2, gain, noise = 1.0, 0.1, 0.5, 0.1
    xi = Xi()
    for ratio in ratios:
        xi = xi.update(ratio)
        y = ratio - mu
        noise = max(0.1, 0.3 * noise + 0.7 * (gain * y) ** 2)
        top = (1 - gain) * s2 + noise
        next_gain = top / (top + 0.001)
        mu, s2, gain = mu + next_gain * y, top, next_gain

    assert (mu, s2, gain, noise) == pytest.approx((xi.mu, xi.s2, xi.gain, xi.noise))


def test_alert_knows_its_chances() -> None:
    """A deadline at the mean is kept half of the time, one a sigma later in 84 %."""
    xi = Xi(mu=2.0, s2=0.25)

    assert 0.5 == pytest.approx(xi.in_time(2.0))
    assert 0.8413 == pytest.approx(xi.in_time(2.5), abs=1e-4)


def test_alert_expects_as_published(task: Task) -> None:
    """Accuracy is a mixture of answer and failure; energy that of the run, then of idling."""
    table = configs(task)
    alert = Alert(task, table)
    config = next(c for c in table if c.point == "max")
    worth, energy = alert.expect(config)
    chance = Xi().in_time(0.1 / config.latency_s)
    phi = 0.5 * table[0].watts / config.watts

    assert config.worth * chance == pytest.approx(worth)
    assert config.watts * config.latency_s + phi * config.watts * (0.1 - config.latency_s) == pytest.approx(energy)


def test_alert_steps_down_when_the_board_slows(task: Task) -> None:
    """Late answers at one point make it choose a quicker one, also for points that it has not tried."""
    alert = Alert(task, configs(task))
    first = alert.decide(NOW, SAID).point
    for _ in range(5):
        alert.observe(seen(first, 4 * next(c.latency_s for c in configs(task) if c.point == first)))

    assert first in ("fp32", "max")
    assert 4.0 == pytest.approx(alert.xi.mu, rel=0.01)
    assert "balanced" == alert.decide(NOW, SAID).point


def test_alert_minimizes_energy_above_a_floor(task: Task) -> None:
    """With a quality goal it takes the cheapest that reaches it."""
    goal = replace(task, floor=0.885, deadline_s=10.0)

    assert "balanced" == Alert(goal, configs(goal)).decide(NOW, SAID).point


def test_alert_in_parts(task: Task) -> None:
    """App-only keeps the threads, system-only the point."""
    app, system = BASELINES["alert-app"](task), BASELINES["alert-sys"](task)

    assert 1.0 == app.decide(NOW, SAID).numbers["threads"]
    assert "min" == system.decide(NOW, SAID).point


def test_jouleguard_speeds_up_when_energy_is_short(task: Task) -> None:
    """Without an allowance the best point runs; with a small one, points become quick."""
    rich = JouleGuard(task).decide(NOW, SAID).point
    poor = JouleGuard(replace(task, energy_j=1e-4))
    choices = [poor.decide(NOW, SAID).point for _ in range(20)]

    assert rich in ("fp32", "max")
    assert "min" == choices[-1]


def test_poet_mixes_two_neighbours(task: Task) -> None:
    """At a rate between two points it shares inputs so that the mean latency meets the goal, at the least energy."""
    poet = Poet(replace(task, deadline_s=0.03))
    table = {c.point: c for c in configs(task)}
    decision = poet.decide(NOW, SAID)
    for _ in range(300):
        for point, share in ((decision.point, decision.share), (decision.alternate, 1 - decision.share)):
            for _ in range(round(10 * share) if point else 0):
                assert point is not None
                poet.observe(seen(point, table[point].latency_s / math.sqrt(decision.numbers["threads"])))
        decision = poet.decide(NOW, SAID)

    assert "speed" in decision.reason
    assert 0.0 <= decision.share <= 1.0


def test_ztt_is_rewarded_as_published(task: Task) -> None:
    """Frame rate, distance to the temperature limit, and the inverse of the power in tenths of a watt."""
    bandit = Ztt(task)

    assert 0.5 + 0.2 * math.tanh(25.0) + 2 / 30 == pytest.approx(bandit.reward(0.5, 3.0, 50.0))
    assert 1.0 - 2.0 + 2 / 30 == pytest.approx(bandit.reward(7.0, 3.0, 75.0))


def test_thresholds_follow_heat(task: Task) -> None:
    """Heat sends it down a step a look; cool air lets it back up, not before the dwell."""
    steps = BASELINES["thresholds"](task)
    hot = [steps.decide(Snapshot(at_s=float(t), soc_temp_c=79.0), SAID).point for t in range(3)]
    soon = steps.decide(Snapshot(at_s=4.0, soc_temp_c=50.0), SAID).point
    later = steps.decide(Snapshot(at_s=60.0, soc_temp_c=50.0), SAID).point

    assert ["max", "balanced", "min"] == hot
    assert "min" == soon
    assert "balanced" == later


def test_mcdnn_spends_what_is_left_evenly(task: Task) -> None:
    """The allowance of an input is the energy left over the inputs to come; the best point within it runs."""
    long = replace(task, until_end=True, duration_s=3600.0, deadline_s=10.0)
    idle_wh = task.device.power.idle_w
    need = {c.point: c.energy_j for c in configs(task)}
    rich = BASELINES["mcdnn"](long).decide(Snapshot(at_s=0.0, battery_wh=100.0), SAID)
    little = Snapshot(at_s=0.0, battery_wh=idle_wh + 1.01 * need["balanced"])
    just = BASELINES["mcdnn"](long).decide(little, SAID)

    assert "fp32" == rich.point
    assert "balanced" == just.point
    assert 1.01 * need["balanced"] == pytest.approx(long.allowance_j(little))
