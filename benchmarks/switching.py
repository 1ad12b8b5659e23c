"""What switching costs those who wait, and whether memory comes back.

Target: over 200 switches under continuous load, the slowest inference takes at most one inference of the slower point
longer than without switches, and none is dropped; after 1,000 switches the resident set has grown by at most 2 %.
"""

from __future__ import annotations

import gc
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil

from benchmarks.machine import write_result
from benchmarks.small_bundles import layers, two_points
from edgehybrid import Engine
from edgehybrid.bundle import Bundle
from edgehybrid.runtime.backends import Array

SWITCHES = 200
MANY = 1000
SETTLED = 100  # switches before memory counts: allocators and caches have filled


def latency(bundle: Bundle, feeds: dict[str, Array]) -> dict[str, object]:
    """Run without pause beside 200 switches, and once more for as long without."""
    with Engine(bundle, background=False) as engine:
        slow = {name: _pinned_ms(engine, name, feeds) for name in ("max", "min")}
        switching_ms, lost, wall_s = _under_load(engine, feeds, switches=SWITCHES)
        quiet_ms, _, _ = _under_load(engine, feeds, switches=0, wall_s=wall_s)
        switches = engine.status().switches
    one = max(slow.values())
    added = float(np.max(switching_ms)) - float(np.median(quiet_ms))
    return {
        "switches": switches,
        "inferences": len(switching_ms),
        "dropped": lost,
        "slower_point_ms": round(one, 3),
        "slowest_ms": round(float(np.max(switching_ms)), 3),
        "slowest_without_switches_ms": round(float(np.max(quiet_ms)), 3),
        "p999_ms": round(float(np.percentile(switching_ms, 99.9)), 3),
        "p999_without_switches_ms": round(float(np.percentile(quiet_ms, 99.9)), 3),
        "added_ms": round(added, 3),
        "added_in_inferences_of_slower_point": round(added / one, 3),
    }


def _pinned_ms(engine: Engine, name: str, feeds: dict[str, Array]) -> float:
    engine.pin(name)
    engine.step(wait=True)
    return float(np.median([engine.run(feeds).latency_ms for _ in range(200)]))


def _under_load(
    engine: Engine, feeds: dict[str, Array], *, switches: int, wall_s: float = 0.0
) -> tuple[list[float], int, float]:
    """Run without pause; return latencies in ms, how many runs went missing, and the time it took."""
    stop, latencies, started_runs = threading.Event(), [], 0
    before = engine.status().inferences

    def serve() -> None:
        nonlocal started_runs
        while not stop.is_set():
            started_runs += 1
            latencies.append(engine.run(feeds).latency_ms)

    thread = threading.Thread(target=serve)
    started = time.monotonic()
    thread.start()
    for n in range(switches):
        engine.pin(("min", "max")[n % 2])
        engine.step(wait=True)
    time.sleep(max(wall_s - (time.monotonic() - started), 0.0))
    stop.set()
    thread.join()
    lost = started_runs - (engine.status().inferences - before)
    return latencies, lost, time.monotonic() - started


def memory(bundle: Bundle, feeds: dict[str, Array]) -> dict[str, object]:
    """Switch 1,000 times and look at the resident set, always at the same point."""
    process = psutil.Process()
    with Engine(bundle, background=False) as engine:

        def switch(times: int) -> int:
            for n in range(times):
                engine.pin(("min", "max")[n % 2])
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
    """Measure both."""
    with tempfile.TemporaryDirectory() as folder:
        bundle, feeds = two_points(Path(folder), layers(60), layers(20))
        write_result("switching", {"latency": latency(bundle, feeds), "memory": memory(bundle, feeds)})


if __name__ == "__main__":
    main()
