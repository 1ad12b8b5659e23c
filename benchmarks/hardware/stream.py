"""Streams over two cores: ``python -m benchmarks.hardware.stream [SAMPLE ...]``.

The named samples are measured, and what was measured of others is kept. Each is exported once, in two pieces too. Then
``engine.stream`` in every arrangement, one core (the same engine, kept on it), and ONNX Runtime with two threads as it
comes, on the same model file, run in turn for half a second each, in an order that changes; the ratio of the medians
over the rounds, with a 95 % interval over paired rounds.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from benchmarks.hardware.parts import read_part, write_part
from benchmarks.machine import Floats, describe_machine, ratio_of_medians
from edgehybrid import Arrangement, Engine
from edgehybrid.bundle import Bundle
from edgehybrid.exporters import ExportOptions, export
from edgehybrid.profiles import detect_device
from edgehybrid.runtime.backends import Array
from edgehybrid.runtime.bench import Store, measure, measure_streams
from edgehybrid.runtime.telemetry import Telemetry

SAMPLES = Path(__file__).parents[2] / "samples"
EVALUATION = {"camera_classifier": "test.npz", "keyword_spotter": "evaluation.npz"}
WINDOW_S = 0.5
HOWS = {
    "pipeline": Arrangement(mode="pipeline", workers=2),
    "replicas": Arrangement(mode="replicas", workers=2),
    "threads": Arrangement(mode="threads", workers=2),
}
ONE, AUTO, ORT = "one core", "as the engine chooses", "onnxruntime, 2 threads"
REACH = {ONE: 1.7, ORT: 1.2}

Feeds = Mapping[str, Array]
Run = Callable[[int], float]


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("samples", nargs="*", help="; ".join(EVALUATION))
    parser.add_argument("--rounds", type=int, default=12)
    options = parser.parse_args()
    found: dict[str, Any] = dict(read_part("stream").get("points", {}))
    with tempfile.TemporaryDirectory(prefix="edgehybrid-") as top:
        os.environ["XDG_STATE_HOME"] = str(Path(top) / "state")
        for name in options.samples or EVALUATION:
            bundle = exported(name, Path(top) / f"{name}.bundle")
            rows = inputs(name)
            for point in bundle.points:
                if point.pieces:
                    measured = compare(bundle, point.name, rows, options.rounds)
                    found[f"{name} {point.name}"] = measured | {"load_1min": describe_machine()["load_1min"]}
                    write_part("stream", {"points": found}, markdown(found))
    return 0


def exported(name: str, out: Path) -> Bundle:
    """Export a sample, in pieces too, and measure it here as ``edgehybrid bench`` does."""
    folder = SAMPLES / name
    options = ExportOptions(effort="quick", levels=2, stages=2, gate=False)
    result = export(
        folder / "model.onnx",
        out,
        data=folder / "calibration.npz",
        eval_data=folder / EVALUATION[name],
        options=options,
    )
    assert result.bundle is not None
    bundle, device = result.bundle, detect_device("/")
    telemetry = Telemetry("/", device=device)
    store = Store(bundle, device)
    table = measure(bundle, device, telemetry.read, key=store.key, seconds=1.0)
    store.save(measure_streams(bundle, device, table, cores=2))
    telemetry.close()
    return bundle


def inputs(name: str) -> list[Feeds]:
    """Return inputs of a sample."""
    with np.load(SAMPLES / name / "test.npz") as data:
        return [{"x": row[None]} for row in data["x"][:64]]


def compare(bundle: Bundle, point: str, rows: list[Feeds], rounds: int) -> dict[str, Any]:
    """Run everything in turn; returns inputs a second, and how many times one core's and ONNX Runtime's they are."""
    with ExitStack() as stack:
        runs: dict[str, Run] = {ONE: _stream(stack, bundle, point, rows, Arrangement())}
        runs |= {name: _stream(stack, bundle, point, rows, how) for name, how in HOWS.items()}
        runs[AUTO] = _stream(stack, bundle, point, rows, None)
        runs[ORT] = _plain(bundle, point, rows)
        counts = {name: max(int(WINDOW_S / run(30)), 30) for name, run in runs.items()}
        times: dict[str, list[float]] = {name: [] for name in runs}
        for number in range(rounds):
            names = list(runs)[number % len(runs) :] + list(runs)[: number % len(runs)]
            for name in names:
                with on_cores(1 if name == ONE else 2):
                    times[name].append(runs[name](counts[name]))
    seconds = {name: np.asarray(values) for name, values in times.items()}
    return {
        "per_s": {name: round(1.0 / float(np.median(values)), 1) for name, values in seconds.items()},
        "to_one_core": {name: _gain(seconds, name, ONE) for name in seconds if name != ONE},
        "to_onnxruntime": {name: _gain(seconds, name, ORT) for name in seconds if name != ORT},
    }


def _gain(seconds: Mapping[str, Floats], name: str, base: str) -> dict[str, object]:
    return ratio_of_medians(seconds[base], seconds[name])


def _stream(stack: ExitStack, bundle: Bundle, point: str, rows: list[Feeds], how: Arrangement | None) -> Run:
    """Return what runs so many inputs through an engine's stream: seconds of each."""
    engine = stack.enter_context(Engine(bundle, start=point, background=False))
    engine.pin(point)

    def run(count: int) -> float:
        stream = engine.stream(islice(cycle(rows), count + 10), arrangement=how)
        for _ in range(5):
            next(stream)
        engine.step(wait=True)  # pieces and threads as the arrangement needs them
        for _ in range(5):
            next(stream)
        started = time.perf_counter()
        for _ in stream:
            pass
        return (time.perf_counter() - started) / count

    return run


