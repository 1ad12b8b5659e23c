"""Hand-overs in a pipeline: ``python -m benchmarks.hardware.handover``.

From the end of a stage to the beginning of the next one, by the clock of the stages themselves: in a line whose workers
sleep between inputs, and in lines that are never idle: with stages alike, with a second stage half as heavy again, and
the other way round. Where the next worker was still at work, from the end of that: what is left is what handing over
costs. Those to a worker that was free, and so asleep, are told apart. The stages compute outside of the interpreter, as
ONNX Runtime does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from benchmarks.hardware.parts import write_part
from benchmarks.machine import Floats, describe_machine
from edgehybrid.runtime.backends import Array
from edgehybrid.runtime.execution import Arrangement, Job, Line, LoadedStage, Plan, Trace
from edgehybrid.tensors import TensorSpec
from edgehybrid.testing import make_point

INPUTS, WARM, REACH_US = 4000, 100, 20.0
_now = time.perf_counter


class Stage:
    """A session that multiplies matrices and notes when it begins and ends."""

    def __init__(self, source: str, target: str, size: int, times: int) -> None:
        self._work = np.ones((times, size, size), np.float32)
        self._room = np.empty_like(self._work)
        self.inputs = (TensorSpec(name=source, dtype="float32", shape=(1, size, size)),)
        self.outputs = (TensorSpec(name=target, dtype="float32", shape=(1, size, size)),)
        self.begun: list[float] = []
        self.ended: list[float] = []

    def run(self, feeds: Mapping[str, Array], /) -> dict[str, Array]:
        """Multiply matrices, and pass the input on: numpy lets other threads run meanwhile."""
        self.begun.append(_now())
        result = dict.fromkeys((self.outputs[0].name,), next(iter(feeds.values())))
        np.matmul(self._work, self._work, out=self._room)  # one call, outside of the interpreter
        self.ended.append(_now())
        return result


def measure(size: int, pause_s: float, times: tuple[int, int] = (1, 1)) -> dict[str, Any]:
    """Return microseconds of a hand-over, of all and of those to a free worker; ``times`` each stage multiplies."""
    first, second = (Stage(*names, size, n) for names, n in zip((("x", "cut"), ("cut", "y")), times, strict=True))
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
    before = np.concatenate([[0.0], np.asarray(second.ended)[:-1]])  # else the next worker was busy
    took_us = (came - np.maximum(gone, before))[WARM:] * 1e6
    free = (before <= gone)[WARM:]
    return {"all": _percentiles(took_us), "free": _percentiles(took_us[free]), "free_share": float(free.mean())}


def _percentiles(took_us: Floats) -> dict[str, float]:
    p50, p95, p99 = np.percentile(took_us, (50, 95, 99)).round(1).tolist()
    return {"p50_us": p50, "p95_us": p95, "p99_us": p99}


def _cell(found: dict[str, float]) -> str:
    return f"{found['p50_us']}, {found['p95_us']}, {found['p99_us']} µs"


def main() -> int:
    """Measure and write."""
    found = {
        "worker sleeps": measure(64, 0.0005),
        "line never idle": measure(128, 0.0),
        "never idle, 12 and 18 products a stage": measure(128, 0.0, (12, 18)),
        "never idle, 18 and 12 products a stage": measure(128, 0.0, (18, 12)),
    }
    machine = describe_machine()
    lines = [
        "## Hand-over between stages",
        "",
        f"`python -m benchmarks.hardware.handover` on {machine['cpu']}, load {machine['load_1min']}. From the end of a "
        "stage to the beginning of the next, or, where the next worker was still at work, from the end of that. "
        f"Median, 95 %, 99 %. Reach: {REACH_US:g} µs.",
        "",
        "| line | all hand-overs | to a worker that was free | share of those |",
        "| --- | --- | --- | --- |",
        *(
            f"| {name} | {_cell(f['all'])} | {_cell(f['free'])} | {100 * f['free_share']:.0f} % |"
            for name, f in found.items()
        ),
    ]
    write_part("handover", found, "\n".join(lines))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
