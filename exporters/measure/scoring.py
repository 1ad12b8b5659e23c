"""Quality of all candidates in one pass over the data, one sample at a time, as the device will run them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgehybrid.data import Samples
from edgehybrid.quality import Metric
from edgehybrid.runtime.backends import Session

Float64Array = NDArray[np.float64]
SQNR_LIMIT_DB = 150.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What one candidate did on every sample.

    Attributes:
        scores: The metric's score of each sample, shape ``(n,)``.
        sqnr_db: Signal to noise against the float reference over all outputs, mean over the samples, in dB.
        max_deviation: Output name to largest absolute difference from the reference.
        finite: Whether no output was NaN or infinite where the reference was finite.
    """

    scores: Float64Array
    sqnr_db: float
    max_deviation: Mapping[str, float]
    finite: bool


def score(
    session: Session,
    reference: Session,
    samples: Samples,
    metric: Metric,
    progress: Callable[[int], None] | None = None,
) -> Score:
    """Score ``session`` on all ``samples``; memory does not grow with their number, but for one score each."""
    scores: list[Float64Array] = []
    noise_db: list[float] = []
    deviation: dict[str, float] = {}
    finite = True
    for batch in samples.batches(1):
        expected = reference.run(batch.feeds)
        outputs = expected if session is reference else session.run(batch.feeds)
        finite = finite and _finite(outputs, expected)
        if finite:
            scores.append(np.atleast_1d(metric.score(outputs, batch.labels, expected)))
        noise_db.append(sqnr_db(outputs, expected))
        for name, array in outputs.items():
            deviation[name] = max(deviation.get(name, 0.0), largest_difference(array, expected[name]))
        if progress is not None:
            progress(len(next(iter(batch.feeds.values()))))
    joined = np.concatenate(scores) if finite and scores else np.zeros(0)
    return Score(scores=joined, sqnr_db=float(np.mean(noise_db)), max_deviation=deviation, finite=finite)


def _finite(outputs: Mapping[str, NDArray[np.generic]], expected: Mapping[str, NDArray[np.generic]]) -> bool:
    return all(
        array.dtype.kind != "f" or bool((np.isfinite(array) | ~np.isfinite(expected[name])).all())
        for name, array in outputs.items()
    )


def largest_difference(array: NDArray[np.generic], expected: NDArray[np.generic]) -> float:
    """Largest absolute difference; infinite if one is NaN and the other is not, or the shapes differ."""
    if array.shape != expected.shape:
        return float("inf")
    a, b = array.astype(np.float64), expected.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        difference = np.where(same, 0.0, np.abs(a - b))
    return float(np.nan_to_num(difference, nan=np.inf).max(initial=0.0))


def sqnr_db(outputs: Mapping[str, NDArray[np.generic]], expected: Mapping[str, NDArray[np.generic]]) -> float:
    """Signal to noise of all float outputs together, within ±150 dB; equal outputs give 150."""
    signal = noise = 0.0
    for name, array in outputs.items():
        if array.dtype.kind == "f" and array.shape == expected[name].shape:
            b = expected[name].astype(np.float64)
            with np.errstate(invalid="ignore"):
                difference = np.nan_to_num(array.astype(np.float64) - b)
            signal, noise = (
                signal + float(np.square(np.nan_to_num(b)).sum()),
                noise + float(np.square(difference).sum()),
            )
    if noise == 0.0:
        return SQNR_LIMIT_DB
    if signal == 0.0:
        return -SQNR_LIMIT_DB
    return float(np.clip(10.0 * np.log10(signal / noise), -SQNR_LIMIT_DB, SQNR_LIMIT_DB))
