"""What a chain is worth: thresholds by Learn then Test, honest quality, mean latency; pure functions of figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgehybrid.exporters.chains import Deep
from edgehybrid.exporters.depth import Path, Refusal, certify_between, depths
from edgehybrid.exporters.measure import sqnr_db
from edgehybrid.points import RiskLoss

Float64Array = NDArray[np.float64]

DELTA = 0.1
FOLDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """How an early answer is judged.

    Attributes:
        kind: See ``Risk.loss``.
        bound: The distance that counts as 1, for ``deviation``: the spread of the full answers.
    """

    kind: RiskLoss
    bound: float = 1.0

    def of(self, deep: Deep) -> Float64Array:
        """Loss of each input at each exit, 0 to 1: shape ``(n, exits)``."""
        full = deep.answers[:, -1]
        early = deep.answers[:, :-1]
        if self.kind == "error":  # what only the full model gets right
            return np.asarray(np.maximum(deep.scores[:, -1:] - deep.scores[:, :-1], 0.0))
        if self.kind == "disagreement":
            return np.asarray(early.argmax(axis=-1) != full.argmax(axis=-1)[:, None], dtype=np.float64)
        return np.asarray(np.minimum(np.abs(early - full[:, None]).mean(axis=-1) / self.bound, 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Depths:
    """A chain under one promise.

    Attributes:
        places: Places on the path for the exit scalars 0 to 1.
        taken: Depth of each evaluation input at the scalar 0, 0 for the first exit: cross-fitted, so that an input's
            own loss never moved the thresholds that it met; shape ``(n,)``.
        relaxed: The same at the scalar 1.
        shares: Share of the inputs by depth with the shipped thresholds, at the scalar 0.
        relaxed_shares: The same at 1.
    """

    places: tuple[float, ...]
    taken: NDArray[np.int64]
    relaxed: NDArray[np.int64]
    shares: tuple[float, ...]
    relaxed_shares: tuple[float, ...]


def certified_depths(path: Path, deep: Deep, losses: Float64Array, epsilons: tuple[float, float]) -> Depths | Refusal:
    """Certify ``path`` on the evaluation inputs for losses between ``epsilons``, and see what the inputs do then.

    The thresholds that ship are certified on all inputs. The quality that is reported must not come from inputs that
    helped to choose them: each fifth of the inputs meets thresholds that are certified on the other four.
    """
    found = certify_between(path, deep.confidence, losses, epsilons, DELTA)
    if isinstance(found, Refusal):
        return found
    places = tuple(item.u for item in found)
    n, exits = losses.shape
    taken, relaxed = np.full(n, exits), np.full(n, exits)
    fold = np.arange(n) % FOLDS
    for number in range(FOLDS):
        inside = fold == number
        other = certify_between(path, deep.confidence[~inside], losses[~inside], epsilons, DELTA)
        # Too few for a promise of their own: they meet the thresholds that ship, which is no flattery to speak of.
        own = places if isinstance(other, Refusal) else tuple(item.u for item in other)
        taken[inside] = depths(path.thresholds(own[0]), deep.confidence[inside])
        relaxed[inside] = depths(path.thresholds(own[-1]), deep.confidence[inside])
    return Depths(
        places=places,
        taken=taken,
        relaxed=relaxed,
        shares=_shares(depths(path.thresholds(places[0]), deep.confidence), exits),
        relaxed_shares=_shares(depths(path.thresholds(places[-1]), deep.confidence), exits),
    )


def _shares(taken: NDArray[np.int64], exits: int) -> tuple[float, ...]:
    return tuple((np.bincount(taken, minlength=exits + 1) / max(len(taken), 1)).tolist())


def taken_scores(deep: Deep, taken: NDArray[np.int64]) -> Float64Array:
    """The metric's score of the answer that each input got: shape ``(n,)``."""
    return deep.scores[np.arange(len(taken)), taken]


def taken_sqnr_db(deep: Deep, taken: NDArray[np.int64]) -> float:
    """Likeness to the float model of the answers that the inputs got: mean signal to noise in dB."""
    answers = deep.answers[np.arange(len(taken)), taken]
    return float(np.mean([sqnr_db({"": a}, {"": b}) for a, b in zip(answers, deep.truth, strict=True)]))


def epsilon_pairs(losses: Sequence[float]) -> tuple[tuple[float, float], ...]:
    """The promises to try: each of ``losses`` at the scalar 0, the largest at the scalar 1."""
    ordered = sorted(set(losses))
    return tuple((loss, ordered[-1]) for loss in ordered)


def mixture_percentile(wall_s: Sequence[Float64Array], shares: Sequence[float], q: float) -> float:
    """Percentile ``q`` of latencies of which so large shares come from each depth; seconds.

    Args:
        wall_s: Latencies of each depth, each of shape ``(rounds,)``.
        shares: Share of each depth, together 1.
        q: 0 to 100.
    """
    values = np.concatenate(list(wall_s))
    weights = np.concatenate([np.full(len(w), s / len(w)) for w, s in zip(wall_s, shares, strict=True)])
    order = np.argsort(values)
    place = np.searchsorted(np.cumsum(weights[order]), q / 100.0 * weights.sum())
    return float(values[order][min(int(place), len(values) - 1)])
