"""Streams over real models: order, back-pressure, errors, switches, and no thread left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgehybrid import Engine, Result
from edgehybrid.bundle import Bundle, GateInfo
from edgehybrid.errors import BackendError, DataError
from edgehybrid.profiles import ExitsPolicy, GatePolicy, load_policy
from edgehybrid.runtime.backends import Array
from edgehybrid.runtime.execution import Arrangement
from edgehybrid.testing import make_staged_bundle, staged_input
from edgehybrid.testing.backends import FakeBackend

Feeds = Mapping[str, Array]

SINGLE = Arrangement()
PIPELINE = Arrangement(mode="pipeline", workers=2)
REPLICAS = Arrangement(mode="replicas", workers=3)
THREADS = Arrangement(mode="threads", workers=2)
EVERY = pytest.mark.parametrize("how", [SINGLE, PIPELINE, replace(PIPELINE, workers=3), REPLICAS, THREADS], ids=str)
BESIDE = pytest.mark.parametrize("how", [PIPELINE, REPLICAS], ids=str)
GATE = GateInfo(scales={"x": 0.1}, threshold=0.5, epsilon=0.01, delta=0.1, n=500, pairs="successive")


def numbered(count: int) -> list[Feeds]:
    """Inputs of the staged bundle that leave at different depths, and whose logits are their number."""
    found: list[Feeds] = []
    for k in range(count):
        feeds = staged_input(sure=((0.95, 0.0), (0.0, 0.95), (0.0, 0.0))[k % 3])
        feeds["x"][0, 2:] = k  # both logits, of the exits and of the full model
        found.append(feeds)
    return found


def number_of(result: Result) -> int:
    """The number of the input, whatever its exit added."""
    return round(float(result.outputs["y"][0, 0])) - (10 * result.depth if result.depth < 3 else 0)


def ours() -> list[str]:
    """Threads of streams that are alive."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("edgehybrid-stream")]


@pytest.fixture
def staged(tmp_path: Path) -> Bundle:
    return make_staged_bundle(tmp_path / "staged.bundle", gate=GATE)


@pytest.fixture
def engine(staged: Bundle, tmp_path: Path) -> Iterator[Engine]:
    """An engine at the point with exits; after the test no thread of a stream is left."""
    policy = replace(load_policy("balanced"), exits=ExitsPolicy(audit_share=0.0))
    with Engine(
        staged, root=tmp_path, device="raspberry-pi-4b", background=False, start="max", policy=policy
    ) as opened:
        yield opened
    assert [] == ours()


@EVERY
def test_results_come_in_order_and_are_those_of_run(engine: Engine, how: Arrangement) -> None:
    """Whatever the arrangement and the depth of each input: the same answers, in the order of the inputs."""
    inputs = numbered(60)
    wanted = [engine.run(feeds) for feeds in inputs]
    results = list(engine.stream(inputs, arrangement=how))
    assert list(range(60)) == [number_of(result) for result in results]
    for want, got in zip(wanted, results, strict=True):
        np.testing.assert_array_equal(want.outputs["y"], got.outputs["y"])
        assert (want.point, want.depth, want.confidence) == (got.point, got.depth, got.confidence)


@EVERY
def test_the_app_works_before_and_after_in_order(engine: Engine, how: Arrangement) -> None:
    """``before`` and ``after`` meet every input once, in order; what ``after`` returns is yielded."""
    inputs, seen = numbered(30), []

    def decode(k: int) -> Feeds:
        seen.append(k)
        return inputs[k]

    shown = list(engine.stream(range(30), before=decode, after=lambda k, r: (k, number_of(r)), arrangement=how))
    assert [(k, k) for k in range(30)] == shown
    assert list(range(30)) == seen


@EVERY
@pytest.mark.parametrize("ahead", [0, 2])
def test_the_source_is_taken_no_faster_than_results(engine: Engine, how: Arrangement, ahead: int) -> None:
    """However long the taker waits: at most the inputs in flight are taken beyond the results."""
    how = replace(how, ahead=ahead)
    taken = 0

    def source() -> Iterator[Feeds]:
        nonlocal taken
        for feeds in numbered(20):
            taken += 1
            yield feeds

    for count, _ in enumerate(engine.stream(source(), arrangement=how), 1):
        if count % 5 == 0:
            time.sleep(0.02)
        assert taken <= count + how.in_flight
    assert 20 == taken


