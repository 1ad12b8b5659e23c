"""Units that the rest counts in, and the few conversions between them."""

from __future__ import annotations

from typing import Final

JOULES_PER_WH: Final = 3600.0
MIB: Final = 1024 * 1024
MICRO: Final = 1e-6
MILLI: Final = 1e-3


def wh_to_j(wh: float) -> float:
    """Convert watt hours to joules."""
    return wh * JOULES_PER_WH


def j_to_wh(joules: float) -> float:
    """Convert joules to watt hours."""
    return joules / JOULES_PER_WH


def clip(value: float, low: float, high: float) -> float:
    """Return ``value``, moved into ``[low, high]`` if it lies outside."""
    return min(max(value, low), high)
