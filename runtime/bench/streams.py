"""Measuring arrangements: what each point gives a second when a stream spreads it over cores."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import repeat

import numpy as np

from edgehybrid.bundle import Bundle
from edgehybrid.errors import EdgeHybridError
from edgehybrid.points import OperatingPoint
from edgehybrid.profiles import DeviceProfile, ExecutionPolicy
from edgehybrid.runtime.backends import Array, Backend, make_backend
from edgehybrid.runtime.bench.measuring import golden_feeds
from edgehybrid.runtime.bench.values import StreamFigures, Table
from edgehybrid.runtime.energy import EnergyModel
from edgehybrid.runtime.execution import Arrangement, Dial, Goldens, Job, Line, Plan, Trace, load_plan

ROUNDS = 5
WINDOW_S = 0.12
FEWEST = 10  # inputs in a window
SINGLE = Arrangement()


def core_counts(cores: float) -> tuple[int, ...]:
    """Return 2, 4, 8 and so on up to ``cores``, and ``cores`` themselves; none for a single core."""
    most = int(cores)
    return tuple(sorted({*(2**k for k in range(1, 8) if 2**k <= most), most} - {0, 1}))


def arrangements(point: OperatingPoint, counts: Sequence[int]) -> tuple[Arrangement, ...]:
    """Return what can be tried for a point: a pipeline only where it has stages to divide."""
    stages = max(len(point.variants), len(point.pieces))
    found = [SINGLE]
    for count in counts:
        found += [Arrangement(mode="replicas", workers=count), Arrangement(mode="threads", workers=count)]
        if 1 < count <= stages:
            found.append(Arrangement(mode="pipeline", workers=count))
    return tuple(found)


def measure_streams(
    bundle: Bundle,
    device: DeviceProfile,
    table: Table,
    *,
    cores: float,
    backends: Mapping[str, Backend] | None = None,
    rounds: int = ROUNDS,
    progress: Callable[[], None] = lambda: None,
    seed: int = 0,
) -> Table:
    """Return ``table`` with what each arrangement of each of its points gives.

    The arrangements of a point run in turn, in a new order each round. Only one point is loaded at a time.

    Args:
        bundle: An opened bundle.
        device: The board; its watts make joules of CPU time.
        table: Figures of the points that run here.
        cores: Cores that are free.
        backends: Back ends by their key; others come from the registry.
        rounds: How often each arrangement runs.
        progress: Called after each round.
        seed: Of the orders.
    """
    known = dict(backends or {})
    points = []
    for figures in table.points:
        point = bundle.point(figures.name)
        hows = arrangements(point, core_counts(cores))
        if len(hows) > 1:
            runs = _load(bundle, point, hows, known)
            found = _measure(bundle, runs, device, rounds, seed, progress)
            figures = replace(figures, streams=found)  # the same with more in it
        points.append(figures)
    return replace(table, points=tuple(points))


def run_stream(plan: Plan, feeds: Mapping[str, Array], how: Arrangement, count: int) -> tuple[float, float, float]:
    """Run the same input ``count`` times.

    Returns:
        Seconds between results, CPU seconds and seconds in stages of an input. The first results, while a line fills,
        do not count.
    """
    ended, busy_s, cpu_0 = [], [], 0.0
    skipped = how.in_flight

    def finish(job: Job, trace: Trace) -> float:  # noqa: ARG001  # a line's signature
        return sum(job.busy_s)

    line: Line[Mapping[str, Array], float] = Line(
        repeat(feeds, count + skipped),
        before=lambda item: item,
        start=lambda item: Job(plan=plan, steps=plan.steps(item)),
        finish=finish,
        after=None,
        arranged=lambda: how,
    )
    for took_s in _alone(plan, feeds, count + skipped) if how.mode == "single" else line.results():
        ended.append(time.perf_counter())
        busy_s.append(took_s)
        if len(ended) == skipped:
            cpu_0 = time.process_time()
    cpu_s = (time.process_time() - cpu_0) / count
    return (ended[-1] - ended[skipped - 1]) / count, cpu_s, float(np.mean(busy_s[skipped:]))


def _alone(plan: Plan, feeds: Mapping[str, Array], count: int) -> Iterator[float]:
    for _ in range(count):
        started = time.perf_counter()
        plan.run(feeds)
        yield time.perf_counter() - started


def _load(
    bundle: Bundle, point: OperatingPoint, hows: Sequence[Arrangement], backends: dict[str, Backend]
) -> dict[Arrangement, Plan]:
    """Load what each arrangement runs; one that does not load is left out."""
    goldens = Goldens(bundle)

    def find(name: str) -> Backend:
        if name not in backends:
            backends[name] = make_backend(name)
        return backends[name]

    plans: dict[tuple[int, bool], Plan] = {}
    found = {}
    for how in hows:
        pieces = how.mode == "pipeline" and bool(point.pieces)
        key = (how.threads, pieces)
        try:
            if key not in plans:
                form = replace(point.on_threads(how.threads), variants=point.pieces if pieces else point.variants)
                plans[key] = load_plan(bundle, form, ExecutionPolicy(), find, goldens, Dial(None))
            found[how] = plans[key]
        except EdgeHybridError:
            continue
    return found


def _measure(
    bundle: Bundle,
    runs: Mapping[Arrangement, Plan],
    device: DeviceProfile,
    rounds: int,
    seed: int,
    progress: Callable[[], None],
) -> tuple[StreamFigures, ...]:
    hows, rng = list(runs), np.random.default_rng(seed)
    if not hows:
        return ()
    feeds = golden_feeds(bundle, runs[hows[0]])
    took = {how: run_stream(runs[how], feeds, how, FEWEST)[0] for how in hows}  # warm, and how many fill a window
    seen: dict[Arrangement, list[tuple[float, float, float]]] = {how: [] for how in hows}
    for _ in range(rounds):
        for index in rng.permutation(len(hows)):
            how = hows[index]
            count = max(int(WINDOW_S / max(took[how], 1e-6)), FEWEST)
            seen[how].append(run_stream(runs[how], feeds, how, count))
        progress()
    figures = []
    for how in hows:
        each_s, cpu_s, busy_s = np.median(np.asarray(seen[how]), axis=0).tolist()
        joules = EnergyModel(device).inference(cpu_s, each_s)
        figures.append(
            StreamFigures(
                mode=how.mode,
                workers=how.workers,
                per_s=1.0 / each_s,
                latency_ms=busy_s * 1e3,
                cpu_ms=cpu_s * 1e3,
                energy_mj=joules.value * 1e3,
            )
        )
    return tuple(figures)
