"""Latency, CPU time, memory and quality, each with its interval."""

from edgehybrid.exporters.measure.cache import Cache, cache_folder
from edgehybrid.exporters.measure.machine import machine_key, measured_on
from edgehybrid.exporters.measure.resident import resident_bytes
from edgehybrid.exporters.measure.scoring import Score, largest_difference, score, sqnr_db
from edgehybrid.exporters.measure.timing import Ratio, Timings, interleave, paired_ratio

__all__ = [
    "Cache",
    "Ratio",
    "Score",
    "Timings",
    "cache_folder",
    "interleave",
    "largest_difference",
    "machine_key",
    "measured_on",
    "paired_ratio",
    "resident_bytes",
    "score",
    "sqnr_db",
]
