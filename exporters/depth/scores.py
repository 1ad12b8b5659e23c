"""How sure a head is: scores between 0 and 1, compared by how well they rank its failures.

- Area under the risk-coverage curve (AURC): Geifman and El-Yaniv 2017, "Selective Classification for Deep Neural
  Networks", NeurIPS; Geifman, Uziel, El-Yaniv 2019, "Bias-Reduced Uncertainty Estimation", ICLR.
- Energy: Liu, Wang, Owens, Li 2020, "Energy-based Out-of-distribution Detection", NeurIPS, equation 4.
- A temperature beside the margin: Guo, Pleiss, Sun, Weinberger 2017, "On Calibration of Modern Neural Networks", ICML.

Everything that is compared here must have been answered by a head that had not seen the row (held out).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logsumexp
from scipy.stats import rankdata

from edgehybrid.errors import DataError

Floats = NDArray[np.float64]
ScoreName = Literal["margin", "entropy", "energy", "learnt", "error"]
Interval = tuple[float, float]

_TEMPERATURES = (0.3, 1.0, 3.0)  # of the median gap between the two best logits
_COMPONENTS = 64  # of the features that a learnt score may weigh
_LEARNT_PENALTIES = (1e-2, 1e-1, 1.0)
_FOLDS = 5
_DRAWS = 200
_FEWEST_FAILURES = 8  # below it there is nothing to learn from


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A confidence score, as the graph computes it: larger is surer, 0 to 1.

    Attributes:
        name: ``margin``: difference of the two best probabilities of ``softmax(logits / scale)``. ``entropy``: one less
            their normalized entropy. ``energy``: ``sigmoid((logsumexp(logits) - location) / scale)``. ``learnt``:
            ``sigmoid(features @ weight + bias)``. ``error``: ``exp(-max(features @ weight + bias, 0) / scale)``.
        location: Of ``energy``.
        scale: Above 0.
        weight: Of ``learnt`` and ``error``, shape ``(k,)``.
        bias: Of the same.
    """

    name: ScoreName
    location: float = 0.0
    scale: float = 1.0
    weight: Floats | None = None
    bias: float = 0.0

    def __call__(self, logits: Floats, features: Floats | None = None) -> Floats:
        """Return the confidence of each row: shape ``(n,)``.

        Args:
            logits: Of the head, shape ``(n, classes)``; not read by ``learnt`` and ``error``.
            features: Of the head, shape ``(n, k)``; read by them only.

        Raises:
            DataError: The score reads features, and there are none.
        """
        if self.name in ("margin", "entropy"):
            tempered = logits / self.scale
            log_p = tempered - logsumexp(tempered, axis=1, keepdims=True)
            p = np.exp(log_p)
            if self.name == "margin":
                best = np.partition(p, -2, axis=1)
                return np.asarray(best[:, -1] - best[:, -2])
            share = (p * log_p).sum(axis=1) / np.log(p.shape[1])
            return np.asarray(np.clip(1.0 + share, 0.0, 1.0), dtype=np.float64)
        if self.name == "energy":
            return np.asarray(expit((logsumexp(logits, axis=1) - self.location) / self.scale))
        if features is None or self.weight is None:
            raise DataError(f"The score {self.name!r} reads features, and none were given.", "Give the head's own.")
        seen = features @ self.weight + self.bias
        return np.asarray(expit(seen) if self.name == "learnt" else np.exp(-np.maximum(seen, 0.0) / self.scale))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """How well a score ranks failures.

    Attributes:
        aurc: Mean over all coverages of the mean loss of the surest rows; lower is better.
        aurc_ci95: Its 95 % interval, by bootstrap.
        auroc: Chance that a row without loss is surer than one with; ``None`` if all rows are alike.
        auroc_ci95: Its 95 % interval, by bootstrap.
    """

    aurc: float
    aurc_ci95: Interval
    auroc: float | None
    auroc_ci95: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenScore:
    """The score that ranks failures best, and how all of them ranked on the inputs.

    Attributes:
        score: The score.
        confidence: What it said of each input, held out: shape ``(inputs,)``.
        everywhere: The same of each row, variations included: shape ``(n,)``.
        table: By score.
    """

    score: Score
    confidence: Floats
    everywhere: Floats
    table: Mapping[str, Ranking]


