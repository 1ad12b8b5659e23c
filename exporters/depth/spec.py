"""A head as numbers: the same formulas in numpy and as the nodes of a stage, for every confidence score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from scipy.special import expit, logsumexp

from edgehybrid.bundle import Score
from edgehybrid.errors import RequestError
from edgehybrid.exporters.depth.heading import append_confidence
from edgehybrid.exporters.depth.heading import confidence as class_confidence
from edgehybrid.exporters.depth.parts import Tensor
from edgehybrid.exporters.depth.pooling import Nodes, append_features
from edgehybrid.exporters.model import Graph

Floats = NDArray[np.float64]
Form = Literal["logits", "probabilities", "value"]

_OF_CLASSES = ("margin", "entropy", "energy")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadSpec:
    """Features to answers to confidence; standardization is folded into the weights.

    Attributes:
        pooling: See ``poolings``.
        weight: Onto logits (also where the model gives probabilities) or values: ``(k, outputs)``.
        bias: Shape ``(outputs,)``.
        form: What the model gives.
        score: ``margin`` and ``entropy`` of ``softmax(logits / scale)``; ``energy``:
            ``sigmoid((logsumexp(logits) - location) / scale)``; ``learnt``: ``sigmoid(features @ score_weight +
            score_bias)``; ``error``: ``exp(-max(features @ score_weight + score_bias, 0) / scale)``.
        location: Of ``energy``.
        scale: Above 0; of all but ``learnt``.
        score_weight: Of ``learnt`` and ``error``: ``(k,)``.
        score_bias: Of the same.
    """

    pooling: str
    weight: Floats
    bias: Floats
    form: Form
    score: Score
    location: float = 0.0
    scale: float = 1.0
    score_weight: Floats | None = None
    score_bias: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what does not fit together.

        Raises:
            RequestError: A score that lacks its weights, or classes where there are none.
        """
        if (self.score not in _OF_CLASSES) != (self.score_weight is not None):
            raise RequestError(
                f"The score {self.score!r} and its weights do not fit.", "Only learnt and error have any."
            )
        if self.score in _OF_CLASSES and (self.form == "value" or len(self.bias) < 2):
            raise RequestError(f"The score {self.score!r} needs two classes.", "Use learnt or error.")


def apply_head(spec: HeadSpec, features: Floats) -> tuple[Floats, Floats]:
    """Answer as the stage does: answers ``(n, outputs)`` in the model's form, confidence ``(n,)``, 0 to 1.

    Args:
        spec: The head.
        features: Pooled, ``(n, k)``.
    """
    out = np.asarray(features @ spec.weight + spec.bias)
    answers = np.exp(out - logsumexp(out, axis=1, keepdims=True)) if spec.form == "probabilities" else out
    if spec.score == "energy":
        return answers, class_confidence(out, "energy", (spec.location, spec.scale))
    if spec.score in _OF_CLASSES:
        return answers, class_confidence(out / spec.scale, spec.score, (0.0, 1.0))
    seen = features @ np.asarray(spec.score_weight) + spec.score_bias
    return answers, np.asarray(expit(seen) if spec.score == "learnt" else np.exp(-np.maximum(seen, 0.0) / spec.scale))


def attach_spec(stage: Graph, spec: HeadSpec, number: int, output: str) -> Graph:
    """Append ``spec`` to a stage that gives ``cut<number>_*``.

    It then gives ``exit<number>_<output>`` ``(batch, outputs)`` and ``exit<number>_confidence`` ``(batch,)``, float32.
    """
    proto = onnx.ModelProto()
    proto.CopyFrom(stage.proto)
    nodes = Nodes.of(proto, f"exit{number}")
    answer, sure = f"exit{number}_{output}", f"exit{number}_confidence"
    features = append_features(nodes, stage, number, spec.pooling)
    affine = [nodes.weight(spec.weight.astype(np.float32)), nodes.weight(spec.bias.astype(np.float32))]
    logits = nodes.add("Gemm", [features, *affine], None if spec.form == "probabilities" else answer)
    if spec.form == "probabilities":
        nodes.add("Softmax", [logits], answer, axis=-1)
    if spec.score in _OF_CLASSES:
        if spec.score != "energy" and spec.scale != 1.0:
            logits = nodes.add("Mul", [logits, nodes.weight(np.float32(1.0 / spec.scale))])
        append_confidence(nodes, logits, len(spec.bias), spec.score, (spec.location, spec.scale), sure)
    else:
        _append_seen(nodes, features, spec, sure)
    crossing = next(value for value in stage.proto.graph.output if value.name.startswith(f"cut{number}_"))
    batch = (Tensor.of(crossing).shape or (None,))[0]
    proto.graph.output.append(helper.make_tensor_value_info(answer, TensorProto.FLOAT, [batch, len(spec.bias)]))
    proto.graph.output.append(helper.make_tensor_value_info(sure, TensorProto.FLOAT, [batch]))
    return Graph(proto=proto)


def _append_seen(nodes: Nodes, features: str, spec: HeadSpec, name: str) -> None:
    """Scores that look at the features; the scale and the sign of ``error`` are folded into its weights."""
    weight = np.asarray(spec.score_weight)
    factor = 1.0 if spec.score == "learnt" else -1.0 / spec.scale
    product = nodes.add("MatMul", [features, nodes.weight((factor * weight).astype(np.float32))])
    moved = nodes.add("Add", [product, nodes.weight(np.float32(factor * spec.score_bias))])
    if spec.score == "learnt":
        nodes.add("Sigmoid", [moved], name)
    else:
        nodes.add("Exp", [nodes.add("Min", [moved, nodes.weight(np.float32(0.0))])], name)
