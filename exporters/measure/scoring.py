"""Quality of all candidates in one pass over the data, one sample at a time, as the device will run them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
        scores: The metric's score of each sample, shape ``(n,)``; empty without a metric, or if an output was broken.
        sqnr_db: Signal to noise against the float reference over all outputs, mean over the samples, in dB.
        max_deviation: Output name to largest absolute difference from the reference.
        finite: Whether no output was NaN or infinite where the reference was finite.
        runs: Over how many inferences ``sqnr_db`` is the mean.
    """

    scores: Float64Array
    sqnr_db: float
    max_deviation: Mapping[str, float]
    finite: bool
    runs: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Which samples are scored: from ``start`` to ``stop``, those of ``wanted`` spread evenly over ``total``."""

    start: int
    stop: int
    wanted: int
    total: int

    def __contains__(self, index: int) -> bool:
        """Whether the sample at ``index`` is one of them."""
        inside = self.start <= index < self.stop
        return inside and (index + 1) * self.wanted // self.total > index * self.wanted // self.total

    @property
    def count(self) -> int:
        """How many there are."""
        return self.stop * self.wanted // self.total - self.start * self.wanted // self.total


def score(
    sessions: Mapping[str, Session],
    reference: Session,
    samples: Samples,
    metric: Metric | None,
    rows: Rows | None = None,
    stop: Callable[[], bool] | None = None,
) -> dict[str, Score]:
    """Score ``sessions`` in one pass, so that the reference runs once for all of them.

    Args:
        sessions: Candidate name to session.
        reference: The float model.
        samples: Data; memory does not grow with their number, but for one score each.
        metric: What gives ``Score.scores``; ``None`` for likeness to float only.
        rows: Which samples; all by default.
        stop: Asked before each sample; true ends the pass early, with what there is.
    """
    rows = rows or Rows(start=0, stop=samples.count, wanted=samples.count, total=samples.count)
    tallies = {name: _Tally() for name in sessions}
    for batch in samples.batches(1, start=rows.start, stop=rows.stop):
        if batch.start not in rows:
            continue
        if stop is not None and stop():
            break
        expected = reference.run(batch.feeds)
        for name, session in sessions.items():
            outputs = expected if session is reference else session.run(batch.feeds)
            tallies[name].add(outputs, expected, batch.labels, metric)
    return {name: tally.close() for name, tally in tallies.items()}


class _Tally:
    """Sums of one candidate."""

    def __init__(self) -> None:
        self.scores: list[Float64Array] = []
        self.noise_db = 0.0
        self.runs = 0
        self.deviation: dict[str, float] = {}
        self.finite = True

    def add(
        self,
        outputs: Mapping[str, NDArray[np.generic]],
        expected: Mapping[str, NDArray[np.generic]],
        labels: NDArray[np.generic] | None,
        metric: Metric | None,
    ) -> None:
        """Take in one inference."""
        self.finite = self.finite and _finite(outputs, expected)
        if self.finite and metric is not None:
            self.scores.append(np.atleast_1d(metric.score(outputs, labels, expected)))
        self.runs += 1
        self.noise_db += sqnr_db(outputs, expected)
        for name, array in outputs.items():
            self.deviation[name] = max(self.deviation.get(name, 0.0), largest_difference(array, expected[name]))

    def close(self) -> Score:
        """Sum up."""
        joined = np.concatenate(self.scores) if self.finite and self.scores else np.zeros(0)
        noise = self.noise_db / max(self.runs, 1)
        return Score(scores=joined, sqnr_db=noise, max_deviation=self.deviation, finite=self.finite, runs=self.runs)


def join_scores(parts: Sequence[Score]) -> Score:
    """Join the scores of successive rows of one candidate."""
    runs = sum(part.runs for part in parts)
    finite = all(part.finite for part in parts)
    names = dict.fromkeys(name for part in parts for name in part.max_deviation)
    return Score(
        scores=np.concatenate([part.scores for part in parts]) if finite and parts else np.zeros(0),
        sqnr_db=sum(part.sqnr_db * part.runs for part in parts) / max(runs, 1),
        max_deviation={name: max(part.max_deviation.get(name, 0.0) for part in parts) for name in names},
        finite=finite,
        runs=runs,
    )


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
