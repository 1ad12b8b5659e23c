from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgehybrid import Engine, Result
from edgehybrid.bundle import Bundle
from edgehybrid.errors import BackendError, BundleError, DataError, ProfileError, RequestError
from edgehybrid.runtime.backends import Array, LoadRequest
from edgehybrid.testing.backends import Behaviour, FakeBackend, FakeSession

X: Array = np.ones((1, 4), np.float32)


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


def test_status_is_truthful_and_frozen(open_engine: Callable[..., Engine], marks_bundle: Bundle, device: Any) -> None:
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
    open_engine: Callable[..., Engine], write_marks: Callable[..., Bundle], device: Any
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
    """After closing, runs and a new ``with`` raise our error; closing twice is fine; the status can still be read."""
    engine = open_engine(marks_bundle)
    engine.run({"x": X})
    engine.close()
    engine.close()
    for use in (lambda: engine.run({"x": X}), engine.step, lambda: engine.pin("min"), engine.__enter__):
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
    with pytest.raises(RequestError, match=r"min_quality=93 is no share, and accuracy is one\. Pass 0 to 1"):
        open_engine(marks_bundle).context(min_quality=93)


def test_start_names_the_first_point(open_engine: Callable[..., Engine], marks_bundle: Bundle) -> None:
    """The app may choose where to start; the next step goes where the controller wants."""
    engine = open_engine(marks_bundle, start="min")
    assert "min" == engine.run({"x": X}).point
    assert "max" == engine.step(wait=True).point
    assert "max" == engine.run({"x": X}).point


def test_nothing_is_dropped_while_points_switch(marks_bundle: Bundle, device: Any) -> None:
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


def test_the_loop_survives_what_nobody_foresaw(
    write_marks: Callable[..., Bundle], fake_backend: FakeBackend, device: Any
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
