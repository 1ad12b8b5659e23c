"""How sure an answer is, from the answer alone: for cascades, and for exits that the model was trained with."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgehybrid.errors import RequestError
from edgehybrid.exporters.depth.heading import append_confidence
from edgehybrid.exporters.depth.parts import Tensor
from edgehybrid.exporters.depth.pooling import Nodes
from edgehybrid.exporters.model import Graph

_LEAST = 1e-6  # probability; its logarithm is taken


def attach_confidence(
    graph: Graph, output: str, *, name: str, form: str, score: str, params: tuple[float, float] = (0.0, 1.0)
) -> Graph:
    """Append the confidence of an output that gives one number for each class.

    Args:
        graph: A stage, or a whole model.
        output: Float32 ``(batch, classes)``.
        name: Of the new output, float32 ``(batch,)``.
        form: ``logits`` or ``probabilities``.
        score: ``margin``, ``entropy`` or ``energy``; see ``heading.confidence``.
        params: Location and scale of ``energy``; a model that gives probabilities has none of its own.

    Raises:
        RequestError: If that is no such output, or its energy is asked for and it gives probabilities.
    """
    tensor = next((Tensor.of(value) for value in graph.proto.graph.output if value.name == output), None)
    if tensor is None or tensor.shape is None or len(tensor.shape) != 2 or not isinstance(tensor.shape[1], int):
        raise RequestError(f"{output!r} does not give one number for each class.", "Give such an output.")
    if score == "energy" and form == "probabilities":
        raise RequestError("Probabilities have no energy: it is always zero.", "Use margin or entropy.")
    proto = onnx.ModelProto()
    proto.CopyFrom(graph.proto)
    nodes = Nodes.of(proto, name)
    logits = output
    if form == "probabilities":
        logits = nodes.add("Log", [nodes.add("Max", [output, nodes.weight(np.float32(_LEAST))])])
    append_confidence(nodes, logits, tensor.shape[1], score, params, name)
    proto.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [tensor.shape[0]]))
    return Graph(proto=proto)