@BESIDE
def test_closing_ends_the_threads(engine: Engine, how: Arrangement) -> None:
    """An endless stream that is closed, or dropped, leaves nothing running, and the engine goes on."""

    def endless() -> Iterator[Feeds]:
        while True:
            yield staged_input()

    results = engine.stream(endless(), after=lambda _, result: result, arrangement=how)
    next(results)
    assert ours()
    results.close()
    assert [] == ours()
    for _ in engine.stream(endless(), arrangement=how):
        break
    assert [] == ours()
    assert 3 == engine.run(staged_input()).depth


@EVERY
def test_errors_come_in_their_place(engine: Engine, how: Arrangement) -> None:
    """What the source, the app or a stage raises comes after the results before it, with the input's number."""
    inputs = numbered(10)

    def broken() -> Iterator[Feeds]:
        yield from inputs[:7]
        raise OSError("camera gone")

    def refuse(feeds: Feeds) -> Feeds:
        if feeds is inputs[4]:
            raise ValueError("not a picture")
        return feeds

    def fail(feeds: Feeds, result: Result) -> Result:
        if feeds is inputs[5]:
            raise KeyError("window")
        return result

    bad: list[Feeds] = [*inputs[:3], {"x": np.zeros((1, 5), np.float32)}, *inputs[3:]]
    cases: list[tuple[Iterator[Result], type[Exception], int, str]] = [
        (engine.stream(broken(), arrangement=how), OSError, 7, "the source"),
        (engine.stream(inputs, before=refuse, arrangement=how), ValueError, 4, "the work before it"),
        (engine.stream(inputs, after=fail, arrangement=how), KeyError, 5, "the work after it"),
        (engine.stream(bad, arrangement=how), DataError, 3, "the model"),
    ]
    for results, kind, place, where in cases:
        got: list[int] = []
        with pytest.raises(kind) as caught:
            got.extend(map(number_of, results))
        assert list(range(place)) == got
        assert any(f"input {place} of" in note and where in note for note in caught.value.__notes__)
        assert [] == ours()


@BESIDE
def test_a_source_that_never_answers_holds_nobody(engine: Engine, how: Arrangement) -> None:
    """Closing does not wait for it for ever; its thread ends when it answers."""
    answers = threading.Event()

    def silent() -> Iterator[Feeds]:
        yield staged_input()
        answers.wait()
        yield staged_input()

    results = engine.stream(silent(), arrangement=how)
    next(results)
    results.close()
    assert 1 == len(ours())
    answers.set()
    for _ in range(100):
        if not ours():
            break
        time.sleep(0.01)


@BESIDE
def test_a_source_may_wait_for_results(engine: Engine, how: Arrangement) -> None:
    """A source that gives the next input once a result was taken, quick at first: nobody hangs."""
    given: SimpleQueue[int | None] = SimpleQueue()
    inputs, askers = numbered(40), set()

    def source() -> Iterator[Feeds]:
        while (k := given.get()) is not None:
            askers.add(threading.current_thread())
            yield inputs[k]

    for k in range(3):
        given.put(k)
    results = engine.stream(source(), arrangement=how)
    for k in range(40):
        assert k == number_of(next(results))
        given.put(None if k + 3 > 39 else k + 3)
    assert [] == list(results)
    assert threading.current_thread() not in askers  # who takes results is never held by the source


@BESIDE
def test_the_engine_may_be_closed_meanwhile(staged: Bundle, tmp_path: Path, how: Arrangement) -> None:
    """Who takes the results is told that it is closed; no thread is left."""
    engine = Engine(staged, root=tmp_path, device="raspberry-pi-4b", background=False)
    results = engine.stream(numbered(1000), arrangement=how)
    next(results)
    engine.close()
    assert [] == ours()
    with pytest.raises(BackendError, match="closed"):
        list(results)
    with pytest.raises(BackendError, match="closed"):
        list(engine.stream(numbered(3), arrangement=how))


