"""Where to cut a histogram off, so that 256 integers show the rest best."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Centres = NDArray[np.float64]
Loss = Callable[[Counts, Centres, float, float], float]

LEVELS = 256
_SHARES = np.linspace(1.0, 0.3, 36)  # of each end of the range


def clip(counts: Counts, edge: float, low: float, high: float, loss: Loss) -> tuple[float, float]:
    """Shrink ``high``, then ``low``, to where ``loss`` is least.

    Args:
        counts: Histogram over ``[-edge, edge]``.
        edge: Its reach.
        low: Smallest value seen.
        high: Largest value seen.
        loss: ``squared_error`` or ``divergence``.

    Returns:
        A range inside ``[low, high]``.
    """
    width = 2.0 * edge / counts.size
    centres = np.linspace(-edge + width / 2, edge - width / 2, counts.size)
    seen = counts > 0
    counts, centres = counts[seen], centres[seen]
    low, high = min(low, 0.0), max(high, 0.0)
    if high > 0.0:
        high = min((high * share for share in _SHARES), key=lambda end: loss(counts, centres, low, end))
    if low < 0.0:
        low = min((low * share for share in _SHARES), key=lambda end: loss(counts, centres, end, high))
    return float(low), float(high)


def squared_error(counts: Counts, centres: Centres, low: float, high: float) -> float:
    """Sum over all values of the squared distance to the integer that shows it."""
    step = max((high - low) / (LEVELS - 1), 1e-30)
    inside = np.clip(centres, low, high)
    cut = centres - inside
    return float((counts * (cut * cut + np.where(cut == 0.0, step * step / 12.0, 0.0))).sum())


def divergence(counts: Counts, centres: Centres, low: float, high: float) -> float:
    """Kullback-Leibler divergence of what the integers show from what was seen; what is cut off piles up at the ends.

    Of the loss, not only of the part that is kept: outliers count as what they become.
    """
    step = max((high - low) / (LEVELS - 1), 1e-30)
    level = np.clip(np.rint((centres - low) / step), 0, LEVELS - 1).astype(np.int64)
    inside = (centres >= low) & (centres <= high)
    if not inside.any():
        return float("inf")
    p = counts.astype(np.float64) / counts.sum()
    kept = np.bincount(level[inside], weights=p[inside], minlength=LEVELS)  # without the piles: they are not its shape
    bins = np.bincount(level[inside], minlength=LEVELS)
    q = np.where(inside, (kept / np.maximum(bins, 1))[level], 0.0)
    pile_low, pile_high = (p[centres < low].sum(), p[centres > high].sum())
    first, last = np.flatnonzero(inside)[[0, -1]]
    shown = np.where(inside, p, 0.0)
    shown[first] += pile_low
    shown[last] += pile_high
    q = q / q.sum()
    some = shown > 0.0
    return float((shown[some] * np.log(shown[some] / np.maximum(q[some], 1e-12))).sum())
