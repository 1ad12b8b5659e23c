from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgehybrid.bundle import Bundle
from edgehybrid.errors import BackendError
from edgehybrid.profiles import load_policy
from edgehybrid.runtime.availability import AUDIT_S, stand_ins
from edgehybrid.runtime.engine import Engine
from edgehybrid.runtime.execution import Arrangement, Mode
from edgehybrid.testing import Accelerator, DeviceTree, make_point
from edgehybrid.units import MIB

Write = Callable[..., Bundle]
QUICK = replace(load_policy("balanced"), switching=replace(load_policy("balanced").switching, interval_s=0.05))
CPU_POINTS = {"fp32", "balanced", "min"}


def x_of(value: float) -> np.ndarray:
    return np.asarray([[value, -value, 1, 2]], np.float32)


@pytest.fixture
def placed(marks_bundle: Bundle) -> Bundle:
    """The bundle of marks; its best point runs on an accelerator."""
    points = tuple(replace(p, placement={"main": "npu"}) if p.name == "max" else p for p in marks_bundle.points)
    return Bundle(marks_bundle.path, replace(marks_bundle.doc, points=points))


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now_s


class Bench:
    """An engine without a background, an accelerator and a clock."""

    def __init__(self, bundle: Bundle, root: Path | str = "/") -> None:
        self.npu, self.clock = Accelerator(), Clock()
        self.engine = Engine(
            bundle, background=False, backends={"npu": self.npu}, clock=self.clock, root=root, start="max"
        )

    def later(self, s: float) -> None:
        """Move the clock, and let the engine look."""
        self.clock.now_s += s
        self.engine.step(wait=True)


@pytest.fixture
def bench(placed: Bundle) -> Iterator[Bench]:
    bench = Bench(placed)
    yield bench
    bench.engine.close()


def test_a_point_on_the_cpu_stands_by(bench: Bench) -> None:
    """While the accelerator serves, the best point on the CPU is loaded beside it; it is let go when it serves."""
    assert "max" == bench.engine.run({"x": x_of(1)}).point
    assert "balanced" == bench.engine.status().stand_by
    bench.npu.unplug()
    bench.engine.run({"x": x_of(1)})
    assert bench.engine.status().stand_by is None


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda npu: npu.unplug(), "the device is gone"),
        (lambda npu: npu.occupy(), "another process holds it"),
        (lambda npu: npu.overheat(), "too hot"),
        (lambda npu: npu.corrupt("nan"), "not finite"),
        (lambda npu: npu.corrupt("constant"), "the same number everywhere"),
    ],
)
def test_the_very_input_that_failed_is_answered(
    bench: Bench, marks: dict[str, float], harm: Callable[[Accelerator], None], says: str
) -> None:
    """Gone, busy, hot, garbage: a point on the CPU gives the answer, and the reason is in status and journal."""
    bench.engine.run({"x": x_of(1)})
    harm(bench.npu)

    result = bench.engine.run({"x": x_of(2)})

    assert result.point in CPU_POINTS
    np.testing.assert_array_equal(x_of(2) + marks[result.point], result.outputs["y"])
    status = bench.engine.status()
    assert says in status.excluded["max"]
    assert says in status.accelerators["npu"]
    assert any("npu is out" in switch.reason and says in switch.reason for switch in bench.engine.journal)
    bench.engine.step(wait=True)
    assert bench.engine.run({"x": x_of(3)}).point in CPU_POINTS


def test_a_device_that_hangs_does_not_hang_the_app(bench: Bench, marks: dict[str, float]) -> None:
    """No error, no answer: after what the deadline leaves, the point that stands by answers; probes go on by and by."""
    bench.engine.context(deadline_ms=40)
    bench.engine.run({"x": x_of(1)})
    bench.npu.hang()

    result = bench.engine.run({"x": x_of(2)})

    assert result.point in CPU_POINTS
    np.testing.assert_array_equal(x_of(2) + marks[result.point], result.outputs["y"])
    assert "did not answer within" in bench.engine.status().excluded["max"]
    bench.npu.plug()
    bench.later(2)
    assert "max" == bench.engine.run({"x": x_of(3)}).point


