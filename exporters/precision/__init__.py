"""Precision schemes, one per file."""

from edgehybrid.exporters.precision.calibration import Method, RangeCollector, collect_ranges
from edgehybrid.exporters.precision.mixture import SCHEMES, Quantized, quantize
from edgehybrid.exporters.precision.scheme import Ranges, Scheme, SchemeResult, Setting, Target
from edgehybrid.exporters.precision.w8a8 import watched

__all__ = [
    "SCHEMES",
    "Method",
    "Quantized",
    "RangeCollector",
    "Ranges",
    "Scheme",
    "SchemeResult",
    "Setting",
    "Target",
    "collect_ranges",
    "quantize",
    "watched",
]
