"""Hand-overs in a pipeline: ``python -m benchmarks.hardware.handover``.

From the end of a stage to the beginning of the next one, by the clock of the stages themselves: in a line whose workers
sleep between inputs, and in lines that are never idle: with stages alike, with a second stage half as heavy again, and
the other way round. Where the next worker was still at work, from the end of that: what is left is what handing over
costs. Those to a worker that was free, and so asleep, are told apart. The stages are sessions of ONNX Runtime, bound.

Beside it the least that two threads in Python can do, in turn with it: the same sessions, a queue between them, a
semaphore that holds the first back, no results and no errors.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from queue import SimpleQueue
from threading import Semaphore, Thread
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.hardware.parts import write_part
from benchmarks.machine import Floats, describe_machine
from edgehybrid.runtime.backends import Array, Bindable, Bound, LoadRequest, OnnxBackend, Session
from edgehybrid.runtime.execution import Arrangement, Job, Line, LoadedStage, Plan, Trace
from edgehybrid.tensors import TensorSpec
from edgehybrid.testing import make_point

INPUTS, WARM, ROUNDS, REACH_US = 1000, 50, 4, 20.0
HOW = Arrangement(mode="pipeline", workers=2)
Flags = np.ndarray[Any, np.dtype[np.bool_]]

_now = time.perf_counter


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Noted:
    """A session that notes when it begins and ends."""

    session: Session
    begun: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """As the session has them."""
        return self.session.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """As the session has them."""
        return self.session.outputs

    def run(self, feeds: Mapping[str, Array], /) -> dict[str, Array]:
        """Run unbound."""
        return self.session.run(feeds)

    def bind(self, inputs: Mapping[str, Array], /, outputs: Mapping[str, Array] | None = None) -> Bound | None:
        """Bind, and note the times of what is bound."""
        assert isinstance(self.session, Bindable)
        bound = self.session.bind(inputs, outputs)
        return None if bound is None else NotedBound(outputs=bound.outputs, inner=bound.run, noted=self)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NotedBound:
    """A bound session that notes when it begins and ends."""

    outputs: Mapping[str, Array]
    inner: Callable[[], None]
    noted: Noted

    def run(self) -> None:
        """Run, between two looks at the clock."""
        self.noted.begun.append(_now())
        self.inner()
        self.noted.ended.append(_now())


def stage(folder: Path, source: str, target: str, size: int, products: int) -> Session:
    """Load a stage that multiplies its input by ``products`` matrices of ``(size, size)``, one after the other."""
    weight = numpy_helper.from_array(np.eye(size, dtype=np.float32), "w")
    names = [source, *(f"m{k}" for k in range(products - 1)), target]
    nodes = [helper.make_node("MatMul", [a, "w"], [b]) for a, b in pairwise(names)]
    ends = [[helper.make_tensor_value_info(n, TensorProto.FLOAT, (1, size, size))] for n in (source, target)]
    graph = helper.make_graph(nodes, "stage", inputs=ends[0], outputs=ends[1], initializer=[weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path := folder / f"{source}-{products}.onnx")
    specs = [(TensorSpec(name=n, dtype="float32", shape=(1, size, size)),) for n in (source, target)]
    return OnnxBackend().load(LoadRequest(model_file=path, inputs=specs[0], outputs=specs[1]))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stages:
    """The two of a line, and an input of it."""

    first: Session
    second: Session
    value: Mapping[str, Array]
    pause_s: float

    def source(self) -> Iterator[Mapping[str, Array]]:
        """Give the same input again and again."""
        for _ in range(INPUTS):
            if self.pause_s:
                time.sleep(self.pause_s)
            yield self.value


def ours(stages: Stages) -> tuple[Noted, Noted]:
    """Run inputs through a line of the runtime."""
    first, second = Noted(session=stages.first), Noted(session=stages.second)
    plan = Plan(
        point=make_point("max", energy_mj=1.0),
        stages=tuple(LoadedStage(name=f"part-{k}", session=part) for k, part in enumerate((first, second), 1)),
        inputs=first.inputs,
        outputs=("y",),
    )

    def finish(job: Job, trace: Trace) -> None:  # noqa: ARG001  # a line's signature
        return None

    line: Line[Mapping[str, Array], None] = Line(
        stages.source(),
        before=lambda item: item,
        start=lambda feeds: Job(plan=plan, steps=plan.steps(feeds)),
        finish=finish,
        after=None,
        arranged=lambda: HOW,
    )
    for _ in line.results():
        pass
    return first, second


def by_hand(stages: Stages) -> tuple[Noted, Noted]:
    """Run them with two threads, a queue and a semaphore."""
    first, second = Noted(session=stages.first), Noted(session=stages.second)
    one = first.bind(stages.value)
    assert one is not None
    two = second.bind(one.outputs)
    assert two is not None
    room, queue = Semaphore(HOW.in_flight), SimpleQueue[bool]()

    def feed() -> None:
        for _ in stages.source():
            room.acquire()
            one.run()
            queue.put(True)
        queue.put(False)

    thread = Thread(target=feed)
    thread.start()
    while queue.get():
        two.run()
        room.release()
    thread.join()
    return first, second


def measure(folder: Path, size: int, pause_s: float, products: tuple[int, int] = (1, 1)) -> dict[str, Any]:
    """Return microseconds of a hand-over, of all and of those to a free worker, ours and by hand."""
    first, second = (
        stage(folder, *ends, size, n) for ends, n in zip((("x", "cut"), ("cut", "y")), products, strict=True)
    )
    stages = Stages(first=first, second=second, value={"x": np.ones((1, size, size), np.float32)}, pause_s=pause_s)
    ways = {"ours": ours, "by hand": by_hand}
    took: dict[str, list[tuple[Floats, Flags]]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            took[name].append(_hand_overs(*way(stages)))
    return {
        name: _summary(*(np.concatenate(part) for part in zip(*found, strict=True))) for name, found in took.items()
    }


def _hand_overs(first: Noted, second: Noted) -> tuple[Floats, Flags]:
    """Return microseconds of each, and whether the next worker was free."""
    gone, came = np.asarray(first.ended), np.asarray(second.begun)
    before = np.concatenate([[0.0], np.asarray(second.ended)[:-1]])
    took_us: Floats = (came - np.maximum(gone, before)) * 1e6
    return took_us[WARM:], (before <= gone)[WARM:]


def _summary(took_us: Floats, free: Flags) -> dict[str, Any]:
    return {
        "all": _percentiles(took_us),
        "free": _percentiles(took_us[free]) if free.any() else None,
        "free_share": float(free.mean()),
    }


def _percentiles(took_us: Floats) -> dict[str, float]:
    p50, p95, p99 = np.percentile(took_us, (50, 95, 99)).round(1).tolist()
    return {"p50_us": p50, "p95_us": p95, "p99_us": p99}


def _cell(found: dict[str, float] | None) -> str:
    return "-" if found is None else f"{found['p50_us']}, {found['p95_us']}, {found['p99_us']} µs"


def main() -> int:
    """Measure and write."""
    with tempfile.TemporaryDirectory(prefix="edgehybrid-") as top:
        found = {
            "worker sleeps": measure(Path(top), 64, 0.0005),
            "line never idle": measure(Path(top), 128, 0.0, (4, 4)),
            "never idle, 12 and 18 products a stage": measure(Path(top), 128, 0.0, (12, 18)),
            "never idle, 18 and 12 products a stage": measure(Path(top), 128, 0.0, (18, 12)),
        }
    machine = describe_machine()
    lines = [
        "## Hand-over between stages",
        "",
        f"`python -m benchmarks.hardware.handover` on {machine['cpu']}, load {machine['load_1min']}. From the end of a "
        "stage to the beginning of the next, or, where the next worker was still at work, from the end of that. "
        f"Median, 95 %, 99 %. Reach: {REACH_US:g} µs. By hand: two bare threads and a queue, in turn with ours.",
        "",
        "| line | all hand-overs | by hand | to a worker that was free | by hand | share of those |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, both in found.items():
        mine, hand = both["ours"], both["by hand"]
        cells = [_cell(one[key]) for key in ("all", "free") for one in (mine, hand)]
        lines.append(f"| {name} | {' | '.join(cells)} | {100 * mine['free_share']:.0f} % |")
    write_part("handover", found, "\n".join(lines))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
