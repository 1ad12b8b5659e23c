"""What an engine does when the device, the app or the owner wants something else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgehybrid import Engine, Result
from edgehybrid.bundle import Bundle
from edgehybrid.errors import RequestError
from edgehybrid.runtime.backends import Array
from edgehybrid.testing.backends import FakeBackend

X: Array = np.ones((1, 4), np.float32)


def mark_of(result: Result) -> float:
    return float(result.outputs["y"][0, 0]) - 1.0


def test_an_emptying_battery_steps_down_and_back(
    open_engine: Callable[..., Engine], marks_bundle: Bundle, device: Any
) -> None:
    """The engine follows the battery, names the reason, tells the truth in each result, and keeps a journal."""
    engine = open_engine(marks_bundle)
    for pct, point in ((90, "max"), (40, "balanced"), (12, "min"), (95, "max")):
        device.battery(pct)
        device.now_s += 60
        assert point == engine.step(wait=True).point
        result = engine.run({"x": X})
        assert point == result.point
        assert {"max": 1.0, "balanced": 2.0, "min": 3.0}[point] == mark_of(result)
    assert [("max", "balanced"), ("balanced", "min"), ("min", "max")] == [(s.source, s.target) for s in engine.journal]
    assert "battery 40 % is below 60 %" in engine.journal[0].reason
    assert 3 == engine.status().switches


def test_heat_forces_the_guard(open_engine: Callable[..., Engine], marks_bundle: Bundle, device: Any) -> None:
    """Close to the critical temperature the most economical point runs at once, by a named guard."""
    engine = open_engine(marks_bundle)
    device.temperature(84)
    device.now_s += 2
    decision = engine.step(wait=True)
    assert ("min", "critical-temperature") == (decision.point, decision.guard)
    assert "min" == engine.run({"x": X}).point


def test_pin_and_unpin(open_engine: Callable[..., Engine], marks_bundle: Bundle, device: Any) -> None:
    """A pinned point runs whatever the device says, also the reference; unpinned, the controller chooses again."""
    engine = open_engine(marks_bundle)
    for name, mark in (("min", 3.0), ("fp32", 0.0)):
        engine.pin(name)
        engine.step(wait=True)
        assert (name, mark) == (engine.run({"x": X}).point, mark_of(engine.run({"x": X})))
        assert name == engine.status().pinned
        assert f"pinned to {name}" in engine.status().reason
    engine.pin(None)
    device.now_s += 60
    engine.step(wait=True)
    assert "max" == engine.run({"x": X}).point
    assert engine.status().pinned is None


def test_a_pin_taken_back_in_time_changes_nothing(
    open_engine: Callable[..., Engine], write_marks: Callable[..., Bundle], fake_backend: FakeBackend
) -> None:
    """Going back to the present point while the pinned one still loads leaves the engine where it is."""
    fake_backend.behaviours["min"].load_s = 0.2
    engine = open_engine(write_marks(real=False), backends={"onnx": fake_backend})
    engine.pin("min")
    engine.pin("max")
    engine.step(wait=True)
    assert ("max", ()) == (engine.run({"x": X}).point, engine.journal)


def test_pinning_what_is_not_there_is_refused(open_engine: Callable[..., Engine], marks_bundle: Bundle) -> None:
    """An unknown point is named beside those that there are, and nothing changes."""
    engine = open_engine(marks_bundle)
    with pytest.raises(RequestError, match="'turbo'"):
        engine.pin("turbo")
    assert engine.status().pinned is None


def test_the_background_app_runs_lower(open_engine: Callable[..., Engine], marks_bundle: Bundle, device: Any) -> None:
    """In the background the engine steps down, unless somebody waits; what was not said stays as it was."""
    engine = open_engine(marks_bundle)
    engine.context(foreground=False, place="pocket")
    assert "balanced" == engine.step(wait=True).point
    device.now_s += 60
    engine.context(user_waiting=True)
    assert "max" == engine.step(wait=True).point
    assert (False, True, {"place": "pocket"}) == (
        engine.status().context.foreground,
        engine.status().context.user_waiting,
        dict(engine.status().context.hints),
    )


def test_a_tight_deadline_takes_a_quicker_point(
    open_engine: Callable[..., Engine], write_marks: Callable[..., Bundle], fake_backend: FakeBackend, device: Any
) -> None:
    """Where runs take longer than the bundle says, the engine moves to a point that keeps the deadline."""
    fake_backend.behaviours["max"].latency_s = 0.02  # the bundle says 4 ms
    engine = open_engine(write_marks(real=False), backends={"onnx": fake_backend}, deadline_ms=15)
    assert "max" == engine.step(wait=True).point
    for _ in range(20):
        engine.run({"x": X})
    device.now_s += 60
    decision = engine.step(wait=True)
    assert decision.point in ("balanced", "min")
    assert "15 ms" in decision.reason


def test_the_deadline_may_change(open_engine: Callable[..., Engine], marks_bundle: Bundle, device: Any) -> None:
    """A deadline given later counts from the next step on; None takes it back."""
    engine = open_engine(marks_bundle)
    engine.context(deadline_ms=2, until=3600)
    assert "min" == engine.step(wait=True).point
    assert (0.002, device.now_s + 3600) == (engine.status().context.deadline_s, engine.status().context.until_s)
    engine.context(deadline_ms=None)
    device.now_s += 60
    assert "max" == engine.step(wait=True).point
    with pytest.raises(RequestError, match="deadline_ms"):
        engine.context(deadline_ms=-1)


def test_the_background_follows_the_device(marks_bundle: Bundle, device: Any) -> None:
    """Left alone, the engine notices a hint and switches by itself, and stops its thread when closed."""
    before = threading.active_count()
    with Engine(marks_bundle, root=device.root, device="raspberry-pi-4b") as engine:
        assert "max" == engine.run({"x": X}).point
        engine.context(foreground=False)
        until = time.monotonic() + 10
        while engine.run({"x": X}).point != "balanced" and time.monotonic() < until:
            time.sleep(0.01)
        assert "balanced" == engine.run({"x": X}).point
    assert before == threading.active_count()


def test_a_goal_between_two_points_is_served_by_both(open_engine: Callable[..., Engine], marks_bundle: Bundle) -> None:
    """Two plans take turns, run by run, such that the mean quality is the goal; every result tells who gave it."""
    engine = open_engine(marks_bundle)
    quality = {point.name: point.quality.value for point in marks_bundle.points}
    goal = (quality["max"] + 3 * quality["balanced"]) / 4
    engine.context(min_quality=goal)
    decision = engine.step(wait=True)
    results = [engine.run({"x": X}) for _ in range(100)]
    counts = {name: sum(result.point == name for result in results) for name in quality}
    assert {decision.point, decision.alternate} == {name for name, n in counts.items() if n}
    mean = sum(quality[name] * n for name, n in counts.items()) / 100
    assert goal == pytest.approx(mean, abs=0.01 * (max(quality.values()) - min(quality.values())) + 1e-9)
    assert all({"max": 1.0, "balanced": 2.0, "min": 3.0}.get(r.point, mark_of(r)) == mark_of(r) for r in results)
    assert counts == {name: engine.status().points.get(name, 0) for name in quality}
    assert 0 == sum(result.latency_ms < 0 for result in results)


def test_pinning_ends_a_time_share(open_engine: Callable[..., Engine], marks_bundle: Bundle) -> None:
    """A pinned point serves alone."""
    engine = open_engine(marks_bundle)
    quality = {point.name: point.quality.value for point in marks_bundle.points}
    engine.context(min_quality=(quality["max"] + quality["balanced"]) / 2)
    engine.step(wait=True)
    engine.pin("min")
    engine.step(wait=True)
    assert {"min"} == {engine.run({"x": X}).point for _ in range(20)}