def _plain(bundle: Bundle, point: str, rows: list[Feeds]) -> Run:
    """Return what runs the point's uncut model by hand, with two threads."""
    variant = bundle.variant("main", bundle.point(point).variants["main"])
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    if (weights := bundle.weights_dir(variant)) is not None:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(weights))
    session = ort.InferenceSession(str(bundle.model_path(variant)), options, providers=["CPUExecutionProvider"])

    def run(count: int) -> float:
        started = time.perf_counter()
        for feeds in islice(cycle(rows), count):
            session.run(None, dict(feeds))
        return (time.perf_counter() - started) / count

    return run


@contextmanager
def on_cores(count: int) -> Iterator[None]:
    """Keep this thread, and those that it starts meanwhile, on so many cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(sorted(before)[-count:]))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def markdown(found: Mapping[str, Any]) -> str:
    """The section of the page."""
    machine = describe_machine()
    loads = ", ".join(f"{point} {one['load_1min']}" for point, one in found.items() if "load_1min" in one)
    lines = [
        "## Streams on two cores",
        "",
        f"`python -m benchmarks.hardware.stream` on {machine['cpu']}. Load of the machine: {loads}. Reach: "
        f"{REACH[ONE]} times one core, {REACH[ORT]} times ONNX Runtime with two threads.",
        "",
        "| point | arrangement | inputs a second | beside one core | beside onnxruntime, 2 threads |",
        "| --- | --- | --- | --- | --- |",
    ]
    for point, figures in found.items():
        for name, per_s in figures["per_s"].items():
            gains = [_shown(figures[key].get(name)) for key in ("to_one_core", "to_onnxruntime")]
            lines.append(f"| {point} | {name} | {per_s:g} | {gains[0]} | {gains[1]} |")
    return "\n".join(lines)


def _shown(gain: Mapping[str, Any] | None) -> str:
    if gain is None:
        return "-"
    low, high = gain["ci95"]
    return f"{gain['ratio']:.2f} × ({low:.2f}-{high:.2f})"


if __name__ == "__main__":
    raise SystemExit(main())
