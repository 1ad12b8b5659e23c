"""What a decision costs: ``python -m benchmarks.decision``; reach: p99 at most 100 µs.

A controller of a Raspberry Pi 4B lives through snapshots that all differ (neighbours come and go, it gets warm, the
gauge of the battery steps) and learns from three inferences between two decisions. Each decision is timed alone, as the
engine takes them: one call, caches as the inferences left them. Beside each a plain loop without memory and of the same
median length is timed: its slowest in a hundred over its median is what the machine does to anything.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.control.works import works
from benchmarks.machine import pin_to_one_core, write_result
from edgehybrid.points import DepthFigures, OperatingPoint
from edgehybrid.profiles import load_device, load_policy
from edgehybrid.runtime import Context, Controller, Decision, Observation, Snapshot
from edgehybrid.testing.bundles import make_point

DECISIONS = 4000
_RUNS = 5
_STEP_S, _NEIGHBOURS_S = 2.0, 40.0
_INFERENCES = 3
_HOUR_S = 3600.0
_TRIAL_PASSES = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the app asks for, as seen from the points of a bundle."""

    of: Callable[[Sequence[OperatingPoint]], Context]
    battery: bool = False


def bundles() -> Mapping[str, tuple[OperatingPoint, ...]]:
    """Return the points by name: six as in ``telemetry_sweep``, both works of the simulation, and a big bundle."""
    six = tuple(make_point(f"p{i}", energy_mj=9.0 - i, latency_ms=9.0 - i, drop=i / 100) for i in range(6))
    return {"six": six, **works(), "big": tuple(_exits(i) for i in range(12))}


def _exits(i: int) -> OperatingPoint:
    """Make a point of three depths: with three counts of threads and both ends of the exits it is six options."""
    ms = 40.0 * 0.8**i
    point = make_point(f"p{i}", energy_mj=ms, latency_ms=ms, drop=0.002 * i * i)
    shares = ((0.3, 0.6), (0.3, 0.2), (0.4, 0.2))
    depths = tuple(
        DepthFigures(share=strict, relaxed_share=relaxed, latency_ms=ms * k / 3, cpu_ms=ms * k / 3)
        for k, (strict, relaxed) in enumerate(shares, 1)
    )
    worse = replace(point.quality, value=point.quality.value - 0.004, drop=point.quality.drop + 0.004)
    return replace(point, depths=depths, relaxed_quality=worse)


def wishes() -> Mapping[str, Wish]:
    """Return what apps ask for: punctual, lasting, good enough, cheap enough."""

    def deadline_s(points: Sequence[OperatingPoint]) -> float:
        return 2.2e-3 * points[1].latency_ms.p50

    def goal(points: Sequence[OperatingPoint]) -> float:
        values = sorted(point.quality.value for point in points)
        return values[len(values) // 2] + 0.001

    return {
        "deadline": Wish(of=lambda points: Context(deadline_s=deadline_s(points))),
        "mission": Wish(of=lambda points: Context(deadline_s=deadline_s(points), until_s=3 * _HOUR_S), battery=True),
        "quality": Wish(of=lambda points: Context(deadline_s=deadline_s(points), hints={"min_quality": goal(points)})),
        "energy": Wish(
            of=lambda points: Context(
                deadline_s=deadline_s(points), hints={"energy_mj": 1.1 * points[-1].energy_mj.value}
            )
        ),
    }


def snapshots(count: int, seed: int, *, battery: bool) -> Iterator[Snapshot]:
    """Tell what a board says every two seconds while neighbours come and go."""
    rng, temp_c, cores = np.random.default_rng(seed), 45.0, 0.0
    for k in range(count):
        at_s = (k + 1) * _STEP_S
        if k % round(_NEIGHBOURS_S / _STEP_S) == 0:
            cores = float(rng.integers(0, 4))
        load = min(max(cores + 0.4 + 0.2 * float(rng.standard_normal()), 0.0), 4.0)
        temp_c += 0.03 * (45.0 + 9.0 * load - temp_c) + 0.2 * float(rng.standard_normal())
        charge = max(1.0 - at_s / (3.5 * _HOUR_S), 0.06)
        yield Snapshot(
            at_s=at_s,
            soc_temp_c=round(2 * temp_c) / 2,
            cpu_load_pct=25.0 * load,
            cpu_cores=4.0,
            memory_free_mib=900.0,
            battery_pct=2.0 * math.ceil(50.0 * charge) if battery else None,
            battery_wh=0.2 * math.ceil(50.0 * charge) if battery else None,
            on_mains=None if not battery else False,
        )


def live(
    points: Sequence[OperatingPoint], wish: Wish, count: int, seed: int, passes: int
) -> Iterator[tuple[Decision, float, float]]:
    """Let a controller live; yield each decision, what it took and what the plain loop beside it took, in µs."""
    controller = Controller(points, load_device("raspberry-pi-4b"), load_policy("balanced"))
    context, rng, clock = wish.of(points), np.random.default_rng(seed + 1), time.perf_counter_ns
    by_name = {point.name: point for point in points}
    for now in snapshots(count, seed, battery=wish.battery):
        started = clock()
        decision = controller.decide(now, context)
        took_us = (clock() - started) / 1e3
        for k in range(_INFERENCES):
            point = by_name[decision.point]
            crowd = max(1.0, (point.threads + 4.0 * (now.cpu_load_pct or 0.0) / 100.0 - 0.4) / 4.0)
            slower = 1.1 * crowd * math.exp(0.05 * float(rng.standard_normal()))
            latency_s = 1e-3 * point.latency_ms.p50 * slower
            depth = len(point.depths) or 1
            controller.observe(
                Observation(at_s=now.at_s + 0.3 * (k + 1), point=point.name, depth=depth, latency_s=latency_s)
            )
        started = clock()
        _spin(passes)
        yield decision, took_us, (clock() - started) / 1e3


def _spin(passes: int) -> None:
    for _ in range(passes):
        pass


def measure(points: Sequence[OperatingPoint], wish: Wish) -> dict[str, float]:
    """Return percentiles in µs: medians over runs, and the largest p99."""
    own, plain = [], []
    trial = np.median([(took, spun) for _, took, spun in live(points, wish, 200, _RUNS, _TRIAL_PASSES)], axis=0)
    passes = round(_TRIAL_PASSES * trial[0] / trial[1])
    for seed in range(_RUNS):
        rows = [(took, spun) for _, took, spun in live(points, wish, DECISIONS // _RUNS, seed, passes)]
        own.append(np.percentile([took for took, _ in rows], (50, 99)))
        plain.append(np.percentile([spun for _, spun in rows], (50, 99)))
    median, p99 = np.median(own, axis=0)
    plain_median, plain_p99 = np.median(plain, axis=0)
    return {
        "median_us": round(float(median), 1),
        "p99_us": round(float(p99), 1),
        "worst_p99_us": round(float(np.max(own, axis=0)[1]), 1),
        "plain_median_us": round(float(plain_median), 1),
        "plain_p99_us": round(float(plain_p99), 1),
    }


def main() -> int:
    """Measure every bundle with every wish."""
    pin_to_one_core()
    wanted = sys.argv[1:] or list(bundles())
    write_result(
        "decision",
        {name: {word: measure(bundles()[name], wish) for word, wish in wishes().items()} for name in wanted},
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
