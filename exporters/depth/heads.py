"""Heads onto the full model's own answers: closed form or convex, without labels and without a training loop.

- Ridge regression, its penalty by leaving out each input with all its variations, in closed form: with the hat matrix
  ``H``, the rows ``S`` left out have the residual ``(I - H_SS)^-1 r_S`` (Allen 1974; Hastie, Tibshirani, Friedman, "The
  Elements of Statistical Learning", 3.4.1 and 7.10; blocks: Cook and Weisberg 1982, "Residuals and Influence", 3.6).
- Distillation: multinomial logistic regression onto the full model's probabilities (Hinton, Vinyals, Dean 2015,
  "Distilling the Knowledge in a Neural Network").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp
from scipy.stats import binomtest

from edgehybrid.errors import DataError
from edgehybrid.exporters.depth.scores import (
    ChosenScore,
    Interval,
    Score,
    aurc,
    choose_score,
    class_scores,
    folds,
    rank,
)
from edgehybrid.exporters.depth.spec import HeadSpec

Floats = NDArray[np.float64]
Kind = Literal["logits", "probabilities", "value"]
Method = Literal["ridge", "logistic"]

_PENALTIES = np.logspace(-5, 2, 15)
_LOGISTIC_PENALTY = 1e-3
_LOGISTIC_FEATURES = 256  # more take seconds, and ridge does as well there
_LOGISTIC_CELLS = 1 << 19
_LOGISTIC_STEPS = 100
_LEARNT_FEATURES = 1024  # beyond, it never ranked as well as the margin, and takes a second
_FOLDS = 5
_SMALLEST = 1e-6
_DRAWS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Affine:
    """``features @ weight + bias``, standardization folded in: shapes ``(k, outputs)`` and ``(outputs,)``.

    Attributes:
        weight: Shape ``(k, outputs)``.
        bias: Shape ``(outputs,)``.
        held_out: What fits without the row's own group say of each row: shape ``(n, outputs)``.
    """

    weight: Floats
    bias: Floats
    held_out: Floats

    def __call__(self, features: Floats) -> Floats:
        """Apply it to ``(n, k)``."""
        return np.asarray(features @ self.weight + self.bias)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A head and what it is worth, all judged on inputs that it had not seen.

    Attributes:
        pooling: The features it reads.
        kind: What the full model gives.
        method: ``ridge`` or ``logistic``.
        weight: Onto logits (also where the model gives probabilities: a softmax follows) or values: ``(k, outputs)``.
        bias: Shape ``(outputs,)``.
        score: Its confidence.
        agreement: Share of the inputs that it answers as the full model does; of values, the share of their variance
            that it explains, at least 0.
        agreement_ci95: Its 95 % interval: Wilson, or bootstrap.
        scores: All confidence scores and how they rank its failures.
        poolings: By pooling and method, over inputs and variations, the area under the risk-coverage curve of the best
            score that needs no learning; of values, the mean distance.
        confidence: Of each input, shape ``(inputs,)``.
        answers: To each input, logits or values, shape ``(inputs, outputs)``.
        all_confidence: Of each row, variations included, shape ``(n,)``.
        all_answers: To each row, shape ``(n, outputs)``.
    """

    pooling: str
    kind: Kind
    method: Method
    weight: Floats
    bias: Floats
    score: Score
    agreement: float
    agreement_ci95: Interval
    scores: ChosenScore
    poolings: Mapping[str, float]
    confidence: Floats
    answers: Floats
    all_confidence: Floats
    all_answers: Floats


def choose_head(
    features: Mapping[str, Floats],
    targets: Floats,
    kind: Kind,
    *,
    groups: NDArray[np.int64] | None = None,
    seed: int = 0,
) -> Fitted:
    """Fit heads on each pooling and return the one that explains most of the full model's answers; see ``fit_heads``.

    Raises:
        DataError: No features, fewer than four inputs, shapes that do not fit, or values that are not finite.
    """
    return fit_heads(features, targets, kind, groups=groups, most=1, seed=seed)[0]


