"""The best float graph: rewrites are verified on data, and kept only if they measure faster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgehybrid.bundle import Dropped
from edgehybrid.exporters.measure import Cache, Ratio, Timings, interleave, largest_difference, machine_key
from edgehybrid.exporters.model import Graph, open_session
from edgehybrid.exporters.rewrites import PASSES, Probes, RewriteReport, rewrite

Feeds = Mapping[str, NDArray[np.generic]]
TOLERANCE = 1e-3  # share of the output's range; float sums in another order stay far below it
SETS: Mapping[str, tuple[str, ...]] = {
    "all rewrites": tuple(PASSES),
    "rewrites without attention": tuple(name for name in PASSES if name != "fuse-attention"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BestFloat:
    """The chosen float graph; ``report`` is ``None`` if that is the user's own. ``dropped`` says what lost, and why."""

    graph: Graph
    report: RewriteReport | None
    speedup: Ratio | None
    dropped: tuple[Dropped, ...]


def best_float(
    graph: Graph,
    probes: Probes,
    samples: Sequence[Feeds],
    *,
    budget_s: float,
    seed: int = 0,
    cache: Cache | None = None,
) -> BestFloat:
    """Try each set of rewrites on ``graph``; verify on ``samples``; keep the fastest one that is measurably faster.

    Args:
        graph: The user's graph.
        probes: Inputs for rules that try a graph.
        samples: Some calibration inputs, one sample each.
        budget_s: Seconds for the measurement.
        seed: Of the order of runs.
        cache: Where the times are kept by content.
    """
    reports: dict[str, RewriteReport] = {}
    dropped: list[Dropped] = []
    for name, rules in SETS.items():
        report = rewrite(graph, probes, rules)
        if report.graph is graph or any(report.graph.digest == r.graph.digest for r in reports.values()):
            continue
        if why := _differs(graph, report.graph, samples):
            dropped.append(Dropped(name=name, reason=why))
        else:
            reports[name] = report
    if not reports:
        return BestFloat(graph=graph, report=None, speedup=None, dropped=tuple(dropped))
    graphs = {"fp32": graph} | {name: report.graph for name, report in reports.items()}
    timings = _time(graphs, samples[0], budget_s=budget_s, seed=seed, cache=cache or Cache(folder=None))
    gains = {name: timings.speedup(name, "fp32", seed) for name in reports}
    winner = max(reports, key=lambda name: gains[name].median)
    kept = gains[winner].low > 1.0
    for name in reports:
        if not (kept and name == winner):
            than = f"slower than with {winner}" if kept else "not measurably faster than float"
            dropped.append(Dropped(name=name, reason=f"{than}: {gains[name].describe()}"))
    if not kept:
        return BestFloat(graph=graph, report=None, speedup=None, dropped=tuple(dropped))
    return BestFloat(graph=reports[winner].graph, report=reports[winner], speedup=gains[winner], dropped=tuple(dropped))


def _time(graphs: Mapping[str, Graph], feeds: Feeds, *, budget_s: float, seed: int, cache: Cache) -> Timings:
    """Time the graphs, interleaved."""
    key = ("rewrites", *(graph.digest for graph in graphs.values()), str(budget_s), str(seed), machine_key())

    def measure() -> dict[str, NDArray[np.generic]]:
        sessions = {name: open_session(graph.proto) for name, graph in graphs.items()}
        runs = {n: (lambda session=session: session.run(None, dict(feeds))) for n, session in sessions.items()}
        timings = interleave(runs, budget_s=budget_s, seed=seed)
        return {"wall_s": timings.wall_s, "cpu_s": timings.cpu_s}

    arrays = cache.get(key, measure)
    wall, cpu = (np.asarray(arrays[part], dtype=np.float64) for part in ("wall_s", "cpu_s"))
    return Timings(names=tuple(graphs), wall_s=wall, cpu_s=cpu)


def _differs(graph: Graph, other: Graph, samples: Sequence[Feeds]) -> str | None:
    """Compare outputs on ``samples``; say how they differ, if they do."""
    a, b = open_session(graph.proto), open_session(other.proto)
    names = [output.name for output in a.get_outputs()]
    for feeds in samples:
        for name, expected, got in zip(names, a.run(names, dict(feeds)), b.run(names, dict(feeds)), strict=True):
            allowed = TOLERANCE * max(float(np.abs(np.nan_to_num(expected.astype(np.float64))).max(initial=0.0)), 1e-6)
            if (error := largest_difference(got, expected)) > allowed:
                return f"changes output {name!r} by {error:.3g}, more than {allowed:.3g}"
    return None
