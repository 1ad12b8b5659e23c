"""Transpositions move down through nodes that treat every number, or every row, alike, until they meet another."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from edgehybrid.exporters.model import Editor, Graph, array_of, attribute
from edgehybrid.exporters.rewrites.protocol import PassResult, Probes

UNARY = frozenset(
    (
        "Relu",
        "LeakyRelu",
        "Sigmoid",
        "HardSigmoid",
        "HardSwish",
        "Tanh",
        "Elu",
        "Selu",
        "Celu",
        "Softplus",
        "Erf",
        "Exp",
        "Sqrt",
        "Abs",
        "Neg",
        "Gelu",
        "QuickGelu",
        "Clip",
        "Mish",
        "Reciprocal",
        "Log",
        "Cast",
    )
)
BINARY = frozenset({"Add", "Sub", "Mul", "Div", "Max", "Min", "Pow"})


@dataclass(frozen=True, slots=True)
class SinkTranspose:
    """``transpose(f(transpose(x)))`` becomes ``f(x)`` in another order: one transposition less, or two.

    ``f`` is any chain of elementwise nodes with constants; of products, sums and normalizations along the last axis if
    that one stays last; and of elementwise nodes of which both sides are transposed alike. ONNX Runtime does a part of
    this when it loads a model, but not through products, and not through what a precision has written.
    """

    name: ClassVar[str] = "sink-transpose"

    def __call__(self, graph: Graph, probes: Probes, /) -> PassResult:  # noqa: ARG002  # protocol
        """Move each transposition that meets another one further down."""
        model = graph.edit()
        editor = Editor(model)
        applied = 0
        for node in list(model.graph):
            if node.op_type == "Transpose" and node.graph is not None:
                applied += _sink(editor, node)
        if not applied:
            return PassResult(graph=graph)
        editor.close()
        return PassResult(graph=Graph.of(model), applied=applied)


@dataclass(slots=True)
class _Region:
    """What lies between one transposition and those that follow it."""

    moved: set[ir.Value]
    inside: list[tuple[ir.Node, list[tuple[int, ir.Value]]]] = field(default_factory=list)
    bottoms: list[ir.Node] = field(default_factory=list)


def _sink(editor: Editor, top: ir.Node) -> bool:
    perm, source = attribute(top, "perm", None), top.inputs[0]
    if perm is None or source is None or top.outputs[0].is_graph_output():
        return False
    region = _region(editor, top, list(perm))
    if region is None or not region.inside:  # neighbours are joined by another rule
        return False
    for node, changes in region.inside:
        for index, item in enumerate(node.inputs):
            if item is top.outputs[0]:
                node.replace_input_with(index, source)
        for index, new in changes:
            node.replace_input_with(index, new)
        node.outputs[0].shape = None
    for bottom in region.bottoms:
        joined = [perm[axis] for axis in attribute(bottom, "perm", ())]
        below = source if bottom.inputs[0] is top.outputs[0] else bottom.inputs[0]
        if joined == sorted(joined) and below is not None and below is not source:
            editor.supplant(bottom.outputs[0], below)
        else:
            bottom.replace_input_with(0, below)
            bottom.attributes["perm"] = ir.AttrInt64s("perm", joined)
    return True


def _region(editor: Editor, top: ir.Node, perm: list[int]) -> _Region | None:
    """Everything that reads the transposition, down to other transpositions; ``None`` if something is in the way."""
    region = _Region(moved={top.outputs[0]})
    for node in editor.graph:
        if not any(value in region.moved for value in node.inputs):
            continue
        if node.op_type == "Transpose" and "perm" in node.attributes:
            region.bottoms.append(node)
            continue
        changes = _passes(editor, node, region.moved, perm)
        if changes is None or len(node.outputs) != 1 or node.outputs[0].is_graph_output():
            return None
        region.inside.append((node, changes))
        region.moved.add(node.outputs[0])
    known = {node for node, _ in region.inside} | set(region.bottoms)
    whole = all(user in known for value in region.moved for user, _ in value.uses())  # and no subgraph reads it
    return region if whole and region.bottoms else None


def _passes(editor: Editor, node: ir.Node, moved: set[ir.Value], perm: list[int]) -> list[tuple[int, ir.Value]] | None:
    """What ``node`` must read besides, if it may work before the transposition; ``None`` if it may not."""
    others = [item for item in node.inputs[1:] if item is not None]
    if node.op_type in UNARY or node.op_type in ("MatMul", "LayerNormalization"):
        if node.inputs[0] not in moved or any(array_of(item) is None for item in others):
            return None
        return [] if node.op_type in UNARY or _row_by_row(node, perm) else None
    if node.op_type not in BINARY:
        return None
    changes: list[tuple[int, ir.Value]] = []
    for index, item in enumerate(node.inputs):
        if item is None or item in moved:
            continue
        other = _other_side(editor, item, perm)
        if other is None:
            return None
        if other is not item:
            changes.append((index, other))
    return changes


def _row_by_row(node: ir.Node, perm: list[int]) -> bool:
    """Whether a product or normalization works along the last axis only, and that one stays last."""
    if perm[-1] != len(perm) - 1:
        return False
    if node.op_type == "LayerNormalization":
        return attribute(node, "axis", -1) in (-1, len(perm) - 1)
    w = array_of(node.inputs[1])
    return w is not None and w.ndim == 2


def _other_side(editor: Editor, item: ir.Value, perm: list[int]) -> ir.Value | None:
    """What stands beside the moved side of a sum or product before the transposition."""
    array, above = array_of(item), item.producer()
    if array is not None:
        if array.ndim > len(perm):
            return None
        if array.size == 1 or (array.ndim == 1 and perm[-1] == len(perm) - 1):
            return item
        full = array.reshape((1,) * (len(perm) - array.ndim) + array.shape)
        return editor.weight(str(item.name), full.transpose(np.argsort(perm)))
    if above is not None and above.op_type == "Transpose" and list(attribute(above, "perm", ())) == perm:
        return above.inputs[0]
    return None
