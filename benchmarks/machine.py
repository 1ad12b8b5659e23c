"""What every measurement shares: the machine, interleaving, intervals, the result file."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RESULTS = Path(__file__).parent / "results"
Floats = NDArray[np.float64]

_ISA = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "asimd", "asimddp", "i8mm")


def describe_machine() -> dict[str, object]:
    """Return the processor, its instruction sets, cores, load and the versions that matter."""
    import onnxruntime

    info = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    fields = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    return {
        "cpu": fields.get("model name", platform.machine()),
        "isa": [name for name in _ISA if name in flags],
        "cores": os.cpu_count(),
        "load_1min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
        "numpy": np.__version__,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def pin_to_one_core() -> None:
    """Keep this thread on the last core it may use, so that moving between cores does not blur the figures."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def interleave(works: Mapping[str, Callable[[], object]], *, rounds: int, runs: int) -> dict[str, Floats]:
    """Time ``works`` in turn, so that drift of the machine touches all alike.

    Returns:
        By name, the mean seconds of one call in each round, shape ``(rounds,)``.
    """
    for work in works.values():
        for _ in range(runs):
            work()
    times: dict[str, list[float]] = {name: [] for name in works}
    names = list(works)
    for round_ in range(rounds):
        for name in names if round_ % 2 else reversed(names):
            work = works[name]
            started = time.perf_counter()
            for _ in range(runs):
                work()
            times[name].append((time.perf_counter() - started) / runs)
    return {name: np.asarray(values) for name, values in times.items()}


def ratio_of_medians(first: Floats, second: Floats, *, seed: int = 0) -> dict[str, object]:
    """Return ``median(first) / median(second)`` with a 95 % bootstrap interval over paired rounds."""
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(first), (2000, len(first)))
    ratios = np.median(first[draws], axis=1) / np.median(second[draws], axis=1)
    low, high = np.percentile(ratios, [2.5, 97.5])
    ratio = float(np.median(first) / np.median(second))
    return {"ratio": round(ratio, 4), "ci95": [round(float(low), 4), round(float(high), 4)]}


def median_with_interval(values: Sequence[float] | Floats, *, seed: int = 0) -> dict[str, object]:
    """Return the median with a 95 % bootstrap interval."""
    array = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(seed)
    medians = np.median(array[rng.integers(0, len(array), (2000, len(array)))], axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    return {"median": float(np.median(array)), "ci95": [float(low), float(high)]}


def write_result(name: str, figures: Mapping[str, object]) -> Path:
    """Write ``figures`` with the machine to ``results/NAME.json`` and print them."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    document = {"benchmark": name, "machine": describe_machine(), **figures}
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{name}: {json.dumps(figures, ensure_ascii=False)}")
    return path
