"""Memory of five points: ``python -m benchmarks.hardware.memory``.

The camera sample, exported to five points. First ONNX Runtime's own choices, all points loaded and run in turn, beside
the largest alone: as it comes, without pre-packed weights, with one arena for all sessions, without any arena. Then an
engine that goes through all points and back, beside one that only ever runs the largest. Every row is a process of its
own; megabytes are what its resident set grew by after all imports.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.hardware.parts import write_part
from benchmarks.machine import describe_machine
from edgehybrid import Engine
from edgehybrid.bundle import Bundle
from edgehybrid.exporters import ExportOptions, export
from edgehybrid.profiles import MemoryPolicy, load_policy
from edgehybrid.units import MIB

SAMPLE = Path(__file__).parents[2] / "samples" / "camera_classifier"
REACH = 1.5
ROUNDS, ROW_RUNS = 3, 40
NO_PREPACKING, SHARED = {"session.disable_prepacking": "1"}, {"session.use_env_allocators": "1"}
CHOICES: Mapping[str, Mapping[str, str]] = {
    "as it comes": {},
    "no pre-packed weights": NO_PREPACKING,
    "one arena for all": SHARED,
    "one arena for all, no pre-packed weights": {**SHARED, **NO_PREPACKING},
    "no arena": {"arena": "0"},
}
ENGINES: Mapping[str, float | None] = {"usual budget": None, "budget for all points": 1e4, "keeps nothing": 0.0}


def main() -> int:
    """Measure and write."""
    with tempfile.TemporaryDirectory(prefix="edgehybrid-") as top:
        result = export(
            SAMPLE / "model.onnx",
            Path(top) / "camera.bundle",
            data=SAMPLE / "calibration.npz",
            eval_data=SAMPLE / "test.npz",
            options=ExportOptions(effort="quick", levels=4, gate=False),
        )
        assert result.bundle is not None
        bundle = result.bundle
        largest = max(bundle.points, key=lambda point: point.resident_bytes).name
        choices = {
            name: {"all": _ask(bundle, "session", name, ""), "largest": _ask(bundle, "session", name, largest)}
            for name in CHOICES
        }
        engines = {name: _ask(bundle, "engine", name, "") for name in ENGINES}
        alone = _ask(bundle, "engine", "usual budget", largest)
        count = len(bundle.points)
    figures = {"points": count, "largest": largest, "onnxruntime": choices, "engine": engines, "engine_alone": alone}
    write_part("memory", figures, markdown(figures))
    return 0


def _ask(bundle: Bundle, kind: str, name: str, point: str) -> dict[str, Any]:
    """Measure in fresh processes; medians."""
    words = [sys.executable, "-m", "benchmarks.hardware.memory", "--one", kind, str(bundle.path), name, point]
    runs = [json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout) for _ in range(ROUNDS)]
    return {key: round(float(np.median([run[key] for run in runs])), 3) for key in runs[0]}


def resident_mib() -> float:
    """Resident set of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


def by_session(path: Path, choice: str, point: str) -> dict[str, float]:
    """Load the points with one choice of ONNX Runtime's and run them in turn."""
    import onnxruntime as ort

    bundle, config = Bundle.open(path), CHOICES[choice]
    feeds = _first_input()
    if SHARED.items() <= config.items():
        kind = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
        ort.create_and_register_allocator(kind, None)
    gc.collect()
    before, sessions = resident_mib(), []
    for one in bundle.points:
        if point and one.name != point:
            continue
        variant = bundle.variant("main", one.variants["main"])
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.enable_cpu_mem_arena = config.get("arena") != "0"
        if (weights := bundle.weights_dir(variant)) is not None:
            options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(weights))
        for key, value in config.items():
            if key != "arena":
                options.add_session_config_entry(key, value)
        model = str(bundle.model_path(variant))
        sessions.append(ort.InferenceSession(model, options, providers=["CPUExecutionProvider"]))
        for _ in range(3):
            sessions[-1].run(None, feeds)
    grown = resident_mib() - before
    times: list[list[float]] = [[] for _ in sessions]
    for _ in range(ROW_RUNS):
        for session, took in zip(sessions, times, strict=True):
            started = time.perf_counter()
            session.run(None, feeds)
            took.append(time.perf_counter() - started)
    return {"mib": grown, "ms": float(np.mean([np.median(took) for took in times])) * 1e3}


def by_engine(path: Path, budget: str, point: str) -> dict[str, float]:
    """Go through all points and back, twice; or stay at one."""
    import onnxruntime  # noqa: F401  # its own code does not count

    policy = replace(load_policy("balanced"), memory=MemoryPolicy(resident_mib=ENGINES[budget]))
    bundle, feeds = Bundle.open(path), _first_input()
    names = [one.name for one in bundle.points]
    gc.collect()
    before, most, ready_s = resident_mib(), 0.0, []
    with Engine(bundle, policy=policy, background=False, start=point or names[0]) as engine:
        for name in [point] * 8 if point else [*names, *reversed(names)] * 2:
            started = time.perf_counter()
            engine.pin(name)
            engine.step(wait=True)
            ready_s.append(time.perf_counter() - started)
            for _ in range(5):
                assert name == engine.run(feeds).point
            most = max(most, resident_mib() - before)
        grown = resident_mib() - before
    return {"mib": grown, "most_mib": most, "switch_ms": float(np.median(ready_s[len(names) :])) * 1e3}


def _first_input() -> dict[str, Any]:
    with np.load(SAMPLE / "test.npz") as data:
        return {"x": data["x"][:1].copy()}


def markdown(figures: Mapping[str, Any]) -> str:
    """The section of the page."""
    machine, largest = describe_machine(), figures["largest"]
    lines = [
        f"## Memory of {figures['points']} points",
        "",
        f"`python -m benchmarks.hardware.memory` on {machine['cpu']}, camera sample, growth of the resident set; the "
        f"largest point is {largest}. Reach: {REACH} times the largest alone.",
        "",
        "| ONNX Runtime, all points loaded | MiB | largest alone | beside it | mean latency in turn |",
        "| --- | --- | --- | --- | --- |",
    ]
    base = figures["onnxruntime"]["as it comes"]["largest"]["mib"]
    for name, found in figures["onnxruntime"].items():
        whole, one = found["all"], found["largest"]
        ratio = whole["mib"] / base
        lines.append(f"| {name} | {whole['mib']:.1f} | {one['mib']:.1f} | {ratio:.2f} × | {whole['ms']:.2f} ms |")
    lines += [
        "",
        "Beside the largest alone as ONNX Runtime comes.",
        "",
        "| engine that goes through all points | MiB | at most | beside the largest alone | switch |",
        "| --- | --- | --- | --- | --- |",
    ]
    alone = figures["engine_alone"]["mib"]
    for name, found in figures["engine"].items():
        ratio = f"{found['mib'] / alone:.2f} ×, at most {found['most_mib'] / alone:.2f} ×"
        switch = f"{found['switch_ms']:.1f} ms"
        lines.append(f"| {name} | {found['mib']:.1f} | {found['most_mib']:.1f} | {ratio} | {switch} |")
    lines += ["", f"The largest alone, in an engine: {alone:.1f} MiB. A switch: asked for until it serves, the median."]
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        measured = {"session": by_session, "engine": by_engine}[sys.argv[2]]
        print(json.dumps(measured(Path(sys.argv[3]), sys.argv[4], sys.argv[5])))
    else:
        raise SystemExit(main())
