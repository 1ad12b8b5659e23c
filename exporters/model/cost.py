"""Parameters and multiply-accumulates of a component."""

from __future__ import annotations

import math
from collections.abc import Mapping

import onnx

from edgehybrid.exporters.model.families import Component
from edgehybrid.exporters.model.graph import Graph

Shapes = Mapping[str, tuple[int, ...]]
_GATES = {"GRU": 3, "LSTM": 4, "RNN": 1}


def count_params(graph: Graph, component: Component) -> int:
    """Numbers in the weights that the component reads; a tensor read twice counts once."""
    sizes = {tensor.name: math.prod(tensor.dims) for tensor in graph.proto.graph.initializer}
    inside = set(component.nodes)
    read: set[str] = set()
    total = 0
    for node in graph.proto.graph.node:
        if node.name in inside:
            read.update(name for name in node.input if name in sizes)
            total += sum(_attribute_size(attribute) for attribute in node.attribute)
    return int(total + sum(sizes[name] for name in read))


def _attribute_size(attribute: onnx.AttributeProto) -> int:
    return max(len(attribute.floats), math.prod(attribute.t.dims) if attribute.HasField("t") else 0)


def count_macs(graph: Graph, component: Component, shapes: Shapes) -> int:
    """Multiply-accumulates of one run with ``shapes``; trees compare and count none."""
    inside = set(component.nodes)
    return sum(node_macs(node, shapes) for node in graph.proto.graph.node if node.name in inside)


def node_macs(node: onnx.NodeProto, shapes: Shapes) -> int:
    """Multiply-accumulates of one node; zero for what multiplies no matrix, or whose shapes are unknown."""
    out = shapes.get(node.output[0]) if node.output else None
    ins = [shapes.get(name) for name in node.input]
    if out is None or len(ins) < 2 or ins[0] is None or ins[1] is None:
        return 0
    first, second = ins[0], ins[1]
    match node.op_type:
        case "Conv" | "FusedConv":
            return math.prod(out) * math.prod(second[1:])
        case "ConvTranspose":
            return math.prod(first) * math.prod(second[1:])
        case "MatMul" | "FusedMatMul":
            return math.prod(out) * first[-1]
        case "Gemm":
            transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
            return math.prod(out) * first[0 if transposed else -1]
        case "GRU" | "LSTM" | "RNN":
            directions, _, features = second
            hidden = next((attribute.i for attribute in node.attribute if attribute.name == "hidden_size"), 0)
            return first[0] * first[1] * directions * _GATES[node.op_type] * hidden * (features + hidden)
        case "Attention":
            batch, length, features = first
            return batch * length * features * second[-1] + 2 * batch * length * length * out[-1]
        case "MultiHeadAttention":
            return 2 * math.prod(out) * second[1]
        case _:
            return 0
