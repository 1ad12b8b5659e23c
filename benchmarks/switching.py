"""What switching costs those who wait, and whether memory comes back: ``python -m benchmarks.switching [BUNDLE]``.

Target: over 200 switches under continuous load, the slowest inference takes at most one inference of the slower point
longer than without switches, and none is dropped; after 1,000 switches the resident set has grown by at most 2 %.
Latencies are given twice: as they were, and without the time that the thread was ready but other work had the core
(the kernel's own account), which on a machine that is not quiet is most of the tail.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil

from benchmarks.machine import Floats, write_result
from benchmarks.small_bundles import SAMPLE, layers, two_points
from edgehybrid import Engine
from edgehybrid.bundle import Bundle
from edgehybrid.runtime.backends import Array

SWITCHES = 200
MANY = 1000
SETTLED = 100  # switches before memory counts: allocators and caches have filled


def latency(bundle: Bundle, feeds: dict[str, Array], ends: tuple[str, str]) -> dict[str, object]:
    """Run without pause beside 200 switches between ``ends``, and once more for as long without."""
    with Engine(bundle, background=False) as engine:
        one = max(_pinned_ms(engine, name, feeds) for name in ends)
        switching, lost, wall_s = _under_load(engine, feeds, ends, switches=SWITCHES)
        quiet, _, _ = _under_load(engine, feeds, ends, switches=0, wall_s=wall_s)
        switches = engine.status().switches
    added = np.max(switching, axis=0) - np.median(quiet, axis=0)
    return {
        "points": ends,
        "switches": switches,
        "inferences": len(switching),
        "dropped": lost,
        "slower_point_ms": round(one, 3),
        "with_switches": _tail(switching),
        "without_switches": _tail(quiet),
        "added_in_inferences_of_slower_point": round(float(added[0]) / one, 3),
        "added_in_inferences_of_slower_point_without_waiting_for_a_core": round(float(added[1]) / one, 3),
    }


def _tail(latencies: Floats) -> dict[str, dict[str, float]]:
    """Return percentiles of both columns in ms."""
    names = ("as_it_was_ms", "without_waiting_for_a_core_ms")
    quantiles = {"p50": 50, "p99": 99, "p99.9": 99.9, "max": 100}
    return {
        name: {label: round(float(np.percentile(latencies[:, column], q)), 3) for label, q in quantiles.items()}
        for column, name in enumerate(names)
    }


def _pinned_ms(engine: Engine, name: str, feeds: dict[str, Array]) -> float:
    engine.pin(name)
    engine.step(wait=True)
    return float(np.median([engine.run(feeds).latency_ms for _ in range(200)]))


def _under_load(
    engine: Engine, feeds: dict[str, Array], ends: tuple[str, str], *, switches: int, wall_s: float = 0.0
) -> tuple[Floats, int, float]:
    """Run without pause; return latencies in ms (see the module), how many runs went missing, and the time it took."""
    stop = threading.Event()
    rows: list[tuple[float, float]] = []
    before = engine.status().inferences

    def serve() -> None:
        account = os.open(f"/proc/self/task/{threading.get_native_id()}/schedstat", os.O_RDONLY)
        while not stop.is_set():
            waited = int(os.pread(account, 64, 0).split()[1])
            latency_ms = engine.run(feeds).latency_ms
            waited_ms = (int(os.pread(account, 64, 0).split()[1]) - waited) / 1e6
            rows.append((latency_ms, max(latency_ms - waited_ms, 0.0)))
        os.close(account)

    thread = threading.Thread(target=serve)
    started = time.monotonic()
    thread.start()
    for n in range(switches):
        engine.pin(ends[n % 2])
        engine.step(wait=True)
    time.sleep(max(wall_s - (time.monotonic() - started), 0.0))
    stop.set()
    thread.join()
    lost = len(rows) - (engine.status().inferences - before)
    return np.asarray(rows), lost, time.monotonic() - started


def memory(bundle: Bundle, feeds: dict[str, Array], ends: tuple[str, str]) -> dict[str, object]:
    """Switch 1,000 times and look at the resident set, always at the same point."""
    process = psutil.Process()
    with Engine(bundle, background=False) as engine:

        def switch(times: int) -> int:
            for n in range(times):
                engine.pin(ends[n % 2])
                engine.step(wait=True)
                engine.run(feeds)
            gc.collect()
            return int(process.memory_info().rss)

        first = switch(SETTLED)
        last = switch(MANY)
    return {
        "switches": MANY,
        "rss_before_mib": round(first / 2**20, 2),
        "rss_after_mib": round(last / 2**20, 2),
        "growth_pct": round(100 * (last - first) / first, 3),
    }


def main() -> None:
    """Measure both, on the bundle named on the command line or on the sample model twice."""
    with tempfile.TemporaryDirectory() as folder:
        if len(sys.argv) > 1:
            bundle = Bundle.open(sys.argv[1])
            feeds = bundle.golden_inputs(bundle.stages[0])
        else:
            model = SAMPLE.read_bytes() if SAMPLE.exists() else layers(60)
            bundle, feeds = two_points(Path(folder), model, model)
        ends = (bundle.points[-1].name, bundle.points[1].name)
        write_result("switching", {"latency": latency(bundle, feeds, ends), "memory": memory(bundle, feeds, ends)})


if __name__ == "__main__":
    main()
