"""What a component costs: parameters, multiply-accumulates, bytes moved."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import onnx

from edgehybrid.exporters.model.bodies import bodies, inner_nodes
from edgehybrid.exporters.model.families import Component
from edgehybrid.exporters.model.graph import Graph
from edgehybrid.exporters.model.sizes import Sizes

_GATES = {"GRU": 3, "LSTM": 4, "RNN": 1, "DynamicQuantizeLSTM": 4}
_NO_PARAMETERS = frozenset({onnx.TensorProto.INT64, onnx.TensorProto.BOOL, onnx.TensorProto.STRING})
_PRODUCTS = frozenset(
    {"MatMul", "FusedMatMul", "MatMulInteger", "QLinearMatMul", "DynamicQuantizeMatMul", "MatMulNBits"}
)
_CONVOLUTIONS = frozenset({"Conv", "FusedConv", "NhwcFusedConv", "ConvInteger", "QLinearConv"})
_VIEWS = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Constant", "Shape", "Size", "Dropout"})
_TREE_WEIGHTS = ("target_weights", "class_weights", "leaf_weights")
_LEAF_MODE = "LEAF"


def count_params(graph: Graph, component: Component) -> int:
    """Numbers in the weights that the component reads; a tensor read twice counts once.

    Graphs inside of nodes count too. Of trees, thresholds of branches and weights of leaves count. Integers of 64 bits
    and truth values are no parameters: they are shapes and indices.
    """
    sizes = {t.name: math.prod(t.dims) for t in graph.proto.graph.initializer if t.data_type not in _NO_PARAMETERS}
    inside = set(component.nodes)
    read: set[str] = set()
    total = 0
    for node in graph.proto.graph.node:
        if node.name in inside:
            for part in (node, *inner_nodes(node)):
                read.update(name for name in part.input if name in sizes)
                total += _attribute_numbers(part) + sum(_body_weights(body) for body in bodies(part))
    return int(total + sum(sizes[name] for name in read))


def _body_weights(body: onnx.GraphProto) -> int:
    return sum(math.prod(tensor.dims) for tensor in body.initializer if tensor.data_type not in _NO_PARAMETERS)


def _attribute_numbers(node: onnx.NodeProto) -> int:
    attributes = {attribute.name: attribute for attribute in node.attribute}
    if node.op_type.startswith("TreeEnsemble"):
        return _tree_numbers(attributes)
    return sum(
        math.prod(a.t.dims) if a.HasField("t") and a.t.data_type not in _NO_PARAMETERS else len(a.floats)
        for a in attributes.values()
        if a.name != "scales"  # of Resize and Upsample
    )


def _tree_numbers(attributes: Mapping[str, onnx.AttributeProto]) -> int:
    """Thresholds and leaf weights, of the old operators and of opset 5's ``TreeEnsemble``, which keeps leaves apart."""
    leaves = sum(
        _length(attribute) for name, attribute in attributes.items() if name.removesuffix("_as_tensor") in _TREE_WEIGHTS
    )
    if "nodes_splits" in attributes:
        return leaves + _length(attributes["nodes_splits"])
    modes = [mode.decode() for mode in attributes["nodes_modes"].strings] if "nodes_modes" in attributes else []
    return leaves + sum(1 for mode in modes if mode != _LEAF_MODE)


def _length(attribute: onnx.AttributeProto) -> int:
    return int(math.prod(attribute.t.dims)) if attribute.HasField("t") else len(attribute.floats)


def count_macs(component: Component, sizes: Sizes) -> int:
    """Multiply-accumulates of one run; trees compare and count none."""
    return sum(node_macs(sizes.nodes[name], sizes) for name in component.nodes)


def count_bytes(component: Component, sizes: Sizes) -> int:
    """Bytes that its nodes read and write in one run, as the graph is written: fusions save a part of them.

    Nodes that only look at data in another shape move none.
    """
    return sum(node_bytes(sizes.nodes[name], sizes) for name in component.nodes)


def node_bytes(node: onnx.NodeProto, sizes: Sizes) -> int:
    """Bytes that one node reads and writes; a value read twice counts once."""
    if bodies(node):
        return _over_bodies(node, sizes, node_bytes)
    if node.op_type in _VIEWS:
        return 0
    return sum(sizes.nbytes.get(name, 0) for name in {*node.input, *node.output})