def aurc(confidence: Floats, loss: Floats) -> float:
    """Return the area under the risk-coverage curve: ties count as their mean, NaN as least sure."""
    order = np.argsort(-np.nan_to_num(confidence, nan=-np.inf), kind="stable")
    sure, lost = confidence[order], loss[order]
    starts = np.flatnonzero(np.append(True, sure[1:] != sure[:-1]))
    sizes = np.diff(np.append(starts, len(sure)))
    even = np.repeat(np.add.reduceat(lost, starts) / sizes, sizes)
    return float((np.cumsum(even) / np.arange(1, len(even) + 1)).mean())


def auroc(confidence: Floats, loss: Floats) -> float | None:
    """Return the chance that a row without loss is surer than one that loses more than half; ``None`` without both."""
    failed = loss > 0.5
    bad, good = int(failed.sum()), int((~failed).sum())
    if not bad or not good:
        return None
    ranks = rankdata(np.nan_to_num(confidence, nan=-np.inf))
    return float((ranks[~failed].sum() - good * (good + 1) / 2) / (bad * good))


def rank(confidence: Floats, loss: Floats, *, seed: int = 0) -> Ranking:
    """Return both areas with their intervals.

    Args:
        confidence: Shape ``(n,)``.
        loss: In 0 to 1, shape ``(n,)``.
        seed: Of the bootstrap.
    """
    draw, n = np.random.default_rng(seed), len(loss)
    picks = draw.integers(0, n, (_DRAWS, n))
    areas = [aurc(confidence[pick], loss[pick]) for pick in picks]
    chances = [chance for pick in picks if (chance := auroc(confidence[pick], loss[pick])) is not None]
    return Ranking(
        aurc=aurc(confidence, loss),
        aurc_ci95=_middle(areas),
        auroc=auroc(confidence, loss),
        auroc_ci95=_middle(chances) if chances else None,
    )


def class_scores(logits: Floats, *, energy: bool = True) -> tuple[Score, ...]:
    """Return the scores that read logits only, with the temperatures and places that suit these.

    Args:
        logits: Held out, shape ``(n, classes)``.
        energy: Whether the energy is one of them.
    """
    best = np.partition(logits, -2, axis=1)
    gap = float(np.median(best[:, -1] - best[:, -2])) or 1.0
    tempered = [gap * factor for factor in _TEMPERATURES]
    found = [
        Score(name="margin"),
        *(Score(name="margin", scale=scale) for scale in tempered),
        Score(name="entropy"),
        *(Score(name="entropy", scale=scale) for scale in tempered),
    ]
    if energy:
        total = logsumexp(logits, axis=1)
        found.append(Score(name="energy", location=float(np.median(total)), scale=float(total.std()) or 1.0))
    return tuple(found)


def choose_score(
    logits: Floats,
    failure: Floats,
    features: Floats,
    groups: NDArray[np.int64],
    *,
    judged: NDArray[np.int64],
    learn: bool = True,
    energy: bool = True,
    seed: int = 0,
) -> ChosenScore:
    """Choose the score of a head onto classes.

    Args:
        logits: Held out, shape ``(n, classes)``.
        failure: Whether each answer fails, 0 or 1, shape ``(n,)``.
        features: Of the head, shape ``(n, k)``.
        groups: Rows of one group are variations of one input, and held out together: shape ``(n,)``.
        judged: Rows that are reported: the inputs themselves; their variations, which fail more often, help to choose.
        learn: Whether to try the learnt score too.
        energy: Whether to try the energy; logarithms of probabilities have none.
        seed: Of folds and bootstrap.
    """
    found = [(score, score(logits)) for score in class_scores(logits, energy=energy)]
    if learn and failure.sum() >= _FEWEST_FAILURES:
        found.append(fit_learnt(features, failure, groups, seed=seed))
    best: dict[str, tuple[float, Score, Floats]] = {}
    for score, sure in found:
        area = aurc(sure, failure)
        if score.name not in best or area < best[score.name][0]:
            best[score.name] = (area, score, sure)
    _, chosen, confidence = min(best.values(), key=lambda item: item[0])
    table = {name: rank(sure[judged], failure[judged], seed=seed) for name, (_, _, sure) in best.items()}
    return ChosenScore(score=chosen, confidence=confidence[judged], everywhere=confidence, table=table)


