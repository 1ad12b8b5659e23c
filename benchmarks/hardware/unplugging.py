"""Unplugging under load, and the hand-over between engines: ``python -m benchmarks.hardware.unplugging``.

The keyword spotter is exported; its best point is placed on an accelerator that can be unplugged. Two threads send
inputs all the time. It is unplugged and plugged in again; lost inputs, wrong answers, the slowest answer to an input on
which it failed, and the probes until it is back are counted. Then a chain over ONNX Runtime and LiteRT is taken apart:
what a run takes beyond its two stages, and whether anything is copied at the border.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.export.works import Work, find_works
from benchmarks.hardware.parts import write_part
from edgehybrid.bundle import Bundle
from edgehybrid.exporters import ExportOptions, export
from edgehybrid.exporters.depth import find_cuts
from edgehybrid.exporters.measure import interleave, open_placed, unmeasured_point
from edgehybrid.exporters.placement.stages import float_stages, onnx_parts, tflite_parts
from edgehybrid.exporters.prepare import first_feeds, prepare
from edgehybrid.exporters.search import Candidate, Plan
from edgehybrid.points import REFERENCE
from edgehybrid.profiles import ExecutionPolicy, load_policy
from edgehybrid.runtime import Engine
from edgehybrid.runtime.backends import Session, make_backend
from edgehybrid.runtime.execution import GuardedPlan, LoadedStage, load_plan
from edgehybrid.runtime.execution import Plan as Running
from edgehybrid.runtime.execution.frames import BoundFrame, bind_frame
from edgehybrid.testing import Accelerator, Behaviour, FakeSession

SECTION = "accelerators"
DEADLINE_MS = 50.0
THREADS = 2


def main() -> int:
    """Measure both, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5, help="how often it is unplugged")
    parser.add_argument("--runs", type=int, default=2000, help="runs of the chain")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgehybrid-") as top:
        works, _ = find_works(Path(top))
        work = works["keyword_spotter"]
        unplugged = unplug(work, Path(top), options.times)
        guard = guard_cost(work, Path(top), options.runs)
        crossed = hand_over(work, Path(top), options.runs)
    figures = {"unplugged": unplugged, "guard_us": guard, "hand_over": crossed}
    write_part(SECTION, figures, markdown(figures))
    return 0


def unplug(work: Work, folder: Path, times: int) -> dict[str, Any]:
    """Send inputs from several threads while an accelerator comes and goes."""
    options = ExportOptions(effort="quick", metric=work.metric, max_drop=0.01, gate=False)
    result = export(
        work.model, folder / "unplug.bundle", data=work.calibration, eval_data=work.evaluation, options=options
    )
    assert result.bundle is not None
    best = result.points[1].name
    points = tuple(replace(p, placement={"main": "npu"}) if p.name == best else p for p in result.points)
    bundle = Bundle(result.bundle.path, replace(result.bundle.doc, points=points))
    npu = Accelerator()
    load = Load(work, bundle, npu, best)
    policy = load_policy("balanced")
    policy = replace(policy, switching=replace(policy.switching, interval_s=0.2))
    with Engine(bundle, policy=policy, backends={"npu": npu}, start=best, deadline_ms=DEADLINE_MS) as engine:
        engine.pin(best)
        probes, back_s = load.run(engine, times)
    return {
        "inputs": sum(load.counts),
        "lost": len(load.lost),
        "wrong": load.wrong,
        "failed_over": len(load.rescued_ms),
        "slowest_failed_over_ms": max(load.rescued_ms, default=0.0),
        "slowest_ms": load.slowest_ms,
        "deadline_ms": DEADLINE_MS,
        "unplugged": times,
        "most_probes": max(probes),
        "slowest_back_s": max(back_s),
        "point": best,
    }


