"""Latency and CPU time, interleaved: every candidate meets the same weather."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """Median of paired ratios with its 95 % bootstrap interval; above one: faster than the reference."""

    median: float
    low: float
    high: float

    def describe(self) -> str:
        """Say it as a person would: ``1.41× [1.39, 1.44]``."""
        return f"{self.median:.2f}× [{self.low:.2f}, {self.high:.2f}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Seconds of every run: ``wall_s`` and ``cpu_s`` (all threads) have shape ``(rounds, candidates)``."""

    names: tuple[str, ...]
    wall_s: Float64Array
    cpu_s: Float64Array

    def column(self, name: str) -> int:
        """Column of a candidate."""
        return self.names.index(name)

    def percentile_ms(self, name: str, q: float) -> float:
        """Percentile ``q`` (0 to 100) of the latency, in milliseconds."""
        return float(np.percentile(self.wall_s[:, self.column(name)], q) * 1e3)

    def cpu_ms(self, name: str) -> float:
        """Median CPU time of one inference, in milliseconds."""
        return float(np.median(self.cpu_s[:, self.column(name)]) * 1e3)

    def speedup(self, name: str, reference: str, seed: int = 0) -> Ratio:
        """How many times faster ``name`` is than ``reference``, from runs of the same round."""
        return paired_ratio(self.wall_s[:, self.column(reference)], self.wall_s[:, self.column(name)], seed)


def paired_ratio(numerator: Float64Array, denominator: Float64Array, seed: int = 0, resamples: int = 400) -> Ratio:
    """Median of ``numerator / denominator`` pair by pair, with a bootstrap interval over the pairs.

    Args:
        numerator: Shape ``(n,)``, positive.
        denominator: Shape ``(n,)``, positive.
        seed: Of the resampling.
        resamples: How many.
    """
    ratios = numerator / denominator
    rng = np.random.default_rng(seed)
    medians = np.median(ratios[rng.integers(len(ratios), size=(resamples, len(ratios)))], axis=1)
    low, high = np.percentile(medians, (2.5, 97.5))
    return Ratio(median=float(np.median(ratios)), low=float(low), high=float(high))


def interleave(
    runs: Mapping[str, Callable[[], object]],
    *,
    budget_s: float,
    seed: int = 0,
    min_rounds: int = 15,
    max_rounds: int = 600,
    warm_up: int = 3,
    progress: Callable[[int], None] | None = None,
) -> Timings:
    """Run every candidate once per round, in a new order each round, until the budget is used.

    Args:
        runs: Candidate name to one inference.
        budget_s: Seconds to spend, warm-up not counted.
        seed: Of the orders.
        min_rounds: Rounds even if the budget is too small.
        max_rounds: Rounds even if the budget allows more.
        warm_up: Runs of each before that count for nothing.
        progress: Called after each round.
    """
    names = tuple(runs)
    for _ in range(warm_up):
        for run in runs.values():
            run()
    rng = np.random.default_rng(seed)
    wall: list[list[float]] = []
    cpu: list[list[float]] = []
    was_on = gc.isenabled()
    gc.disable()
    try:
        end = time.perf_counter() + budget_s
        while len(wall) < min_rounds or (len(wall) < max_rounds and time.perf_counter() < end):
            wall.append([0.0] * len(names))
            cpu.append([0.0] * len(names))
            for column in rng.permutation(len(names)):
                run = runs[names[column]]
                cpu_0, wall_0 = time.process_time(), time.perf_counter()
                run()
                wall[-1][column] = time.perf_counter() - wall_0
                cpu[-1][column] = time.process_time() - cpu_0
            if progress is not None:
                progress(1)
    finally:
        if was_on:
            gc.enable()
    return Timings(names=names, wall_s=np.array(wall), cpu_s=np.array(cpu))