def test_it_comes_back_by_itself(bench: Bench) -> None:
    """Probes wait twice as long after each failure; the first one after its return brings it back, with a test."""
    bench.npu.unplug()
    bench.engine.run({"x": x_of(1)})
    for _ in range(4):
        bench.later(8)
    tried = bench.npu.loads
    bench.later(0.5)
    assert tried == bench.npu.loads, "not before it is due"

    bench.npu.plug()
    bench.later(16)

    assert "max" == bench.engine.run({"x": x_of(1)}).point
    assert 1 == bench.npu.loads - tried, "what the probe loaded serves"
    assert any("npu is back: probe" in switch.reason for switch in bench.engine.journal)
    assert "well" == bench.engine.status().accelerators["npu"]


def test_a_stuck_accelerator_is_found_out(bench: Bench) -> None:
    """The same answer to different inputs: the CPU is asked, and disagrees."""
    bench.engine.run({"x": x_of(1)})
    bench.npu.corrupt("stuck")
    points = [bench.engine.run({"x": x_of(k)}).point for k in range(2, 10)]

    assert "max" == points[0]
    assert points[-1] in CPU_POINTS
    assert "the same answer to different inputs" in bench.engine.status().excluded["max"]


def test_an_answer_that_is_truly_constant_is_no_fault(bench: Bench, marks: dict[str, float]) -> None:
    """Where the CPU gives one value everywhere too, and for the same input again and again, nothing is out."""
    flat = np.zeros((1, 4), np.float32)
    for _ in range(10):
        result = bench.engine.run({"x": flat})
        assert "max" == result.point
        np.testing.assert_array_equal(flat + marks["max"], result.outputs["y"])
    for _ in range(10):
        assert "max" == bench.engine.run({"x": x_of(5)}).point, "the same input may have the same answer"


def test_golden_vectors_find_plausible_garbage(bench: Bench) -> None:
    """Numbers that look like an answer: the replay of the golden vectors finds them within its interval."""
    bench.engine.run({"x": x_of(1)})
    bench.npu.corrupt("noise")
    assert "max" == bench.engine.run({"x": x_of(1)}).point
    bench.later(AUDIT_S)
    assert "failed its self-test" in bench.engine.status().excluded["max"]
    assert bench.engine.run({"x": x_of(1)}).point in CPU_POINTS


def test_telemetry_takes_it_out_before_it_fails(placed: Bundle, tmp_path: Path) -> None:
    """An accelerator that is too hot is left before a run fails, and not probed while that holds."""
    tree = DeviceTree.pi5(tmp_path).coral(60.0)
    bench = Bench(placed, tmp_path)
    try:
        assert "max" == bench.engine.run({"x": x_of(1)}).point
        tree.coral(91.0)
        bench.later(1)
        assert bench.engine.run({"x": x_of(1)}).point in CPU_POINTS
        assert "its 91 °C have reached 85 °C" in bench.engine.status().excluded["max"]
        loads = bench.npu.loads
        tree.coral(80.0)
        bench.later(100)
        assert loads == bench.npu.loads, "it has to cool down to 75 °C"
        tree.coral(70.0)
        bench.later(1)
        bench.later(1)
        assert "max" == bench.engine.run({"x": x_of(1)}).point
    finally:
        bench.engine.close()


def test_without_a_point_on_the_cpu_the_error_is_told(marks_bundle: Bundle) -> None:
    """Nothing is invented: where every point needs the accelerator, its failure reaches the app, and it is tried on."""
    points = tuple(replace(p, placement={"main": "npu"}) for p in marks_bundle.points)
    bench = Bench(Bundle(marks_bundle.path, replace(marks_bundle.doc, points=points)))
    try:
        bench.npu.unplug()
        with pytest.raises(BackendError, match="the device is gone"):
            bench.engine.run({"x": x_of(1)})
        bench.npu.plug()
        bench.later(2)
        bench.later(2)
        bench.engine.run({"x": x_of(1)})
    finally:
        bench.engine.close()


