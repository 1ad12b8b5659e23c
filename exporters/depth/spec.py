"""A head as numbers: the same formulas in numpy and as the nodes of a stage, for every confidence score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from scipy.special import logsumexp

from edgehybrid.errors import RequestError
from edgehybrid.exporters.depth.attach import append_confidence
from edgehybrid.exporters.depth.parts import Tensor
from edgehybrid.exporters.depth.pooling import Nodes, append_features
from edgehybrid.exporters.depth.scores import Score
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
        score: Of its logits, or of its features.
    """

    pooling: str
    weight: Floats
    bias: Floats
    form: Form
    score: Score

    def __post_init__(self) -> None:
        """Refuse what does not fit together.

        Raises:
            RequestError: A score that lacks its weights, or classes where there are none.
        """
        name = self.score.name
        if (name not in _OF_CLASSES) != (self.score.weight is not None):
            raise RequestError(f"The score {name!r} and its weights do not fit.", "Only learnt and error have any.")
        if name in _OF_CLASSES and (self.form == "value" or len(self.bias) < 2):
            raise RequestError(f"The score {name!r} needs two classes.", "Use learnt or error.")


def apply_head(spec: HeadSpec, features: Floats) -> tuple[Floats, Floats]:
    """Answer as the stage does: answers ``(n, outputs)`` in the model's form, confidence ``(n,)``, 0 to 1.

    Args:
        spec: The head.
        features: Pooled, ``(n, k)``.
    """
    out = np.asarray(features @ spec.weight + spec.bias)
    answers = np.exp(out - logsumexp(out, axis=1, keepdims=True)) if spec.form == "probabilities" else out
    return answers, spec.score(out, features)


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
    if spec.score.name in _OF_CLASSES:
        append_confidence(nodes, logits, len(spec.bias), spec.score, sure)
    else:
        _append_seen(nodes, features, spec.score, sure)
    crossing = next(value for value in stage.proto.graph.output if value.name.startswith(f"cut{number}_"))
    batch = (Tensor.of(crossing).shape or (None,))[0]
    proto.graph.output.append(helper.make_tensor_value_info(answer, TensorProto.FLOAT, [batch, len(spec.bias)]))
    proto.graph.output.append(helper.make_tensor_value_info(sure, TensorProto.FLOAT, [batch]))
    return Graph(proto=proto)


def head_alone(stage: Graph, spec: HeadSpec, number: int, output: str) -> Graph:
    """Make ``spec`` a stage of its own behind ``stage``: it takes the floats ``cut<number>_*``, and gives its answer.

    Args:
        stage: What gives the features, in floats.
        spec: The head.
        number: Of the cut.
        output: Of the model.
    """
    crossing = crossing_alone(stage, number)
    headed = attach_spec(crossing, spec, number, output).proto
    del headed.graph.output[: len(crossing.proto.graph.output)]
    return Graph(proto=headed)


def crossing_alone(stage: Graph, number: int) -> Graph:
    """A stage that computes nothing: it takes the floats ``cut<number>_*`` that ``stage`` gives, and gives them."""
    proto = onnx.ModelProto(ir_version=stage.proto.ir_version)
    proto.opset_import.extend(stage.proto.opset_import)
    proto.graph.name = f"head-{number}"
    crossing = [value for value in stage.proto.graph.output if value.name.startswith(f"cut{number}_")]
    proto.graph.input.extend(crossing)
    proto.graph.output.extend(crossing)
    return Graph(proto=proto)


def _append_seen(nodes: Nodes, features: str, score: Score, name: str) -> None:
    """Scores that look at the features; the scale and the sign of ``error`` are folded into its weights."""
    factor = 1.0 if score.name == "learnt" else -1.0 / score.scale
    product = nodes.add("MatMul", [features, nodes.weight((factor * np.asarray(score.weight)).astype(np.float32))])
    moved = nodes.add("Add", [product, nodes.weight(np.float32(factor * score.bias))])
    if score.name == "learnt":
        nodes.add("Sigmoid", [moved], name)
    else:
        nodes.add("Exp", [nodes.add("Min", [moved, nodes.weight(np.float32(0.0))])], name)