def fit_heads(
    features: Mapping[str, Floats],
    targets: Floats,
    kind: Kind,
    *,
    groups: NDArray[np.int64] | None = None,
    most: int,
    seed: int = 0,
) -> tuple[Fitted, ...]:
    """Fit heads on each pooling and return those that explain most of the full model's answers, the best first.

    What they leave unexplained on groups left out tells how heads will do on a speaker that no row is of far better
    than their few failures (rank correlation with the area under the risk-coverage curve there 0.94 to 0.96, against
    0.83 of the area on the groups left out, on the keyword spotter; both 0.9 on the camera classifier).

    Args:
        features: By name of the pooling, each of shape ``(n, k)``.
        targets: The full model's answers to the same rows: ``(n, classes)``, or values ``(n, outputs)``.
        kind: What they are.
        groups: Rows of one group are variations of one input (noise, shifts), the first of them the input itself. They
            are left out together; they help to choose, but only inputs are reported. Without: each row is an input.
        most: Heads wanted, of as many poolings.
        seed: Of folds and bootstrap.

    Raises:
        DataError: No features, fewer than four inputs, shapes that do not fit, or values that are not finite.
    """
    groups = np.arange(len(targets)) if groups is None else groups
    _check(features, targets, groups, kind)
    onto = np.log(np.maximum(targets, _SMALLEST)) if kind == "probabilities" else targets
    if kind != "value":
        onto = onto - onto.mean(axis=1, keepdims=True)  # a shift of all logits means nothing, and is hard to predict
    found = {name: fit_ridge(values, onto, groups) for name, values in features.items()}
    areas = {name: _area(fit, targets, kind) for name, fit in found.items()}
    missed = {name: float(((onto - fit.held_out) ** 2).mean()) for name, fit in found.items()}
    order = sorted(missed, key=lambda name: (missed[name], features[name].shape[1]))
    return tuple(
        _judged(name, found[name], features[name], areas, targets, kind, groups, seed, logistic=name == order[0])
        for name in order[:most]
    )


def _judged(
    pooling: str,
    fit: Affine,
    features: Floats,
    areas: Mapping[str, float],
    targets: Floats,
    kind: Kind,
    groups: NDArray[np.int64],
    seed: int,
    *,
    logistic: bool,
) -> Fitted:
    """Try a logistic head beside the ridge if asked to (it takes seconds), and choose the score."""
    judged = np.sort(np.unique(groups, return_index=True)[1])
    method: Method = "ridge"
    table = {f"{name} ridge": area for name, area in areas.items()}
    if logistic and kind != "value" and _is_small(features):
        other = fit_logistic(features, _softmax(targets, kind), groups, seed=seed)
        table[f"{pooling} logistic"] = _area(other, targets, kind)
        if table[f"{pooling} logistic"] < areas[pooling]:
            fit, method = other, "logistic"
    choose = _judge_values if kind == "value" else _judge_classes
    scores, agreement, interval = choose(fit, features, targets, groups, judged, seed)
    return Fitted(
        pooling=pooling,
        kind=kind,
        method=method,
        weight=fit.weight,
        bias=fit.bias,
        score=scores.score,
        agreement=agreement,
        agreement_ci95=interval,
        scores=scores,
        poolings=table,
        confidence=scores.confidence,
        answers=fit.held_out[judged],
        all_confidence=scores.everywhere,
        all_answers=fit.held_out,
    )


def spec_of(head: Fitted) -> HeadSpec:
    """Return the head as the numbers of a stage; ``weight`` and ``bias`` as they are."""
    return HeadSpec(
        pooling=head.pooling,
        weight=head.weight,
        bias=head.bias,
        form=head.kind,
        score=head.score,
    )


