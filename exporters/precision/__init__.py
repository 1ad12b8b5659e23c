"""Precision schemes, one per file."""

from edgehybrid.exporters.precision.calibration import Method, RangeCollector, collect, collect_ranges
from edgehybrid.exporters.precision.mixture import APPROXIMATE, IN_FLOATS, KIN, SCHEMES, Quantized, called, quantize
from edgehybrid.exporters.precision.recovery import METHODS, Calibrated, Recovered, calibrate, quantize_best
from edgehybrid.exporters.precision.scheme import Ranges, Scheme, SchemeResult, Setting, Target
from edgehybrid.exporters.precision.w8a8 import watched

__all__ = [
    "APPROXIMATE",
    "IN_FLOATS",
    "KIN",
    "METHODS",
    "SCHEMES",
    "Calibrated",
    "Method",
    "Quantized",
    "RangeCollector",
    "Ranges",
    "Recovered",
    "Scheme",
    "SchemeResult",
    "Setting",
    "Target",
    "calibrate",
    "called",
    "collect",
    "collect_ranges",
    "quantize",
    "quantize_best",
    "watched",
]
