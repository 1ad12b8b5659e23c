"""From scores to a value, its interval, and the loss against the reference with its interval."""

from __future__ import annotations

import math

import numpy as np

from edgehybrid.errors import DataError
from edgehybrid.points import Quality
from edgehybrid.quality import intervals
from edgehybrid.quality.intervals import Interval, Scores
from edgehybrid.quality.metrics import Metric


def summarize(metric: Metric, scores: Scores, reference_scores: Scores) -> Quality:
    """Return the quality of a candidate.

    The interval of the loss comes from the differences sample by sample, which is far narrower than comparing the
    two values' own intervals. See ``intervals`` for the methods.

    Args:
        metric: The metric that gave the scores.
        scores: The candidate's, shape ``(samples,)``.
        reference_scores: The float reference's on the same samples in the same order; the same object as ``scores``
            for the reference itself, whose loss is exactly zero.

    Raises:
        DataError: No samples, too few for an interval, or lists of different length.
    """
    n = len(scores)
    if n != len(reference_scores):
        raise DataError(f"{n} scores, {len(reference_scores)} of the reference.", "Score the same samples for both.")
    binary = metric.aggregate == "share" and bool(np.isin([scores, reference_scores], (0.0, 1.0)).all())
    if n < (1 if binary else 2):
        raise DataError(f"{n} samples are too few for {metric.name} with an interval.", "Give at least two.")
    value, reference = _value(metric, scores), _value(metric, reference_scores)
    low, high = (0.0, 0.0) if scores is reference_scores else _difference(metric, scores, reference_scores, binary)
    drop, drop_low, drop_high = value - reference, low, high
    if metric.higher_is_better:
        drop, drop_low, drop_high = reference - value, -high, -low
    return Quality(
        metric=metric.name,
        value=value,
        ci95=_interval(metric, scores, binary),
        drop=drop + 0.0,  # no negative zero
        n=n,
        drop_ci95=(drop_low + 0.0, drop_high + 0.0),
        higher_is_better=metric.higher_is_better,
    )


def _value(metric: Metric, scores: Scores) -> float:
    mean = float(scores.mean())
    return math.sqrt(mean) if metric.aggregate == "root" else mean


def _interval(metric: Metric, scores: Scores, binary: bool) -> Interval:
    if binary:
        return intervals.wilson(float(scores.sum()), len(scores))
    if metric.aggregate == "root":
        return intervals.root_of_mean(scores)
    low, high = intervals.mean(scores)
    return (max(low, 0.0), min(high, 1.0)) if metric.aggregate == "share" else (low, high)


def _difference(metric: Metric, scores: Scores, reference: Scores, binary: bool) -> Interval:
    """Interval of candidate minus reference."""
    if binary:
        won, lost = int((scores > reference).sum()), int((scores < reference).sum())
        return intervals.paired_proportions(won, lost, len(scores))
    if metric.aggregate == "root":
        return intervals.difference_of_roots(scores, reference)
    return intervals.mean(scores - reference)