def fit_learnt(features: Floats, failure: Floats, groups: NDArray[np.int64], *, seed: int = 0) -> tuple[Score, Floats]:
    """Fit ``sigmoid(features @ weight + bias)`` = chance not to fail, by logistic regression with an L2 penalty.

    Weighs the leading principal components only, since there are few failures; the penalty by held-out likelihood.

    Args:
        features: Shape ``(n, k)``.
        failure: Of answers held out, 0 or 1, shape ``(n,)``.
        groups: Held out together, shape ``(n,)``.
        seed: Of the folds.

    Returns:
        The score fitted on all rows, and what scores fitted on other rows say of each.
    """
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 1e-6 * max(float(scale.max(initial=0.0)), 1e-30), scale, np.inf)
    turn = _components((features - mean) / scale)
    parts = ((features - mean) / scale) @ turn
    spread = np.maximum(parts.std(axis=0), 1e-12)
    parts = parts / spread
    fold = folds(groups, _FOLDS, seed)
    held: dict[float, Floats] = {}
    for penalty in _LEARNT_PENALTIES:
        held[penalty] = np.empty(len(failure))
        for k in range(_FOLDS):
            weight, bias = _logistic(parts[fold != k], 1.0 - failure[fold != k], penalty)
            held[penalty][fold == k] = parts[fold == k] @ weight + bias
    loss = {penalty: _log_loss(seen, 1.0 - failure) for penalty, seen in held.items()}
    penalty = min(loss, key=loss.__getitem__)
    weight, bias = _logistic(parts, 1.0 - failure, penalty)
    onto = (turn @ (weight / spread)) / scale
    score = Score(name="learnt", weight=onto, bias=bias - float(mean @ onto))
    return score, np.asarray(expit(held[penalty]))


def folds(groups: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Return the fold of each row, whole groups together: 0 to ``count - 1``, shape ``(n,)``."""
    _, place = np.unique(groups, return_inverse=True)
    order = np.random.default_rng(seed).permutation(int(place.max()) + 1)
    return np.asarray(order[place] % count, dtype=np.int64)


def _components(x: Floats) -> Floats:
    """Leading principal axes of standardized features: ``(k, at most 64)``."""
    n, k = x.shape
    count = min(_COMPONENTS, n, k)
    if k <= n:
        return np.asarray(np.linalg.eigh(x.T @ x)[1][:, ::-1][:, :count])
    values, vectors = np.linalg.eigh(x @ x.T)
    long = x.T @ vectors[:, ::-1][:, :count]
    return np.asarray(long / np.sqrt(np.maximum(values[::-1][:count], 1e-12)))


def _logistic(x: Floats, y: Floats, penalty: float) -> tuple[Floats, float]:
    def objective(at: Floats) -> tuple[float, Floats]:
        seen = x @ at[1:] + at[0]
        value = _log_loss(seen, y) + 0.5 * penalty * float(at[1:] @ at[1:])
        slope = (expit(seen) - y) / len(y)
        return value, np.concatenate([[slope.sum()], x.T @ slope + penalty * at[1:]])

    at = minimize(objective, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 200}).x
    return at[1:], float(at[0])


def _log_loss(seen: Floats, y: Floats) -> float:
    return float((np.logaddexp(0.0, seen) - y * seen).mean())


def _middle(values: Sequence[float]) -> Interval:
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)
