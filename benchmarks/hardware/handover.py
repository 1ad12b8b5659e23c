"""Hand-overs in a pipeline: ``python -m benchmarks.hardware.handover``.

From the end of a stage to the beginning of the next one in another thread, by the clock of the stages themselves: in a
line whose workers sleep between inputs, and in one that is never idle. The stages compute outside of the interpreter,
as ONNX Runtime does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from benchmarks.hardware.parts import write_part
from benchmarks.machine import describe_machine
from edgehybrid.runtime.backends import Array
from edgehybrid.runtime.execution import Arrangement, Job, Line, LoadedStage, Plan, Trace
from edgehybrid.tensors import TensorSpec
from edgehybrid.testing import make_point

INPUTS, REACH_US = 4000, 20.0
_now = time.perf_counter


class Stage:
    """A session that multiplies matrices and notes when it begins and ends."""

    def __init__(self, source: str, target: str, size: int) -> None:
        self.inputs = (TensorSpec(name=source, dtype="float32", shape=(1, size, size)),)
        self.outputs = (TensorSpec(name=target, dtype="float32", shape=(1, size, size)),)
        self.begun: list[float] = []
        self.ended: list[float] = []

    def run(self, feeds: Mapping[str, Array], /) -> dict[str, Array]:
        """Multiply the input with itself: numpy lets other threads run meanwhile."""
        self.begun.append(_now())
        (value,) = feeds.values()
        result = {self.outputs[0].name: value @ value}
        self.ended.append(_now())
        return result


def measure(size: int, pause_s: float) -> dict[str, Any]:
    """Return microseconds of a hand-over: median, 95th and 99th percentile."""
    first, second = Stage("x", "cut", size), Stage("cut", "y", size)
    plan = Plan(
        point=make_point("max", energy_mj=1.0),
        stages=tuple(LoadedStage(name=f"part-{k}", session=stage) for k, stage in enumerate((first, second), 1)),
        inputs=first.inputs,
        outputs=("y",),
    )
    value = {"x": np.eye(size, dtype=np.float32)[None]}

    def source() -> Iterator[Mapping[str, Array]]:
        for _ in range(INPUTS):
            if pause_s:
                time.sleep(pause_s)
            yield value

    def finish(job: Job, trace: Trace) -> None:  # noqa: ARG001  # a line's signature
        return None

    how = Arrangement(mode="pipeline", workers=2)
    line: Line[Mapping[str, Array], None] = Line(
        source(),
        before=lambda item: item,
        start=lambda feeds: Job(plan=plan, steps=plan.steps(feeds)),
        finish=finish,
        after=None,
        arranged=lambda: how,
    )
    for _ in line.results():
        pass
    gone, came = np.asarray(first.ended), np.asarray(second.begun)
    free = np.concatenate([[True], np.asarray(second.ended)[:-1] <= gone[1:]])  # else the next worker was busy
    took = (came - gone)[free][100:] * 1e6
    p50, p95, p99 = np.percentile(took, (50, 95, 99)).round(1).tolist()
    return {"p50_us": p50, "p95_us": p95, "p99_us": p99, "n": len(took)}


def main() -> int:
    """Measure and write."""
    found = {
        "worker sleeps": measure(64, 0.0005),
        "line never idle": measure(128, 0.0),
    }
    machine = describe_machine()
    lines = [
        "## Hand-over between stages",
        "",
        f"`python -m benchmarks.hardware.handover` on {machine['cpu']}, load {machine['load_1min']}. From the end of a "
        f"stage to the beginning of the next in another thread. Reach: {REACH_US:g} µs.",
        "",
        "| line | median | 95 % | 99 % |",
        "| --- | --- | --- | --- |",
        *(f"| {name} | {f['p50_us']} µs | {f['p95_us']} µs | {f['p99_us']} µs |" for name, f in found.items()),
    ]
    write_part("handover", found, "\n".join(lines))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