def fit_ridge(features: Floats, targets: Floats, groups: NDArray[np.int64]) -> Affine:
    """Fit by ridge regression; the penalty that predicts groups left out best, in the mean square.

    Takes an eigendecomposition of the smaller of ``(n, n)`` and ``(k, k)``.

    Args:
        features: Shape ``(n, k)``; constant ones get no weight.
        targets: Shape ``(n, outputs)``.
        groups: Left out together, shape ``(n,)``.
    """
    mean, scale = _standard(features)
    x, centre = (features - mean) / scale, targets.mean(axis=0)
    y, wide = targets - centre, features.shape[0] <= features.shape[1]
    values, vectors = np.linalg.eigh(x @ x.T if wide else x.T @ x)
    kept = values > 1e-10 * max(float(values[-1]), 1e-30)
    values, vectors = values[kept], vectors[:, kept]
    u = vectors if wide else (x @ vectors) / np.sqrt(values)
    uy, blocks = u.T @ y, _blocks(groups)
    best, chosen, held_out = np.inf, 0.0, np.zeros_like(targets)
    for penalty in _PENALTIES * (float(values.mean()) if len(values) else 1.0):
        shrink = values / (values + penalty)
        residual = _left_out(u, shrink, y - u @ (shrink[:, None] * uy), blocks)
        error = float((residual**2).mean())
        if error < best:
            best, chosen, held_out = error, penalty, targets - residual
    if wide:
        weight = x.T @ (u @ (uy / (values + chosen)[:, None]))
    else:
        weight = vectors @ (uy * (np.sqrt(values) / (values + chosen))[:, None])
    weight = weight / scale[:, None]
    return Affine(weight=weight, bias=centre - mean @ weight, held_out=held_out)


def fit_logistic(
    features: Floats,
    probabilities: Floats,
    groups: NDArray[np.int64],
    *,
    penalty: float = _LOGISTIC_PENALTY,
    seed: int = 0,
) -> Affine:
    """Fit logits whose softmax has the least cross-entropy from ``probabilities (n, classes)``, with an L2 penalty.

    Args:
        features: Shape ``(n, k)``.
        probabilities: The full model's.
        groups: Left out together, in one of five folds.
        penalty: On the square of the weights of the standardized features.
        seed: Of the folds.
    """
    mean, scale = _standard(features)
    x = (features - mean) / scale
    start = _multinomial(x, probabilities, penalty, np.zeros((x.shape[1] + 1, probabilities.shape[1])))
    fold, held_out = folds(groups, _FOLDS, seed), np.empty_like(probabilities)
    for k in range(_FOLDS):
        at = _multinomial(x[fold != k], probabilities[fold != k], penalty, start * 0.5)
        held_out[fold == k] = x[fold == k] @ at[1:] + at[0]
    weight = start[1:] / scale[:, None]
    return Affine(weight=weight, bias=start[0] - mean @ weight, held_out=held_out)


def _multinomial(x: Floats, y: Floats, penalty: float, start: Floats) -> Floats:
    def objective(flat: Floats) -> tuple[float, Floats]:
        at = flat.reshape(start.shape)
        logits = x @ at[1:] + at[0]
        log_p = logits - logsumexp(logits, axis=1, keepdims=True)
        value = -float((y * log_p).sum()) / len(y) + 0.5 * penalty * float((at[1:] ** 2).sum())
        slope = (np.exp(log_p) - y) / len(y)
        return value, np.vstack([slope.sum(axis=0), x.T @ slope + penalty * at[1:]]).ravel()

    options = {"maxiter": _LOGISTIC_STEPS}
    found = minimize(objective, start.ravel(), jac=True, method="L-BFGS-B", options=options)
    return np.asarray(found.x.reshape(start.shape))


def _judge_classes(
    fit: Affine, features: Floats, targets: Floats, groups: NDArray[np.int64], judged: NDArray[np.int64], seed: int
) -> tuple[ChosenScore, float, Interval]:
    wrong = _loss(fit.held_out, targets, "logits")
    learn = features.shape[1] <= _LEARNT_FEATURES
    scores = choose_score(fit.held_out, wrong, features, groups, judged=judged, learn=learn, seed=seed)
    right = int((1.0 - wrong[judged]).sum())
    interval = binomtest(right, len(judged)).proportion_ci(0.95, method="wilson")
    return scores, right / len(judged), (float(interval.low), float(interval.high))