def node_macs(node: onnx.NodeProto, sizes: Sizes) -> int:
    """Multiply-accumulates of one node; zero for what multiplies no matrix, or whose shapes are unknown."""
    if bodies(node):
        return _over_bodies(node, sizes, node_macs)
    out = sizes.shapes.get(node.output[0]) if node.output else None
    ins = [sizes.shapes.get(name) for name in node.input]
    if out is None or len(ins) < 2 or ins[0] is None or ins[1] is None:
        return 0
    if node.op_type in _PRODUCTS:
        return math.prod(out) * ins[0][-1]
    if node.op_type in _CONVOLUTIONS:
        weights = ins[3] if node.op_type == "QLinearConv" else ins[1]
        return math.prod(out) * math.prod((weights or ())[1:])
    return _other(node, ins[0], ins[1], out)


def _other(node: onnx.NodeProto, first: tuple[int, ...], second: tuple[int, ...], out: tuple[int, ...]) -> int:
    match node.op_type:
        case "ConvTranspose":
            return math.prod(first) * math.prod(second[1:])
        case "Gemm":
            return math.prod(out) * first[0 if _integer(node, "transA", 0) else -1]
        case "Einsum":
            return _einsum(node, (first, second))
        case "GRU" | "LSTM" | "RNN" | "DynamicQuantizeLSTM":
            rows, features, hidden = math.prod(first[:-1]), first[-1], _integer(node, "hidden_size", 0)
            directions = 2 if _text(node, "direction") == "bidirectional" else 1
            return rows * directions * _GATES[node.op_type] * hidden * (features + hidden)
        case "Attention" | "MultiHeadAttention":
            return _attention(node, first, second, out)
        case _:
            return 0


def _attention(node: onnx.NodeProto, first: tuple[int, ...], second: tuple[int, ...], out: tuple[int, ...]) -> int:
    if node.op_type == "Attention" and node.domain == "com.microsoft":  # holds the projection: inputs x, weights
        batch, length, features = first
        return batch * length * features * second[-1] + 2 * batch * length * length * out[-1]
    return (math.prod(first) + math.prod(out)) * second[-2]  # inputs query, key: scores, then their sum of values


def _einsum(node: onnx.NodeProto, shapes: tuple[tuple[int, ...], ...]) -> int:
    """Every combination of indices is one product, where two operands meet."""
    terms = _text(node, "equation").replace(" ", "").partition("->")[0].split(",")
    if len(terms) != 2 or "." in "".join(terms):
        return 0
    lengths: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        lengths.update(zip(term, shape, strict=True))
    return math.prod(lengths.values())


def _over_bodies(node: onnx.NodeProto, sizes: Sizes, count: Callable[[onnx.NodeProto, Sizes], int]) -> int:
    """Cost of the bodies that run: the branch taken (the dearer one where that is unknown), or every turn of a loop."""
    held = {a.name: sum(count(part, sizes.inside(a.g)) for part in a.g.node) for a in node.attribute if a.HasField("g")}
    match node.op_type:
        case "If" if node.input[0] in sizes.numbers:
            return held.get("then_branch" if sizes.numbers[node.input[0]] else "else_branch", 0)
        case "Loop":
            turns = sizes.numbers.get(node.input[0], 1.0)
            return int(min(turns, _scanned(node, sizes) or turns)) * sum(held.values())
        case "Scan":
            states = len(node.input) - _integer(node, "num_scan_inputs", 0)
            shape = sizes.shapes.get(node.input[states], ()) if states < len(node.input) else ()
            return (shape[0] if shape else 1) * sum(held.values())
        case _:
            return max(held.values(), default=0)


def _scanned(node: onnx.NodeProto, sizes: Sizes) -> int:
    """Turns that a loop really took, where it stacks a value of each: its condition may end it early."""
    carried = len(node.input) - 2
    lengths = [sizes.shapes[name][0] for name in node.output[carried:] if sizes.shapes.get(name)]
    return max(lengths, default=0)


def _integer(node: onnx.NodeProto, name: str, default: int) -> int:
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == name), default)


def _text(node: onnx.NodeProto, name: str) -> str:
    return next((attribute.s.decode() for attribute in node.attribute if attribute.name == name), "")