class Load:
    """Threads that send inputs and check every answer."""

    def __init__(self, work: Work, bundle: Bundle, npu: Accelerator, best: str) -> None:
        self.npu, self.best, self.done = npu, best, threading.Event()
        self.counts, self.wrong, self.slowest_ms = [0] * THREADS, 0, 0.0
        self.lost: list[BaseException] = []
        self.rescued_ms: list[float] = []
        given = prepare(work.model, work.calibration, None, ExportOptions())
        self.inputs = first_feeds(given.calibration, 64)
        with Engine(bundle, background=False, start=REFERENCE) as plain:
            plain.pin(REFERENCE)
            self.truth = [next(iter(plain.run(feeds).outputs.values())) for feeds in self.inputs]

    def run(self, engine: Engine, times: int) -> tuple[list[int], list[float]]:
        """Unplug it so many times; returns the probes after each return, and the seconds until it serves again."""
        threads = [threading.Thread(target=self._send, args=(k, engine)) for k in range(THREADS)]
        for thread in threads:
            thread.start()
        probes, back_s = [], []
        for number in range(times):
            time.sleep(0.3 + 0.013 * number)
            self.npu.unplug()
            time.sleep(0.4)
            before, plugged = self.npu.loads, time.perf_counter()
            self.npu.plug()
            while engine.status().point != self.best:
                time.sleep(0.01)
            probes.append(self.npu.loads - before - 1)  # the last load is the one that serves
            back_s.append(time.perf_counter() - plugged)
        self.done.set()
        for thread in threads:
            thread.join()
        return probes, back_s

    def _send(self, number: int, engine: Engine) -> None:
        k, served = number, True
        while not self.done.is_set():
            k = (k + 1) % len(self.inputs)
            try:
                result = engine.run(self.inputs[k])
            except BaseException as error:  # noqa: BLE001  # whatever it is, an input was lost
                self.lost.append(error)
                continue
            answer = next(iter(result.outputs.values()))
            self.wrong += int(np.argmax(answer) != np.argmax(self.truth[k]))
            if served and result.point != self.best:  # the first answer after a failure
                self.rescued_ms.append(result.latency_ms)
            served = result.point == self.best
            self.slowest_ms = max(self.slowest_ms, result.latency_ms)
            self.counts[number] += 1
            time.sleep(0.002)


def guard_cost(work: Work, folder: Path, runs: int) -> dict[str, Any]:
    """What looking at answers, and waiting for them in another thread, costs a run.

    Once with a session that computes nothing, as the CPU does while an accelerator works; once with the same file on
    the CPU, which pays for a cold core too.
    """
    bundle = Bundle.open(folder / "unplug.bundle")
    point = bundle.points[1]
    feeds = first_feeds(prepare(work.model, work.calibration, None, ExportOptions()).calibration, 1)[0]
    real = load_plan(bundle, point, ExecutionPolicy(), make_backend)
    answer = real.run(feeds)[0]
    inner = real.stages[0].session
    idle = FakeSession(inner.inputs, inner.outputs, Behaviour(outputs=lambda _: answer))
    return {"nothing": _guarded(real, idle, feeds, runs), "the file": _guarded(real, inner, feeds, runs)}


def _guarded(real: Running, session: Session, feeds: Any, runs: int) -> dict[str, float]:
    stages = (LoadedStage(name="main", session=session),)
    words: dict[str, Any] = {
        "point": real.point,
        "stages": stages,
        "inputs": real.inputs,
        "outputs": real.outputs,
    }
    plain, looked, waited = Running(**words), GuardedPlan(**words), GuardedPlan(**words)
    waited.allow(lambda: 1.0)
    plans = {"plain": plain, "looked at": looked, "waited for": waited}
    runs_of = {name: (lambda plan=plan: plan.run(feeds)) for name, plan in plans.items()}
    timings = interleave(runs_of, budget_s=0.0, min_rounds=runs)
    wall = {name: timings.wall_s[:, timings.column(name)] for name in plans}
    return {name: float(np.median(wall[name] - wall["plain"])) * 1e6 for name in ("looked at", "waited for")}