def _judge_values(
    fit: Affine, features: Floats, targets: Floats, groups: NDArray[np.int64], judged: NDArray[np.int64], seed: int
) -> tuple[ChosenScore, float, Interval]:
    apart = _loss(fit.held_out, targets, "value")
    error = fit_ridge(features, apart[:, None], groups)
    scale = float(np.median(apart[judged])) or 1.0
    score = Score(name="error", scale=scale, weight=error.weight[:, 0], bias=float(error.bias[0]))
    everywhere = np.exp(-np.maximum(error.held_out[:, 0], 0.0) / scale)
    sure = everywhere[judged]
    bounded = np.minimum(apart[judged] / max(float(apart[judged].max()), 1e-30), 1.0)
    table = {"error": rank(sure, bounded, seed=seed)}
    answers, truth = fit.held_out[judged], targets[judged]
    draw = np.random.default_rng(seed)
    picks = draw.integers(0, len(truth), (_DRAWS, len(truth)))
    low, high = np.quantile([_explained(answers[pick], truth[pick]) for pick in picks], (0.025, 0.975))
    chosen = ChosenScore(score=score, confidence=sure, everywhere=everywhere, table=table)
    return chosen, _explained(answers, truth), (float(low), float(high))


def _explained(answers: Floats, truth: Floats) -> float:
    spread = float(((truth - truth.mean(axis=0)) ** 2).sum())
    return max(1.0 - float(((answers - truth) ** 2).sum()) / spread, 0.0) if spread > 0 else 0.0


def _area(fit: Affine, targets: Floats, kind: Kind) -> float:
    """How well the failures are ranked; of values, the mean distance, since a score is yet to be fitted.

    Over the variations too: they fail more often, so that heads differ by more than chance.
    """
    loss = _loss(fit.held_out, targets, kind)
    if kind == "value":
        return float(loss.mean())
    return min(aurc(score(fit.held_out), loss) for score in class_scores(fit.held_out))


def _loss(answers: Floats, targets: Floats, kind: Kind) -> Floats:
    if kind == "value":
        return np.asarray(np.abs(answers - targets).mean(axis=1))
    return np.asarray(answers.argmax(axis=1) != targets.argmax(axis=1), dtype=np.float64)


def _softmax(targets: Floats, kind: Kind) -> Floats:
    if kind == "probabilities":
        return targets
    return np.asarray(np.exp(targets - logsumexp(targets, axis=1, keepdims=True)))


def _standard(features: Floats) -> tuple[Floats, Floats]:
    mean, scale = features.mean(axis=0), features.std(axis=0)
    return mean, np.where(scale > 1e-6 * max(float(scale.max(initial=0.0)), 1e-30), scale, np.inf)


def _blocks(groups: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Rows of all groups of one size together: each ``(groups, size)``."""
    order = np.argsort(groups, kind="stable")
    _, starts, sizes = np.unique(groups[order], return_index=True, return_counts=True)
    return [order[starts[sizes == size, None] + np.arange(size)] for size in np.unique(sizes)]


def _left_out(u: Floats, shrink: Floats, residual: Floats, blocks: list[NDArray[np.int64]]) -> Floats:
    """Residuals of fits without the row's group; the 1 / n is the mean's share of the hat matrix."""
    found = np.empty_like(residual)
    for rows in blocks:
        part = u[rows]
        hat = (part * shrink) @ part.transpose(0, 2, 1) + 1.0 / len(u)
        alone = np.eye(rows.shape[1]) * (1.0 + 1e-9) - hat
        found[rows] = np.linalg.solve(alone, residual[rows])
    return found


def _is_small(features: Floats) -> bool:
    return features.shape[1] <= _LOGISTIC_FEATURES and features.size <= _LOGISTIC_CELLS


def _check(features: Mapping[str, Floats], targets: Floats, groups: NDArray[np.int64], kind: Kind) -> None:
    n = len(targets)
    if not features or targets.ndim != 2 or (kind != "value" and targets.shape[1] < 2):
        what = f"{len(features)} poolings and targets of shape {targets.shape} for {kind}."
        raise DataError(what, "Give at least one pooling, and targets (n, classes) or (n, values).")
    for name, values in features.items():
        if values.ndim != 2 or len(values) != n:
            raise DataError(f"Features {name!r} have shape {values.shape} for {n} rows.", "Give (n, k).")
        if not np.isfinite(values).all():
            raise DataError(f"Features {name!r} hold NaN or infinity.", "Leave this pooling out.")
    if len(groups) != n or len(np.unique(groups)) < 4 or not np.isfinite(targets).all():
        raise DataError(f"{n} rows are no basis for a head.", "Give at least four inputs, with finite answers.")
