"""Heads: an affine map from pooled features onto the full model's own answers, fitted in closed form, no labels.

Ridge regression with the strength of the penalty by leave-one-out in closed form (the hat matrix; Hastie, Tibshirani,
Friedman, "The Elements of Statistical Learning", 7.10 and 3.4.1), and out-of-fold answers for all that is judged, since
a head is too sure of the rows that it was fitted on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from scipy.special import expit, logsumexp

from edgehybrid.exporters.depth.pooling import Nodes, append_features
from edgehybrid.exporters.model import Graph

Floats = NDArray[np.float64]

SCORES = ("margin", "entropy", "energy")
"""Confidence scores of classes that are compared by how well they rank failures."""

FOLDS = 5
_PENALTIES = np.logspace(-4, 4, 17)


@dataclass(frozen=True, slots=True, kw_only=True)
class Affine:
    """``features @ weight + bias``: float64, shapes ``(k, outputs)`` and ``(outputs,)``."""

    weight: Floats
    bias: Floats

    def __call__(self, features: Floats) -> Floats:
        """Apply it to ``(n, k)``."""
        return np.asarray(features @ self.weight + self.bias)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A fitted head.

    Attributes:
        pooling: See ``POOLINGS``.
        affine: Onto logits, or the value.
        form: What the model gives: ``logits``, ``probabilities`` or ``value``.
        score: Its confidence score.
        score_params: Of the score: location and scale of ``energy``; scale of ``error``.
        predicts_error: For ``error``: from the features to the distance; ``None`` for classes.
        agreement: Share of the rows on which it answers as the model does, out of fold; of values, the share of the
            variance that it explains.
        aurc: Area under the risk-coverage curve by score, out of fold; lower ranks failures better.
        confidence: Of each row, out of fold.
        answers: For each row, out of fold, in the model's form: ``(n, outputs)``.
    """

    pooling: str
    affine: Affine
    form: str
    score: str
    score_params: tuple[float, float]
    predicts_error: Affine | None
    agreement: float
    aurc: dict[str, float]
    confidence: Floats
    answers: Floats


def fit_ridge(features: Floats, targets: Floats) -> Affine:
    """Fit ``targets (n, m)`` by ``features (n, k)``, standardized; the penalty with the least leave-one-out error."""
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 1e-6 * max(float(scale.max(initial=0.0)), 1e-30), scale, np.inf)
    centre = targets.mean(axis=0)
    x, y = (features - mean) / scale, targets - centre
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    uy = u.T @ y
    best, weight = np.inf, np.zeros((x.shape[1], y.shape[1]))
    for penalty in _PENALTIES * len(x):
        shrink = s**2 / (s**2 + penalty)
        hat = np.clip((u**2) @ shrink + 1.0 / len(x), 0.0, 1.0 - 1e-9)
        error = float((((y - u @ (shrink[:, None] * uy)) / (1.0 - hat)[:, None]) ** 2).mean())
        if error < best:
            best, weight = error, vt.T @ ((s / (s**2 + penalty))[:, None] * uy)
    weight = weight / scale[:, None]
    return Affine(weight=weight, bias=centre - mean @ weight)


def fit_head(features: Floats, answers: Floats, *, pooling: str, form: str, seed: int = 0) -> Head:
    """Fit a head onto ``answers (n, m)`` of the full model, and see out of fold how good it is."""
    targets = np.log(np.maximum(answers, 1e-6)) if form == "probabilities" else answers
    fold = np.random.default_rng(seed).permutation(len(features)) % FOLDS
    out = np.empty_like(targets)
    for k in range(FOLDS):
        out[fold == k] = fit_ridge(features[fold != k], targets[fold != k])(features[fold == k])
    affine = fit_ridge(features, targets)
    if form == "value":
        return _value_head(features, answers, out, affine, fold, pooling)
    wrong = (out.argmax(axis=1) != answers.argmax(axis=1)).astype(np.float64)
    energy = logsumexp(out, axis=1)
    params = (float(np.median(energy)), float(energy.std()) or 1.0)
    scores = {name: confidence(out, name, params) for name in SCORES}
    aurc = {name: risk_coverage_area(score, wrong) for name, score in scores.items()}
    best = min(SCORES, key=aurc.__getitem__)
    given = np.exp(out - logsumexp(out, axis=1, keepdims=True)) if form == "probabilities" else out
    return Head(
        pooling=pooling,
        affine=affine,
        form=form,
        score=best,
        score_params=params,
        predicts_error=None,
        agreement=float(1.0 - wrong.mean()),
        aurc=aurc,
        confidence=scores[best],
        answers=given,
    )


def _value_head(
    features: Floats, answers: Floats, out: Floats, affine: Affine, fold: NDArray[np.int64], pooling: str
) -> Head:
    apart = np.abs(out - answers).mean(axis=1, keepdims=True)
    predicted = np.empty_like(apart)
    for k in range(FOLDS):
        predicted[fold == k] = fit_ridge(features[fold != k], apart[fold != k])(features[fold == k])
    scale = float(np.median(apart)) or 1.0
    sure = np.exp(-np.maximum(predicted[:, 0], 0.0) / scale)
    spread = float(((answers - answers.mean(axis=0)) ** 2).sum()) or 1.0
    return Head(
        pooling=pooling,
        affine=affine,
        form="value",
        score="error",
        score_params=(0.0, scale),
        predicts_error=fit_ridge(features, apart),
        agreement=max(1.0 - float(((out - answers) ** 2).sum()) / spread, 0.0),
        aurc={"error": risk_coverage_area(sure, apart[:, 0])},
        confidence=sure,
        answers=out,
    )


