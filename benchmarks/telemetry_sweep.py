"""What looking at the device costs: a sweep over a full device tree, over this machine, and a decision.

Targets: a sweep takes at most 2 ms, and at most 0.3 % of a core at each policy's rate; a decision at most 100 µs.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable

from benchmarks.machine import median_with_interval, pin_to_one_core, write_result
from edgehybrid.profiles import load_device, load_policy, policy_names
from edgehybrid.runtime import Context, Controller
from edgehybrid.runtime.telemetry import Telemetry
from edgehybrid.testing import DeviceTree
from edgehybrid.testing.bundles import make_point

SWEEPS = 1000


def _time(work: Callable[[], object]) -> tuple[list[float], list[float]]:
    """Return wall and CPU time of each call in ms."""
    wall, cpu = [], []
    for _ in range(SWEEPS):
        started, used = time.perf_counter(), time.process_time()
        work()
        wall.append((time.perf_counter() - started) * 1e3)
        cpu.append((time.process_time() - used) * 1e3)
    return wall, cpu


def _sweep(telemetry: Telemetry) -> dict[str, object]:
    wall, cpu = _time(telemetry.read)
    mean_cpu_s = sum(cpu) / len(cpu) / 1e3
    shares = {name: 100 * mean_cpu_s / load_policy(name).switching.interval_s for name in policy_names()}
    return {
        "wall_ms": median_with_interval(wall),
        "cpu_ms": median_with_interval(cpu),
        "core_share_pct_by_policy": {name: round(share, 4) for name, share in shares.items()},
    }


def _decision(telemetry: Telemetry) -> dict[str, object]:
    points = tuple(make_point(f"p{i}", energy_mj=9.0 - i, latency_ms=9.0 - i, drop=i / 100) for i in range(6))
    controller = Controller(points, load_device("raspberry-pi-4b"), load_policy("balanced"))
    context = Context(deadline_s=0.02, until_s=time.monotonic() + 3600)
    snapshot = telemetry.read()
    wall, _ = _time(lambda: controller.decide(snapshot, context))
    wall.sort()
    return {"wall_ms": median_with_interval(wall), "p99_ms": wall[int(len(wall) * 0.99)]}


def main() -> None:
    """Measure a Raspberry Pi 4B with a UPS and a Jetson as files, and the machine itself."""
    pin_to_one_core()
    with tempfile.TemporaryDirectory() as folder:
        tree = DeviceTree.pi4_ups(folder)
        device = load_device("raspberry-pi-4b")
        full = Telemetry(tree.root, device=device)
        jetson = Telemetry(DeviceTree.jetson_orin_nano(f"{folder}/jetson").root)
        figures = {
            "full_tree": _sweep(full),
            "jetson_tree": _sweep(jetson),
            "this_machine": _sweep(Telemetry("/")),
            "decision": _decision(full),
        }
    write_result("telemetry_sweep", figures)


if __name__ == "__main__":
    main()
