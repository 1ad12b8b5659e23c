from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from edgehybrid import Engine, Result
from edgehybrid.bundle import Bundle
from edgehybrid.errors import BackendError, BundleError, DataError, ProfileError, RequestError
from edgehybrid.runtime.backends import Array, LoadRequest
from edgehybrid.testing.backends import Behaviour, FakeBackend, FakeSession

X: Array = np.ones((1, 4), np.float32)


class Device:
    """A device tree with a battery and a thermal zone, and a clock."""

    def __init__(self, root: Path) -> None:
        self.root, self.now_s = root, 1000.0
        self.battery(90)
        self.temperature(40)

    def clock(self) -> float:
        """Seconds on the tests' own clock."""
        return self.now_s

    def battery(self, pct: int, *, status: str = "Discharging") -> None:
        """Set the charge."""
        folder = self.root / "sys/class/power_supply/BAT0"
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in {"type": "Battery", "status": status, "capacity": str(pct), "present": "1"}.items():
            (folder / name).write_text(f"{text}\n")

    def temperature(self, celsius: float) -> None:
        """Set the temperature of the processor."""
        folder = self.root / "sys/class/thermal/thermal_zone0"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "type").write_text("cpu-thermal\n")
        (folder / "temp").write_text(f"{int(celsius * 1000)}\n")


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path / "root")


@pytest.fixture
def open_engine(device: Device) -> Iterator[Callable[..., Engine]]:
    """Open engines on the device, by hand and on its clock; close them all."""
    engines: list[Engine] = []

    def open_one(bundle: Bundle | Path, **options: object) -> Engine:
        settings = {"root": device.root, "device": "raspberry-pi-4b", "background": False, "clock": device.clock}
        engines.append(Engine(bundle, **{**settings, **options}))  # type: ignore[arg-type]  # the tests' own options
        return engines[-1]

    yield open_one
    for engine in engines:
        engine.close()


def mark_of(result: Result) -> float:
    return float(result.outputs["y"][0, 0]) - 1.0


def test_runs_the_best_point_when_nothing_limits(open_engine: Callable[..., Engine], marks_bundle: Bundle) -> None:
    """A full, cool device runs the best optimized point, never the reference, and says so."""
    engine = open_engine(marks_bundle)
    result = engine.run({"x": X})
    np.testing.assert_array_equal(X + 1, result.outputs["y"])
    assert ("max", 1, None) == (result.point, result.depth, result.confidence)
    assert result.latency_ms > 0
    assert "nothing limits" in engine.status().reason


def test_opens_from_a_path_and_takes_a_bare_array(open_engine: Callable[..., Engine], marks_bundle: Bundle) -> None:
    """The path of a bundle will do, and a model with one input takes the array alone."""
    assert 1.0 == mark_of(open_engine(marks_bundle.path)(X))


def test_streams_in_order(open_engine: Callable[..., Engine], marks_bundle: Bundle) -> None:
    """Each input of a stream has its result, in order."""
    results = open_engine(marks_bundle).stream({"x": X * n} for n in range(5))
    assert [n + 1.0 for n in range(5)] == [float(result.outputs["y"][0, 0]) for result in results]