def confidence(logits: Floats, score: str, params: tuple[float, float]) -> Floats:
    """Confidence of each row of ``logits (n, classes)``, 0 to 1."""
    log_p = logits - logsumexp(logits, axis=1, keepdims=True)
    p = np.exp(log_p)
    if score == "margin":
        top = np.sort(p, axis=1)
        return np.asarray(top[:, -1] - top[:, -2])
    if score == "entropy":
        return np.asarray(1.0 + (p * log_p).sum(axis=1) / np.log(p.shape[1]))
    return np.asarray(expit((logsumexp(logits, axis=1) - params[0]) / params[1]))


def risk_coverage_area(sure: Floats, loss: Floats) -> float:
    """Mean over all coverages of the mean loss of the surest rows (Geifman and El-Yaniv 2017); lower is better."""
    ordered = loss[np.argsort(-sure, kind="stable")]
    return float((np.cumsum(ordered) / np.arange(1, len(ordered) + 1)).mean())


def attach_head(stage: Graph, head: Head, number: int, output: str) -> Graph:
    """Append ``head`` to a stage: outputs ``exit<number>_<output>`` and ``exit<number>_confidence``."""
    proto = onnx.ModelProto()
    proto.CopyFrom(stage.proto)
    nodes = Nodes.of(proto, f"exit{number}")
    features = append_features(nodes, stage, number, head.pooling)
    weight = nodes.weight(head.affine.weight.astype(np.float32))
    bias = nodes.weight(head.affine.bias.astype(np.float32))
    name = f"exit{number}_{output}"
    if head.form == "probabilities":
        logits = nodes.add("Gemm", [features, weight, bias])
        nodes.add("Softmax", [logits], name, axis=-1)
    else:
        logits = nodes.add("Gemm", [features, weight, bias], name)
    if head.predicts_error is None:
        sure = f"exit{number}_confidence"
        append_confidence(nodes, logits, len(head.affine.bias), head.score, head.score_params, sure)
    else:
        _append_error(nodes, features, head, f"exit{number}_confidence")
    batch = _batch(stage)
    proto.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, len(head.affine.bias)]))
    proto.graph.output.append(helper.make_tensor_value_info(f"exit{number}_confidence", TensorProto.FLOAT, [batch]))
    return Graph(proto=proto)


def append_confidence(
    nodes: Nodes, logits: str, classes: int, score: str, params: tuple[float, float], name: str
) -> None:
    """Append the nodes of ``score`` on ``logits``; see ``confidence``."""
    if score == "energy":
        total = _row_sum(nodes, "ReduceLogSumExp", logits)
        moved = nodes.add("Sub", [total, nodes.weight(np.float32(params[0]))])
        nodes.add("Sigmoid", [nodes.add("Mul", [moved, nodes.weight(np.float32(1.0 / params[1]))])], name)
        return
    p = nodes.add("Softmax", [logits], axis=-1)
    if score == "margin":
        two = nodes.weight(np.array([2], dtype=np.int64))
        top = f"{nodes.prefix}_top"
        nodes.graph.node.append(
            helper.make_node("TopK", [p, two], [top, f"{top}_at"], name=f"{nodes.prefix}_TopK", axis=-1)
        )
        nodes.add("MatMul", [top, nodes.weight(np.array([1.0, -1.0], dtype=np.float32))], name)
        return
    log_p = nodes.add("LogSoftmax", [logits], axis=-1)
    total = _row_sum(nodes, "ReduceSum", nodes.add("Mul", [p, log_p]))
    share = nodes.add("Mul", [total, nodes.weight(np.float32(1.0 / np.log(classes)))])
    nodes.add("Add", [share, nodes.weight(np.float32(1.0))], name)


def _row_sum(nodes: Nodes, op: str, value: str) -> str:
    """Reduce axis 1; the axes became an input in opset 13 for the sum, in 18 for the rest."""
    if nodes.opset >= (13 if op == "ReduceSum" else 18):
        return nodes.add(op, [value, nodes.weight(np.array([1], dtype=np.int64))], keepdims=0)
    return nodes.add(op, [value], axes=[1], keepdims=0)


def _append_error(nodes: Nodes, features: str, head: Head, name: str) -> None:
    predicts = head.predicts_error
    if predicts is None:
        return
    weight = nodes.weight((-predicts.weight[:, 0] / head.score_params[1]).astype(np.float32))
    product = nodes.add("MatMul", [features, weight])
    bias = nodes.weight(np.float32(-predicts.bias[0] / head.score_params[1]))
    moved = nodes.add("Min", [nodes.add("Add", [product, bias]), nodes.weight(np.float32(0.0))])
    nodes.add("Exp", [moved], name)


def with_features(stage: Graph, number: int, kinds: tuple[str, ...]) -> Graph:
    """A stage that gives only the features of each pooling, ``features_<i>``: to fit heads on."""
    proto = onnx.ModelProto()
    proto.CopyFrom(stage.proto)
    nodes = Nodes.of(proto, "pool")
    names = [append_features(nodes, stage, number, kind) for kind in kinds]
    for i, name in enumerate(names):
        nodes.add("Identity", [name], f"features_{i}")
    proto.graph.output.extend(
        helper.make_tensor_value_info(f"features_{i}", TensorProto.FLOAT, None) for i in range(len(names))
    )
    return Graph(proto=proto)


def _batch(stage: Graph) -> str | int:
    """First axis of what crosses."""
    dim = next(v for v in stage.proto.graph.output if v.name.startswith("cut")).type.tensor_type.shape.dim[0]
    return str(dim.dim_param) if dim.dim_param else int(dim.dim_value)
