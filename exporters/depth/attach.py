"""How sure an answer is, from the answer alone: for heads, cascades, and exits that a model was trained with."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgehybrid.errors import RequestError
from edgehybrid.exporters.depth.parts import Tensor
from edgehybrid.exporters.depth.pooling import Nodes
from edgehybrid.exporters.depth.scores import Score
from edgehybrid.exporters.model import Graph

LEAST_PROBABILITY = 1e-6
"""A smaller one counts as this much before its logarithm is taken."""


def attach_confidence(graph: Graph, output: str, *, name: str, form: str, score: Score) -> Graph:
    """Append the confidence of an output that gives one number for each class.

    Args:
        graph: A stage, or a whole model.
        output: Float32 ``(batch, classes)``.
        name: Of the new output, float32 ``(batch,)``.
        form: ``logits`` or ``probabilities``; of these the logarithms are the logits.
        score: ``margin``, ``entropy`` or ``energy``.

    Raises:
        RequestError: If that is no such output, the score reads features, or the energy of probabilities is asked for.
    """
    tensor = next((Tensor.of(value) for value in graph.proto.graph.output if value.name == output), None)
    if tensor is None or tensor.shape is None or len(tensor.shape) != 2 or not isinstance(tensor.shape[1], int):
        raise RequestError(f"{output!r} does not give one number for each class.", "Give such an output.")
    if score.weight is not None:
        raise RequestError(f"The score {score.name!r} reads features, not answers.", "Use margin, entropy or energy.")
    if score.name == "energy" and form == "probabilities":
        raise RequestError("Probabilities have no energy: it is always zero.", "Use margin or entropy.")
    proto = onnx.ModelProto()
    proto.CopyFrom(graph.proto)
    nodes = Nodes.of(proto, name)
    logits = output
    if form == "probabilities":
        logits = nodes.add("Log", [nodes.add("Max", [output, nodes.weight(np.float32(LEAST_PROBABILITY))])])
    append_confidence(nodes, logits, tensor.shape[1], score, name)
    proto.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [tensor.shape[0]]))
    return Graph(proto=proto)


def append_confidence(nodes: Nodes, logits: str, classes: int, score: Score, name: str) -> None:
    """Append the nodes of a ``score`` that reads no features; see ``Score``."""
    if score.name == "energy":
        total = _row_sum(nodes, "ReduceLogSumExp", logits)
        moved = nodes.add("Sub", [total, nodes.weight(np.float32(score.location))])
        nodes.add("Sigmoid", [nodes.add("Mul", [moved, nodes.weight(np.float32(1.0 / score.scale))])], name)
        return
    if score.scale != 1.0:
        logits = nodes.add("Mul", [logits, nodes.weight(np.float32(1.0 / score.scale))])
    p = nodes.add("Softmax", [logits], axis=-1)
    if score.name == "margin":
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
