"""Latency, CPU time, memory and quality, each with its interval."""

from edgehybrid.exporters.measure.cache import Cache, cache_folder
from edgehybrid.exporters.measure.machine import machine_key, measured_on
from edgehybrid.exporters.measure.placed import PlacedChain, open_placed, unmeasured_point
from edgehybrid.exporters.measure.resident import resident_bytes
from edgehybrid.exporters.measure.scoring import Rows, Score, join_scores, largest_difference, score, sqnr_db
from edgehybrid.exporters.measure.tasks import ScoreTask, local_pool, run_task, score_graphs
from edgehybrid.exporters.measure.timing import Ratio, Timings, interleave, paired_ratio

__all__ = [
    "Cache",
    "PlacedChain",
    "Ratio",
    "Rows",
    "Score",
    "ScoreTask",
    "Timings",
    "cache_folder",
    "interleave",
    "join_scores",
    "largest_difference",
    "local_pool",
    "machine_key",
    "measured_on",
    "open_placed",
    "paired_ratio",
    "resident_bytes",
    "run_task",
    "score",
    "score_graphs",
    "sqnr_db",
    "unmeasured_point",
]