def hand_over(work: Work, folder: Path, runs: int) -> dict[str, Any]:
    """Cut the float model in two, one half in each engine, and time the halves and the whole."""
    given = prepare(work.model, work.calibration, None, ExportOptions())
    cut = min(
        find_cuts(given.model.graph, given.components, given.probes).cuts, key=lambda c: (not c.at_border, c.overhead)
    )
    place = folder / "stages"
    place.mkdir()
    schemes = {c.name: REFERENCE for c in given.components}
    base = Candidate(name=REFERENCE, graph=given.model.graph, plan=Plan(name=REFERENCE, recipe={}), schemes=schemes)
    stages = float_stages(base, given, [cut], "half", place)
    onnx, _ = onnx_parts(stages, [base], [cut], place)
    lite = [tflite_parts(stage, stage.graph, place)[0]["tflite-fp32"] for stage in stages]
    halves = {
        "onnx to tflite": (onnx[0][REFERENCE], lite[1]),
        "tflite to onnx": (lite[0], onnx[1][REFERENCE]),
        "onnx to onnx": (onnx[0][REFERENCE], onnx[1][REFERENCE]),
    }
    found = {}
    for number, (name, parts) in enumerate(halves.items()):
        loaded = []
        for k, part in enumerate(parts):
            where = place / f"{number}-{k}"
            where.mkdir()
            loaded.append(LoadedStage(name=part.stage, session=open_placed([part], where), backend=part.backend))
        point = unmeasured_point(name, {stage.name: stage.backend for stage in loaded})
        plan = Running(point=point, stages=tuple(loaded), inputs=given.model.inputs, outputs=given.outputs)
        feeds = first_feeds(given.calibration, 1)[0]
        shapes = tuple(feeds[spec.name].shape for spec in given.model.inputs)
        frame = bind_frame(loaded, given.model.inputs, given.outputs, shapes)
        assert frame is not None
        found[name] = _beyond_stages(plan, frame, feeds, runs)
    return {"cut_behind": cut.name, "crossing_bytes": cut.row_bytes, "ways": found}


def _beyond_stages(plan: Running, frame: BoundFrame, feeds: Any, runs: int) -> dict[str, Any]:
    """What a run of the chain takes beyond the runs of its stages: input in, answer out, and the border."""
    (_, first, _), last = frame.early[0], frame.last
    for name, _, _, buffer in frame.inputs:
        buffer[...] = feeds[name]

    def both() -> None:
        first()
        last()

    timings = interleave({"stages": both, "chain": lambda: plan.run(feeds)}, budget_s=0.0, min_rounds=runs)
    stages, chain = (timings.wall_s[:, timings.column(name)] for name in ("stages", "chain"))
    copied = any("_tie" in getattr(step, "__qualname__", "") for step in (first, last))
    return {
        "beyond_stages_us": float(np.median(chain - stages)) * 1e6,
        "chain_ms": float(np.median(chain)) * 1e3,
        "copied": copied,
    }


def markdown(figures: dict[str, Any]) -> str:
    """The section of the page."""
    one, two, guard = figures["unplugged"], figures["hand_over"], figures["guard_us"]
    lines = [
        "## Accelerators that come and go",
        "",
        f"`python -m benchmarks.hardware.unplugging`: the keyword spotter's point {one['point']} on an accelerator, "
        f"{THREADS} threads sending all the time, unplugged {one['unplugged']} times under load.",
        "",
        "| what | measured |",
        "| --- | --- |",
        f"| inputs, lost, wrong | {one['inputs']:,}, {one['lost']}, {one['wrong']} |",
        f"| slowest answer to an input on which it failed ({one['failed_over']} of them), deadline "
        f"{one['deadline_ms']:.0f} ms | {one['slowest_failed_over_ms']:.2f} ms |",
        f"| slowest answer of all | {one['slowest_ms']:.2f} ms |",
        f"| most probes after its return until it is back | {one['most_probes']} |",
        f"| longest time until it serves again (waits double with every relapse) | {one['slowest_back_s']:.1f} s |",
        *(
            f"| looking at an answer; with the helping thread too; where the CPU computes {what} | "
            f"{cost['looked at']:.1f} µs; {cost['waited for']:.1f} µs |"
            for what, cost in guard.items()
        ),
        "",
        f"Hand-over of {two['crossing_bytes']:,} bytes behind `{two['cut_behind']}` of the same model, cut in two:",
        "",
        "| way | copied at the border | a run takes | beyond its two stages: input in, border, answer out |",
        "| --- | --- | --- | --- |",
        *(
            f"| {name} | {'once' if way['copied'] else 'nothing'} | {way['chain_ms']:.3f} ms | "
            f"{way['beyond_stages_us']:.1f} µs |"
            for name, way in two["ways"].items()
        ),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
