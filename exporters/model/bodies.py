"""Graphs inside nodes: the branches of ``If``, the bodies of ``Loop`` and ``Scan``."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import onnx_ir as ir
import onnxscript.optimizer
from onnx import numpy_helper

from edgehybrid.errors import ModelError
from edgehybrid.exporters.model.graph import Graph
from edgehybrid.exporters.model.probe import free_axes, synthetic_feeds, trace
from edgehybrid.tensors import TensorSpec

CONTROL = frozenset({"If", "Loop", "Scan"})
"""Operators that hold graphs."""

_SHAPE_READERS = ("Shape", "Size")
_DECISIONS = ("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Cast", "Min", "Max", "Clip", "Mod")
_BATCHES = (1, 2, 3)
_FOLD_NUMBERS = 4_000_000


def bodies(node: onnx.NodeProto) -> tuple[onnx.GraphProto, ...]:
    """Graphs inside ``node``, in the order of its attributes."""
    held = tuple(attribute.g for attribute in node.attribute if attribute.HasField("g"))
    return held + tuple(graph for attribute in node.attribute for graph in attribute.graphs)


def inner_nodes(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    """All nodes of the graphs inside ``node``, at any depth."""
    for body in bodies(node):
        for inner in body.node:
            yield inner
            yield from inner_nodes(inner)


def has_bodies(proto: onnx.ModelProto) -> bool:
    """Tell whether any node holds a graph."""
    return any(bodies(node) for node in proto.graph.node)


def fold_branches(proto: onnx.ModelProto, inputs: tuple[TensorSpec, ...]) -> onnx.ModelProto:
    """Put the branch that always runs in the place of its ``If``.

    A condition is settled when it is constant, or computed from lengths that are the same for every batch.

    Args:
        proto: A model that may hold ``If`` nodes; it is not changed.
        inputs: Its inputs, with the free axes as strings.

    Returns:
        The model with the settled branches in the graph; ``proto`` itself if no node holds a graph.
    """
    if not has_bodies(proto):
        return proto
    folded = _fold(proto)
    if has_bodies(folded) and _settle(folded, inputs):
        folded = _fold(folded)
    return folded


def _fold(proto: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    model = ir.from_proto(copy)
    limit = _FOLD_NUMBERS
    onnxscript.optimizer.optimize_ir(model, input_size_limit=limit, output_size_limit=limit, onnx_shape_inference=True)
    return ir.to_proto(model)


def _settle(proto: onnx.ModelProto, inputs: tuple[TensorSpec, ...]) -> bool:
    """Make constants of the conditions that only shapes decide, where nothing but the first axes is free."""
    free_later = any(isinstance(axis, str) for axis in free_axes(inputs) if axis not in _first_axes(inputs))
    makers = {name: node for node in proto.graph.node for name in node.output}
    known = {tensor.name for tensor in proto.graph.initializer}
    asked = {node.input[0] for node in proto.graph.node if node.op_type == "If" and node.input[0] in makers}
    asked = {name for name in asked if _of_shapes(name, makers, known)}
    if free_later or not asked:
        return False
    watched = asked | {name for start in asked for name in _compared(start, makers)}
    try:
        seen = [trace(Graph(proto=proto), synthetic_feeds(inputs, n), sorted(watched)) for n in _BATCHES]
    except ModelError:
        return False
    same = {name for name in seen[0] if all(np.array_equal(seen[0][name], values[name]) for values in seen)}
    settled = {name for name in asked if {name, *(_compared(name, makers) & seen[0].keys())} <= same}
    for name in sorted(settled):
        constant = f"{name}__settled"
        proto.graph.initializer.append(numpy_helper.from_array(np.array(bool(np.all(seen[0][name]))), constant))
        for node in proto.graph.node:
            if node.op_type == "If" and node.input[0] == name:
                node.input[0] = constant
    return bool(settled)


def _compared(name: str, makers: dict[str, onnx.NodeProto], depth: int = 40) -> set[str]:
    """What the condition ``name`` compares: were it the batch, no few batches could tell how every other compares."""
    node = makers.get(name)
    if node is None or depth == 0 or node.op_type in _SHAPE_READERS:
        return set()
    above = {item for source in node.input for item in _compared(source, makers, depth - 1)}
    return above | (set(node.input) if node.op_type in _DECISIONS else set())


def _first_axes(inputs: tuple[TensorSpec, ...]) -> set[int | str]:
    return {spec.shape[0] for spec in inputs if spec.shape}


def _of_shapes(name: str, makers: dict[str, onnx.NodeProto], known: set[str], depth: int = 40) -> bool:
    """Whether ``name`` depends on shapes only."""
    if not name or name in known:
        return True
    node = makers.get(name)
    if node is None or depth == 0 or bodies(node) or "Random" in node.op_type:
        return False
    return node.op_type in _SHAPE_READERS or all(_of_shapes(item, makers, known, depth - 1) for item in node.input)
