"""One path of thresholds for all exits of a chain, from strict (nothing leaves early) to lenient.

The order along the path is chosen on one set of rows (fitting), how far one may go on another (threshold split): only
so do the steps of ``risk.fixed_sequence`` stand before the losses that test them.

A row leaves at the first exit whose confidence reaches its threshold; a confidence of NaN never does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from edgehybrid.errors import DataError, RequestError
from edgehybrid.exporters.depth.risk import Floats, Promise, Refusal, promise
from edgehybrid.points import Exit

NEVER = 1.001
"""A threshold that no confidence (0 to 1) reaches."""

_LEVELS = 64  # thresholds that are tried for each exit
_QUANTILES = 21
_KNOTS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """How likely an answer of so much confidence fails: never rising, linear between ``confidence`` (rising)."""

    confidence: Floats
    failure: Floats

    def __call__(self, confidence: Floats) -> Floats:
        """Predicted failure, 0 to 1; 1 for NaN."""
        predicted: Floats = np.interp(confidence, self.confidence, self.failure)
        predicted[np.isnan(confidence)] = 1.0
        return predicted


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """Thresholds of all exits by one number, 0 (nothing leaves early) to 1 (all leave at the first exit worth it).

    Attributes:
        knots: Evenly spaced in 0 to 1, linear in between, none rising: float64, shape ``(knots, exits)``.
    """

    knots: Floats

    def thresholds(self, u: float) -> Floats:
        """Return the least confidence that answers, for each exit: shape ``(exits,)``."""
        last = len(self.knots) - 1
        place = min(max(u, 0.0), 1.0) * last
        below = min(int(place), last - 1)
        share = place - below
        low, high = self.knots[below], self.knots[below + 1]
        return np.asarray(np.clip(low + share * (high - low), high, low))  # rounding must not make it rise


@dataclass(frozen=True, slots=True, kw_only=True)
class Certified:
    """How far one may go on a path: to ``u``, by ``promise``."""

    u: float
    promise: Promise


def predict_failure(confidence: Floats, loss: Floats) -> Failure:
    """Fit how failure falls with confidence: isotonic regression, smoothed so that it falls everywhere.

    Pools adjacent violators, counts half a failure more in each pool (one without any is not proof of zero), and
    draws lines between the centres of the pools (Oron and Flournoy 2017, "Centered isotonic regression",
    Stat. Biopharm. Res. 9(3)), down to zero at the largest confidence.

    Args:
        confidence: Shape ``(n,)``; rows with NaN are left out.
        loss: In 0 to 1, shape ``(n,)``.
    """
    seen = ~np.isnan(confidence)
    if not seen.any():
        return Failure(confidence=np.array([0.0]), failure=np.array([1.0]))
    at, place = np.unique(confidence[seen], return_inverse=True)
    count = np.bincount(place).astype(np.float64)
    mean = np.bincount(place, weights=loss[seen]) / count
    fit = isotonic_regression(mean, weights=count, increasing=False)
    rows = np.add.reduceat(count, fit.blocks[:-1])
    centre = np.add.reduceat(at * count, fit.blocks[:-1]) / rows
    smooth = (np.add.reduceat(mean * count, fit.blocks[:-1]) + 0.5) / (rows + 1)
    falling = isotonic_regression(smooth, weights=rows, increasing=False).x
    if centre[-1] < at[-1]:
        centre, falling = np.append(centre, at[-1]), np.append(falling, 0.0)
    return Failure(confidence=centre, failure=np.asarray(falling))


def fit_path(confidences: Floats, losses: Floats, costs: Sequence[float], *, knots: int = 65) -> Path:
    """Order the ways to leave earlier by what they save for the failures they bring.

    From nothing leaving, always takes the step of one exit's threshold that saves the most cost for each predicted
    failure: the steepest descent of the mean cost against the predicted risk, so that at each risk the cost is about
    the least. An exit that is not worth its risk stays shut until late, or for ever.

    Args:
        confidences: Of the fitting rows, 0 to 1 or NaN, shape ``(n, exits)``, the first exit first.
        losses: In 0 to 1, of the same shape: what is lost if the row leaves there.
        costs: Of an answer at each exit, then at full depth, rising, in any unit: ``exits + 1``.
        knots: Of the path; evenly spaced in the cost saved.

    Raises:
        DataError: Shapes that do not fit, or no rows.
        RequestError: Not one cost for each depth.
    """
    _require_same(confidences, losses)
    exits = confidences.shape[1]
    if len(costs) != exits + 1:
        raise RequestError(f"{len(costs)} costs for {exits} exits.", "Give one for each exit, and one for full depth.")
    failures = [predict_failure(confidences[:, e], losses[:, e])(confidences[:, e]) for e in range(exits)]
    risks = np.column_stack([*failures, np.zeros(len(losses))])
    levels = [_levels(confidences[:, e]) for e in range(exits)]
    at = [0] * exits
    trace, saved = [np.full(exits, NEVER)], [0.0]
    while (move := _best_move(at, levels, confidences, risks, np.asarray(costs, dtype=np.float64))) is not None:
        e, level, gain = move
        at[e] = level
        trace.append(np.array([levels[i][at[i]] for i in range(exits)]))
        saved.append(saved[-1] + gain)
    if len(trace) == 1:
        return Path(knots=np.full((2, exits), NEVER))
    place = np.linspace(0, saved[-1], knots)
    table = np.column_stack([np.interp(place, saved, column) for column in np.array(trace).T])
    return Path(knots=np.minimum.accumulate(table, axis=0))  # rounding must not make a threshold rise


def depths(thresholds: Floats, confidences: Floats) -> NDArray[np.int64]:
    """Return at which exit each row leaves: 0 for the first, ``exits`` for none; shape ``(n,)``."""
    leaves = np.column_stack([confidences >= thresholds, np.ones(len(confidences), dtype=bool)])
    return np.asarray(np.argmax(leaves, axis=1))


def losses_along(path: Path, us: Floats, confidences: Floats, losses: Floats) -> Floats:
    """Return what each row loses at each place of the path: ``(n, len(us))``; nothing where it takes the full depth."""
    _require_same(confidences, losses)
    with_full = np.column_stack([losses, np.zeros(len(losses))])
    rows = np.arange(len(losses))
    return np.column_stack([with_full[rows, depths(path.thresholds(float(u)), confidences)] for u in us])


def mean_cost(path: Path, u: float, confidences: Floats, costs: Sequence[float]) -> float:
    """Return the mean cost of a row, in the unit of ``costs`` (one for each exit, then full depth)."""
    return float(np.asarray(costs, dtype=np.float64)[depths(path.thresholds(u), confidences)].mean())


def exit_shares(path: Path, u: float, confidences: Floats) -> Floats:
    """Return the share of rows that leave at each exit, then of those at full depth: ``(exits + 1,)``."""
    taken = depths(path.thresholds(u), confidences)
    return np.bincount(taken, minlength=confidences.shape[1] + 1) / len(confidences)


def certify(
    path: Path, confidences: Floats, losses: Floats, epsilon: float, delta: float, *, steps: int = 257
) -> Certified | Refusal:
    """Return how far one may go on the path so that the mean loss is at most ``epsilon``.

    Args:
        path: Fitted on other rows.
        confidences: Of the threshold split, shape ``(n, exits)``.
        losses: In 0 to 1, of the same shape.
        epsilon: Largest mean loss, in 0 to 1.
        delta: Probability that the promise is wrong, over the draw of the threshold split.
        steps: Places of the path that are tried, in order.

    Returns:
        Or a refusal, if these rows do not even prove the first step.
    """
    us = np.linspace(0, 1, steps)
    result = promise(losses_along(path, us, confidences, losses), epsilon, delta, lowest_step=1)
    return result if isinstance(result, Refusal) else Certified(u=float(us[result.step]), promise=result)


def certify_between(
    path: Path, confidences: Floats, losses: Floats, epsilons: tuple[float, float], delta: float
) -> tuple[Certified, ...] | Refusal:
    """Return how far one may go for each of nine risks, evenly spaced from the first to the second of ``epsilons``.

    Each is a promise of its own: a threshold that goes from one place to the next keeps ``Risk.at(scalar)``.

    Args:
        path: Fitted on other rows.
        confidences: Of the threshold split, shape ``(n, exits)``.
        losses: In 0 to 1, of the same shape.
        epsilons: Largest mean loss at the exit scalars 0 and 1, rising.
        delta: Probability that a promise is wrong.

    Returns:
        Never falling ``u``; or a refusal, if these rows do not prove the first.
    """
    found = []
    for epsilon in np.linspace(*epsilons, _KNOTS):
        result = certify(path, confidences, losses, float(epsilon), delta)
        if isinstance(result, Refusal):
            return result
        found.append(result)
    return tuple(found)


def make_exits(path: Path, stages: Sequence[str], confidences: Floats, places: Sequence[float]) -> dict[str, Exit]:
    """Return the exits of a point by stage.

    Args:
        path: The path.
        stages: Of its exits, in order.
        confidences: Of the threshold split, shape ``(n, exits)``: their quantiles are remembered.
        places: On the path, never falling: one for each of the thresholds between the exit scalars 0 and 1.

    Raises:
        RequestError: The places are in the wrong order, or not one stage for each exit.
    """
    if sorted(places) != list(places) or not places or len(stages) != path.knots.shape[1]:
        what = f"Places {list(places)} for {len(stages)} of {path.knots.shape[1]} exits."
        raise RequestError(what, "Give the strictest place first, and one stage for each exit.")
    table = np.array([path.thresholds(u) for u in places])
    exits = {}
    for stage, thresholds, confidence in zip(stages, table.T, confidences.T, strict=True):
        seen = confidence[~np.isnan(confidence)]
        quantiles = np.quantile(seen, np.linspace(0, 1, _QUANTILES)) if len(seen) else np.array([])
        exits[stage] = Exit(thresholds=tuple(thresholds.tolist()), quantiles=tuple(quantiles.tolist()))
    return exits


def _levels(confidence: Floats) -> Floats:
    """Thresholds to try, falling: never, then quantiles of the confidences that were seen."""
    seen = np.unique(confidence[~np.isnan(confidence)])[::-1]
    if len(seen) > _LEVELS:
        seen = seen[np.unique(np.linspace(0, len(seen) - 1, _LEVELS).round().astype(int))]
    return np.concatenate([[NEVER], seen])


def _best_move(
    at: Sequence[int], levels: Sequence[Floats], confidences: Floats, risks: Floats, costs: Floats
) -> tuple[int, int, float] | None:
    """Return the exit to lower, to which of its levels, and the mean cost saved; ``None`` if nothing saves more."""
    now = np.array([levels[e][at[e]] for e in range(len(levels))])
    rows, taken = np.arange(len(risks)), depths(now, confidences)
    best, best_slope = None, 0.0
    for e, choices in enumerate(levels):
        joins = (taken > e)[:, None] & (confidences[:, [e]] >= choices[at[e] + 1 :])
        gains = (costs[taken] - costs[e]) @ joins / len(rows)
        harms = (risks[:, e] - risks[rows, taken]) @ joins / len(rows)
        slopes = np.where(gains > 0, gains / np.maximum(harms, 1e-9), 0.0)
        if slopes.size and slopes.max() > best_slope:
            step = int(np.argmax(slopes))
            best, best_slope = (e, at[e] + 1 + step, float(gains[step])), float(slopes[step])
    return best


def _require_same(confidences: Floats, losses: Floats) -> None:
    if confidences.ndim != 2 or confidences.shape != losses.shape or len(losses) == 0:
        what = f"Confidences have shape {confidences.shape}, losses {losses.shape}."
        raise DataError(what, "Give both as (samples, exits), with at least one sample.")