@EVERY
def test_switches_under_a_stream_lose_nothing(engine: Engine, how: Arrangement) -> None:
    """While points of one and of three stages come and go, every input is answered once, in order."""
    results = []
    for k, result in enumerate(engine.stream(numbered(300), arrangement=how)):
        results.append(result)
        if k % 40 == 20:
            engine.pin(("min", "max")[k // 40 % 2])
            engine.step(wait=True)
    got = [number_of(r) if r.point == "max" else round(float(r.outputs["y"][0, 0])) for r in results]
    assert list(range(300)) == got
    assert {"max", "min"} == {result.point for result in results}
    assert 300 == engine.status().inferences


def test_time_shares_are_dealt_in_a_stream(marks_bundle: Bundle, tmp_path: Path) -> None:
    """Two points that take turns get their shares of a stream too."""
    with Engine(marks_bundle, root=tmp_path, device="raspberry-pi-4b", background=False) as engine:
        quality = {point.name: point.quality.value for point in marks_bundle.points}
        engine.context(min_quality=(quality["max"] + 3 * quality["balanced"]) / 4)
        engine.step(wait=True)
        inputs = [{"x": np.full((1, 4), k, np.float32)} for k in range(80)]
        marks = [
            float(result.outputs["y"][0, 0]) - k for k, result in enumerate(engine.stream(inputs, arrangement=REPLICAS))
        ]
    assert {1.0: 20, 2.0: 60} == {mark: marks.count(mark) for mark in sorted(set(marks))}


@BESIDE
def test_the_gate_holds_in_a_stream(staged: Bundle, tmp_path: Path, how: Arrangement) -> None:
    """A picture that does not change is computed a few times at first, then given again, with its own answer."""
    policy = replace(load_policy("balanced"), gate=GatePolicy(enabled=True, max_age_s=60.0))
    with Engine(
        staged, root=tmp_path, device="raspberry-pi-4b", background=False, start="max", policy=policy
    ) as engine:
        inputs = [staged_input(full=k // 100) for k in range(200)]
        results = list(engine.stream(inputs, arrangement=how))
    computed = [k for k, result in enumerate(results) if result.depth]
    assert 2 <= len(computed) <= 2 * how.in_flight
    assert [k // 100 for k in range(200)] == [int(result.outputs["y"][0].argmax()) for result in results]


def _decode(feeds: Feeds) -> Feeds:
    time.sleep(0.001)  # worth a thread of its own
    return feeds


def test_waiting_is_not_latency(fake_backend: FakeBackend, write_marks: Callable[..., Bundle], tmp_path: Path) -> None:
    """Time in stages and time in queues are apart, in each result and in the status; who decodes has gone ahead."""
    for behaviour in fake_backend.behaviours.values():
        behaviour.latency_s = 0.01
    with Engine(write_marks(real=False), root=tmp_path, background=False, backends={"onnx": fake_backend}) as engine:
        inputs = [{"x": np.ones((1, 4), np.float32)}] * 24
        how = Arrangement(mode="replicas", workers=1, ahead=3)
        results = list(engine.stream(inputs, before=_decode, arrangement=how))
        status = engine.status()
    assert all(result.latency_ms < 2 * 10 + 10 for result in results)
    assert results[18].waited_ms > results[18].latency_ms  # three were before it
    assert status.waits.p50_ms is not None
    assert status.latency.p50_ms is not None
    assert status.waits.p50_ms > status.latency.p50_ms


def test_replicas_overlap(fake_backend: FakeBackend, write_marks: Callable[..., Bundle], tmp_path: Path) -> None:
    """Three inputs at a time take about a third of the time, and not more than that run at once."""
    running, most, lock = 0, 0, threading.Lock()

    def work(feeds: Feeds) -> dict[str, Array]:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.005)
        with lock:
            running -= 1
        return {"y": feeds["x"] + np.float32(1.0)}

    with Engine(write_marks(real=False), root=tmp_path, background=False, backends={"onnx": fake_backend}) as engine:
        fake_backend.behaviours[engine.status().point].outputs = work
        list(engine.stream([{"x": np.ones((1, 4), np.float32)}] * 30, arrangement=REPLICAS))
    assert 3 == most


@given(
    plan=st.lists(st.sampled_from([SINGLE, PIPELINE, REPLICAS, THREADS]), min_size=1, max_size=8),
    count=st.integers(0, 25),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_arrangement_may_change_at_any_time(engine: Engine, plan: list[Arrangement], count: int) -> None:
    """However often it changes on the way: every input once, in order."""
    for k, result in enumerate(engine.stream(numbered(count))):
        assert k == number_of(result)
        engine._streams.arrangement = plan[k % len(plan)]
    engine._streams.arrangement = SINGLE
    assert [] == ours()