def test_it_starts_without_the_accelerator(placed: Bundle) -> None:
    """Unplugged at the start: another point serves, and the accelerator joins when it is there."""
    npu, clock = Accelerator(), Clock()
    npu.unplug()
    with Engine(placed, background=False, backends={"npu": npu}, clock=clock) as engine:
        assert engine.run({"x": x_of(1)}).point in CPU_POINTS
        npu.plug()
        clock.now_s += 2
        engine.step(wait=True)
        assert "max" == engine.run({"x": x_of(1)}).point


def test_unplugged_under_load_nothing_is_lost(placed: Bundle, marks: dict[str, float]) -> None:
    """Four threads, unplugged at any moment: every input has its right answer; back within two probes of its return."""
    npu = Accelerator()
    lost: list[BaseException] = []
    wrong: list[str] = []
    done = threading.Event()
    counts = [0] * 4

    def serve(number: int, engine: Engine) -> None:
        rng = np.random.default_rng(number)
        while not done.is_set():
            x = rng.standard_normal((1, 4)).astype(np.float32)
            try:
                result = engine.run({"x": x})
            except BaseException as error:  # noqa: BLE001  # whatever it is, an input was lost
                lost.append(error)
                return
            if not np.array_equal(x + np.float32(marks[result.point]), result.outputs["y"]):
                wrong.append(result.point)
            counts[number] += 1
            time.sleep(0.001)

    with Engine(placed, policy=QUICK, backends={"npu": npu}, start="max") as engine:
        threads = [threading.Thread(target=serve, args=(k, engine)) for k in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(3):
            time.sleep(0.1)
            npu.unplug()
            time.sleep(0.2)
            before = npu.loads
            npu.plug()
            wait_for(lambda: "max" == engine.status().point)
            assert npu.loads - before <= 3, "two probes, and the load to serve"
        done.set()
        for thread in threads:
            thread.join()

    assert [] == lost
    assert [] == wrong
    assert min(counts) > 50


@pytest.mark.parametrize("mode", ["single", "replicas", "pipeline"])
def test_a_stream_loses_nothing_either(placed: Bundle, marks: dict[str, float], mode: Mode) -> None:
    """Unplugged under a stream, every input comes out answered and in its place."""
    npu = Accelerator()
    xs = [np.full((1, 4), k, np.float32) for k in range(400)]

    def source() -> Iterator[dict[str, np.ndarray]]:
        for k, x in enumerate(xs):
            if k == 150:
                npu.unplug()
            yield {"x": x}

    with Engine(placed, policy=QUICK, backends={"npu": npu}, start="max") as engine:
        results = list(
            engine.stream(source(), arrangement=Arrangement(mode=mode, workers=2 if mode != "single" else 1))
        )

    points = [result.point for result in results]
    assert len(xs) == len(results)
    assert all(np.array_equal(x + np.float32(marks[r.point]), r.outputs["y"]) for x, r in zip(xs, results, strict=True))
    assert "max" == points[0] != points[-1]


def wait_for(holds: Callable[[], bool], at_most_s: float = 60.0) -> None:
    end = time.monotonic() + at_most_s
    while not holds():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def test_who_stands_by() -> None:
    """In time first, then what fits into memory, then the better; the float reference last."""
    points = [
        make_point("fp32", energy_mj=9, latency_ms=9),
        make_point("max", energy_mj=5, latency_ms=5),
        make_point("min", energy_mj=1, latency_ms=1, drop=0.1),
    ]
    assert ["max", "min", "fp32"] == stand_ins(points, None)
    assert ["min", "max", "fp32"] == stand_ins(points, None, deadline_s=0.004)
    large = [replace(p, resident_bytes=int(p.latency_ms.p50 * MIB)) for p in points]
    assert ["min", "max", "fp32"] == stand_ins(large, 20.0, keep_mib=18.0)