def test_an_emptying_battery_steps_down_and_back(
    open_engine: Callable[..., Engine], marks_bundle: Bundle, device: Device
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


def test_heat_forces_the_guard(open_engine: Callable[..., Engine], marks_bundle: Bundle, device: Device) -> None:
    """Close to the critical temperature the most economical point runs at once, by a named guard."""
    engine = open_engine(marks_bundle)
    device.temperature(84)
    device.now_s += 2
    decision = engine.step(wait=True)
    assert ("min", "critical-temperature") == (decision.point, decision.guard)
    assert "min" == engine.run({"x": X}).point


def test_pin_and_unpin(open_engine: Callable[..., Engine], marks_bundle: Bundle, device: Device) -> None:
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


def test_the_background_app_runs_lower(
    open_engine: Callable[..., Engine], marks_bundle: Bundle, device: Device
) -> None:
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


def test_status_is_truthful_and_frozen(
    open_engine: Callable[..., Engine], marks_bundle: Bundle, device: Device
) -> None:
    """Counters, energy and latency are those of the runs; a status never changes afterwards."""
    engine = open_engine(marks_bundle)
    before = engine.status()
    for _ in range(7):
        engine.run({"x": X})
    device.battery(40)
    device.now_s += 60
    engine.step(wait=True)
    engine.run({"x": X})
    with pytest.raises(DataError):
        engine.run({})
    after = engine.status()
    assert (0, 0) == (before.inferences, before.latency.n)
    assert {"max": 7, "balanced": 1} == after.points
    assert {1: 8} == after.depths
    assert (8, 8, "balanced", 0) == (after.inferences, after.latency.n, after.point, after.faults)
    assert 40 == after.snapshot.battery_pct
    assert "model" == after.joules.method
    assert after.joules.value > 0
    assert after.latency.p50_ms is not None
    assert after.latency.max_ms is not None
    assert after.latency.p50_ms <= after.latency.max_ms
    with pytest.raises(FrozenInstanceError):
        after.point = "max"  # type: ignore[misc]  # frozen


def test_a_point_that_fails_its_self_test_is_left_out(
    open_engine: Callable[..., Engine], write_marks: Callable[..., Bundle], device: Device
) -> None:
    """The present point serves on, the failing one is excluded with tensor and difference, the next best is taken."""
    engine = open_engine(write_marks(broken=("balanced",)))
    device.battery(40)
    device.now_s += 60
    assert "min" == engine.step(wait=True).point
    assert "min" == engine.run({"x": X}).point
    why = engine.status().excluded["balanced"]
    assert "output 'y' differs by 5" in why
    with pytest.raises(RequestError, match="differs by 5"):
        engine.pin("balanced")


def test_a_pinned_point_that_fails_leaves_the_engine_serving(
    open_engine: Callable[..., Engine], write_marks: Callable[..., Bundle]
) -> None:
    """A pin on a point that does not work here changes nothing but the status, which says why."""
    engine = open_engine(write_marks(broken=("min",)))
    engine.pin("min")
    assert "max" == engine.step(wait=True).point
    assert "max" == engine.run({"x": X}).point
    assert "pinned to min, which cannot run here" in engine.status().reason


def test_the_first_point_that_works_is_taken(
    open_engine: Callable[..., Engine], write_marks: Callable[..., Bundle]
) -> None:
    """When the best points fail at the start, the next one serves; the reference only when all others fail."""
    assert "min" == open_engine(write_marks(broken=("max", "balanced")))(X).point


def test_the_reference_is_the_last_resort(
    open_engine: Callable[..., Engine], write_marks: Callable[..., Bundle]
) -> None:
    """With every optimized point broken, the user's own graph runs."""
    assert "fp32" == open_engine(write_marks(broken=("max", "balanced", "min")))(X).point


def test_a_bundle_that_cannot_run_at_all_says_why_for_each_point(
    open_engine: Callable[..., Engine], write_marks: Callable[..., Bundle]
) -> None:
    """No working point: one error with a reason for each."""
    with pytest.raises(BackendError) as caught:
        open_engine(write_marks(broken=("fp32", "max", "balanced", "min")))
    assert all(f"{name}: Variant" in str(caught.value) for name in ("fp32", "max", "balanced", "min"))


@pytest.mark.parametrize(
    ("feeds", "says"),
    [
        ({}, "'x' is missing"),
        ({"x": X, "z": X}, "no input 'z'"),
        ({"x": X.astype(np.float64)}, "is float64"),
        ({"x": X[:, :2]}, "shape [1, 2]"),
        ({"x": X[0]}, "x[None]"),
        ({"x": [[1.0] * 4]}, "is a list"),
        (None, "came as NoneType"),
    ],
)
def test_hostile_feeds(open_engine: Callable[..., Engine], marks_bundle: Bundle, feeds: object, says: str) -> None:
    """Feeds that do not fit raise DataError; the next good input runs."""
    engine = open_engine(marks_bundle)
    engine.run({"x": X})
    with pytest.raises(DataError) as caught:
        engine.run(feeds)  # type: ignore[arg-type]  # hostile on purpose
    assert says in str(caught.value)
    assert 1.0 == mark_of(engine.run({"x": X}))


def test_a_closed_engine_says_so(open_engine: Callable[..., Engine], marks_bundle: Bundle) -> None:
    """After closing, runs raise our error; closing twice is fine; the status can still be read."""
    engine = open_engine(marks_bundle)
    engine.run({"x": X})
    engine.close()
    engine.close()
    for use in (lambda: engine.run({"x": X}), engine.step, lambda: engine.pin("min")):
        with pytest.raises(BackendError, match="closed"):
            use()
    assert 1 == engine.status().inferences


def test_wrong_options_are_refused(open_engine: Callable[..., Engine], marks_bundle: Bundle, tmp_path: Path) -> None:
    """Options that cannot be are refused with their own kind of error."""
    past = datetime.now() - timedelta(hours=1)
    refused: list[tuple[dict[str, object], type[Exception]]] = [
        ({"deadline_ms": 0}, RequestError),
        ({"until": "soon"}, RequestError),
        ({"until": past}, RequestError),
        ({"until": -5}, RequestError),
        ({"start": "turbo"}, RequestError),
        ({"policy": "no-such-policy"}, ProfileError),
        ({"device": "no-such-board"}, ProfileError),
    ]
    for options, kind in refused:
        with pytest.raises((kind, RequestError)):
            open_engine(marks_bundle, **options)
    with pytest.raises(BundleError):
        open_engine(tmp_path / "nowhere")
    with pytest.raises(RequestError, match="importance"):
        open_engine(marks_bundle).context(importance=2)


def test_start_names_the_first_point(open_engine: Callable[..., Engine], marks_bundle: Bundle) -> None:
    """The app may choose where to start; the next step goes where the controller wants."""
    engine = open_engine(marks_bundle, start="min")
    assert "min" == engine.run({"x": X}).point
    assert "max" == engine.step(wait=True).point
    assert "max" == engine.run({"x": X}).point


def test_a_tight_deadline_takes_a_quicker_point(
    open_engine: Callable[..., Engine], write_marks: Callable[..., Bundle], fake_backend: FakeBackend, device: Device
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


def test_the_deadline_may_change(open_engine: Callable[..., Engine], marks_bundle: Bundle, device: Device) -> None:
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


def test_nothing_is_dropped_while_points_switch(marks_bundle: Bundle, device: Device) -> None:
    """Two threads run while the point changes 40 times: every run answers, with the point that it names."""
    truth = {"max": 1.0, "balanced": 2.0, "min": 3.0}
    stop = threading.Event()
    wrong: list[str] = []
    counts = [0, 0]
    with Engine(marks_bundle, root=device.root, device="raspberry-pi-4b", background=False) as engine:

        def serve(worker: int) -> None:
            x = X * (worker + 1)
            while not stop.is_set():
                result = engine.run({"x": x})
                counts[worker] += 1
                if not np.array_equal(x + truth[result.point], result.outputs["y"]):
                    wrong.append(result.point)

        threads = [threading.Thread(target=serve, args=(n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        try:
            for n in range(40):
                engine.pin(("balanced", "min", "max")[n % 3])
                engine.step(wait=True)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        status = engine.status()
    assert [] == wrong
    assert sum(counts) == status.inferences
    assert 40 == status.switches
    assert set(truth) <= set(status.points)


def test_the_background_follows_the_device(marks_bundle: Bundle, device: Device) -> None:
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


def test_the_loop_survives_what_nobody_foresaw(
    write_marks: Callable[..., Bundle], fake_backend: FakeBackend, device: Device
) -> None:
    """A back end with a bug stops neither the engine nor its loop; the status shows it."""

    class Buggy(FakeBackend):
        def load(self, request: LoadRequest, /) -> FakeSession:
            if request.model_file.stem == "min":
                raise ZeroDivisionError("a bug")
            return super().load(request)

    backend = Buggy(inputs=fake_backend.inputs, outputs=fake_backend.outputs, behaviours=fake_backend.behaviours)
    bundle = write_marks(real=False)
    with Engine(bundle, root=device.root, device="raspberry-pi-4b", backends={"onnx": backend}) as engine:
        engine.pin("min")
        until = time.monotonic() + 10
        while engine.status().faults == 0 and time.monotonic() < until:
            engine.context()  # wakes the loop
            time.sleep(0.01)
        assert "ZeroDivisionError: a bug" == engine.status().last_fault
        assert "ZeroDivisionError: a bug" == engine.status().excluded["min"]
        assert "max" == engine.run({"x": X}).point
        engine.pin("balanced")
        engine.step(wait=True)
        assert "balanced" == engine.run({"x": X}).point


def test_runs_that_fail_raise_and_the_next_one_runs(
    open_engine: Callable[..., Engine], write_marks: Callable[..., Bundle], fake_backend: FakeBackend
) -> None:
    """A failing inference is the caller's to see; it is not counted, and the engine goes on."""
    engine = open_engine(write_marks(real=False), backends={"onnx": fake_backend})
    behaviour: Behaviour = fake_backend.behaviours["max"]
    behaviour.fails_on_run = "out of luck"
    with pytest.raises(BackendError, match="out of luck"):
        engine.run({"x": X})
    behaviour.fails_on_run = None
    engine.run({"x": X})
    assert 1 == engine.status().inferences


def test_counters_stay_right_when_nobody_looks(open_engine: Callable[..., Engine], marks_bundle: Bundle) -> None:
    """Thousands of runs between two looks are all counted, and their notes do not pile up."""
    engine = open_engine(marks_bundle)
    for _ in range(20_000):
        engine.run({"x": X})
    assert len(engine._books.notes) < 16_384
    assert 20_000 == engine.status().inferences


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
