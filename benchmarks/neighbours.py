"""Busy neighbours on this machine, for real: the engine beside every static choice of threads and spinning.

``python -m benchmarks.neighbours [SAMPLE] [--seconds S]``; writes ``results/neighbours.json``, and leaves what it says
of other samples. Each choice runs in a process of its own through the same phases: no neighbour, one, two, and one that
works in bursts. The order of the choices changes from round to round. The CPU time is that of the whole process,
threads that spin included.

The inputs of a second are spread at random, the same for every choice: at a fixed rate they lock to the scheduler's
tick (10 Hz is every 25th tick at 250 Hz), and a whole run is then either always interrupted by a busy neighbour or
never, by the instant at which it began.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import RESULTS, write_result
from edgehybrid import Engine
from edgehybrid.bundle import Bundle
from edgehybrid.exporters import ExportOptions, export
from edgehybrid.runtime.backends import LoadRequest, OnnxBackend

SAMPLES = Path(__file__).parents[1] / "samples"
RATE_HZ, ROUNDS = 10.0, 5
PHASES = ("none", "one", "two", "bursts")
STATIC = {f"{t} thread{'s' * (t > 1)}{', spinning' * spin}": (t, spin) for t in (1, 2) for spin in (False, True)}
ENGINE, DEFAULT = "engine", "2 threads, spinning"  # the latter is ONNX Runtime's own default on two cores
WARM_UP = 5


def main() -> None:
    """Measure every choice in every phase."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sample", nargs="?", default="camera_classifier")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each choice, in each phase and round")
    options = parser.parse_args()
    sample, seconds = SAMPLES / options.sample, options.seconds
    with tempfile.TemporaryDirectory() as folder:
        result = export(
            sample / "model.onnx",
            Path(folder) / "bundle",
            data=sample / "calibration.npz",
            eval_data=sample / "test.npz",
            options=ExportOptions(effort="quick", levels=1, gate=False),
        )
        assert result.bundle is not None
        bundle = result.bundle.path
        (point,) = _measure(sample, bundle, ENGINE, "", 3.0)["points"]  # what the engine runs where nothing limits it
        found: dict[str, dict[str, list[dict[str, Any]]]] = {phase: {} for phase in PHASES}
        for number in range(ROUNDS):
            for phase in PHASES:
                names = [ENGINE, *STATIC]
                for name in names[number:] + names[:number]:
                    with neighbours(phase):
                        run = _measure(sample, bundle, name, point, seconds)
                    found[phase].setdefault(name, []).append(run)
    kept = json.loads((RESULTS / "neighbours.json").read_text(encoding="utf-8"))["works"]
    kept[options.sample] = {"seconds": seconds, "point": point, "phases": summarize(found)}
    write_result("neighbours", {"rate_hz": RATE_HZ, "works": kept})


def summarize(found: dict[str, dict[str, list[dict[str, Any]]]]) -> dict[str, Any]:
    """Median over the inputs of all rounds; beside the best static choice of each phase, by latency times CPU time."""
    phases: dict[str, Any] = {}
    for phase, runs in found.items():
        rows: dict[str, Any] = {
            name: {
                "latency_ms": round(float(np.median(np.concatenate([r["latencies_ms"] for r in items]))), 3),
                "mean_ms": round(float(np.mean(np.concatenate([r["latencies_ms"] for r in items]))), 3),
                "rounds_ms": [round(float(np.median(r["latencies_ms"])), 3) for r in items],
                "cpu_ms": round(float(np.median([r["cpu_ms"] for r in items])), 3),
            }
            for name, items in runs.items()
        }
        best = min(STATIC, key=lambda name: rows[name]["latency_ms"] * rows[name]["cpu_ms"])
        ours = rows[ENGINE]
        phases[phase] = {
            "choices": rows,
            "best_static": best,
            "engine_points": sorted({point for run in runs[ENGINE] for point in run["points"]}),
            "engine_latency_to_best": round(ours["latency_ms"] / rows[best]["latency_ms"], 3),
            "engine_mean_to_best": round(ours["mean_ms"] / rows[best]["mean_ms"], 3),
            "engine_cpu_to_best": round(ours["cpu_ms"] / rows[best]["cpu_ms"], 3),
            "default_latency_to_best": round(rows[DEFAULT]["latency_ms"] / rows[best]["latency_ms"], 3),
            "default_cpu_to_best": round(rows[DEFAULT]["cpu_ms"] / rows[best]["cpu_ms"], 3),
        }
    return phases


@contextmanager
def neighbours(phase: str) -> Iterator[None]:
    """Other processes that use the cores; they end with the block."""
    count = {"none": 0, "one": 1, "two": 2, "bursts": 1}[phase]
    others = [multiprocessing.Process(target=_work, args=(phase == "bursts",), daemon=True) for _ in range(count)]
    for other in others:
        other.start()
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.join()


def _work(bursts: bool) -> None:
    draw = np.random.default_rng(0)
    while True:
        until = time.monotonic() + (draw.uniform(0.05, 0.5) if bursts else 1.0)
        while time.monotonic() < until:
            pass
        if bursts:
            time.sleep(draw.uniform(0.05, 0.5))


def _measure(sample: Path, bundle: Path, name: str, point: str, seconds: float) -> dict[str, Any]:
    words = [
        sys.executable,
        "-m",
        "benchmarks.neighbours",
        "--one",
        str(sample),
        str(bundle),
        name,
        point,
        str(seconds),
    ]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def one(sample: Path, path: Path, name: str, point: str, seconds: float) -> dict[str, Any]:
    """Run one choice: the latency of every input, and the CPU time of the process for each inference."""
    with np.load(sample / "test.npz") as data:
        rows = [{"x": row[None]} for row in data["x"][:50]]
    bundle = Bundle.open(path)
    if name == ENGINE:
        with Engine(bundle, device="generic-linux") as engine:
            return _pace(lambda feeds: engine.run(feeds), rows, seconds)
    threads, spin = STATIC[name]
    variant = bundle.variant("main", bundle.point(point).variants["main"])
    weights = None if variant.weights_dir is None else path / variant.weights_dir
    request = LoadRequest(model_file=path / variant.model_file, weights_dir=weights, threads=threads, spinning=spin)
    session = OnnxBackend().load(request)
    return _pace(lambda feeds: session.run(feeds), rows, seconds)


def _pace(run: Any, rows: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    for feeds in rows[:WARM_UP]:
        run(feeds)
    times, points, cpu, begun = [], set(), time.process_time(), time.monotonic()
    offsets = np.random.default_rng(0).uniform(size=int(seconds * RATE_HZ))
    for number, offset in enumerate(offsets):
        time.sleep(max(begun + (number + offset) / RATE_HZ - time.monotonic(), 0.0))
        started = time.perf_counter()
        result = run(rows[number % len(rows)])
        times.append((time.perf_counter() - started) * 1e3)
        points.add(getattr(result, "point", ""))
    spent = time.process_time() - cpu
    return {
        "latencies_ms": times,
        "cpu_ms": spent / len(times) * 1e3,
        "points": sorted(points),
        "cores": os.cpu_count(),
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(one(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4], sys.argv[5], float(sys.argv[6]))))
    else:
        main()
