"""What candidates are made from: the best float graph, and the ranges that calibration saw."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgehybrid.exporters.measure import Cache
from edgehybrid.exporters.model import Graph
from edgehybrid.exporters.options import ExportOptions
from edgehybrid.exporters.precision import Method, Ranges, collect_ranges, watched
from edgehybrid.exporters.prepare import Prepared, calibration_batches, first_feeds
from edgehybrid.exporters.search import BestFloat, best_float
from edgehybrid.exporters.trial import Tools

_VERIFY_SAMPLES = 16
_REWRITE_SHARE = 0.15  # of the time for measuring


def find_best_float(graph: Graph, prepared: Prepared, options: ExportOptions, tools: Tools) -> BestFloat:
    """Rewrite ``graph`` where that is verified and measured faster."""
    tools.progress.start(1, "rewrites")
    samples = first_feeds(prepared.calibration, _VERIFY_SAMPLES)
    budget, cache = _REWRITE_SHARE * options.budget.timing_s, tools.cache
    best = best_float(graph, prepared.probes, samples, budget_s=budget, seed=options.seed, cache=cache)
    if best.speedup is not None:
        tools.progress.note(f"rewrites make the float model {best.speedup.describe()} as fast")
    tools.progress.advance()
    return best


def calibrate(graph: Graph, prepared: Prepared, method: Method, cache: Cache) -> Ranges:
    """See the ranges of everything in ``graph`` that a scheme asks for, over the calibration data."""
    names = watched(graph)

    def measure() -> dict[str, NDArray[np.generic]]:
        ranges = collect_ranges(graph, names, calibration_batches(prepared.calibration), method=method)
        return {"ranges": np.array([ranges[name] for name in names], dtype=np.float64).reshape(len(names), 2)}

    kept = cache.get(("ranges", graph.digest, prepared.calibration.sha256, method, *names), measure)
    return {name: (float(low), float(high)) for name, (low, high) in zip(names, kept["ranges"], strict=True)}
