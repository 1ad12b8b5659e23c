"""Write down shapes that the graph computes although only the batch is free.

Exporters compute reshape targets with Shape, Slice, Concat. When nothing but the batch varies, every such number is
either a constant or the batch itself, which a reshape calls -1. Found by running the graph on two batch lengths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgehybrid.exporters.model import Editor, Graph, array_of, attribute, trace
from edgehybrid.exporters.rewrites.protocol import PassResult, Probes

Array = NDArray[np.generic]
_STATES = {"GRU": (5,), "LSTM": (5, 6), "RNN": (5,)}
_LARGEST = 2**20  # numbers in a constant that the graph would compute


@dataclass(frozen=True, slots=True)
class StaticShapes:
    """Reshape targets, scales and masks become constants; states of zeros and transpositions of unit axes go."""

    name: ClassVar[str] = "static-shapes"

    def __call__(self, graph: Graph, probes: Probes, /) -> PassResult:
        """Apply wherever the two probes agree; without probes nothing is done."""
        if not probes:
            return PassResult(graph=graph)
        model = graph.edit()
        known = _shape_only(model.graph)
        seen = [_seen(graph, model.graph, known, feeds) for feeds in (probes.first, probes.second)]
        editor = Editor(model)
        applied = 0
        for node in list(model.graph):
            if node.op_type == "Reshape":
                applied += _reshape(editor, node, known, seen)
            elif node.op_type == "Transpose":
                applied += _transpose(editor, node, seen)
            else:
                applied += sum(_state(node, index, known, seen) for index in _STATES.get(node.op_type, ()))
            applied += _constants(editor, node, known, seen)
        if not applied:
            return PassResult(graph=graph)
        editor.close()
        return PassResult(graph=Graph.of(model), applied=applied)


def _seen(graph: Graph, inner: ir.Graph, known: set[ir.Value], feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Values that the rule may ask for: inputs of reshapes, transpositions and states, and what hangs on shapes."""
    wanted = {
        str(value.name)
        for node in inner
        for value in node.inputs
        if value is not None
        and value.producer() is not None
        and (node.op_type in ("Reshape", "Transpose", *_STATES) or _leaves(value, node, known))
    }
    return {**trace(graph, feeds, sorted(wanted)), **feeds}


def _shape_only(graph: ir.Graph) -> set[ir.Value]:
    """Values that depend on the shapes of the inputs but not on their numbers."""
    known: set[ir.Value] = set()
    for node in graph:
        if "Random" in node.op_type or any(
            item.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for item in node.attributes.values()
        ):
            continue
        if node.op_type in ("Shape", "Size") or all(
            value is None or value in known or array_of(value) is not None for value in node.inputs
        ):
            known.update(node.outputs)
    return known


def _leaves(value: ir.Value, node: ir.Node, known: set[ir.Value]) -> bool:
    """Whether ``node`` works on numbers but reads ``value``, which hangs on shapes alone."""
    return value in known and node.outputs[0] not in known and array_of(value) is None


def _constants(editor: Editor, node: ir.Node, known: set[ir.Value], seen: list[dict[str, Array]]) -> int:
    """What hangs on shapes alone and was the same for both batches is a constant."""
    applied = 0
    for index, value in enumerate(node.inputs):
        if value is None or not _leaves(value, node, known) or (pair := _both(value, seen)) is None:
            continue
        if pair[0].size <= _LARGEST and pair[0].dtype == pair[1].dtype and np.array_equal(*pair):
            node.replace_input_with(index, editor.weight(str(value.name), pair[0]))
            applied += 1
    return applied


def _both(value: ir.Value | None, seen: list[dict[str, Array]]) -> tuple[Array, Array] | None:
    name = "" if value is None else str(value.name)
    return (seen[0][name], seen[1][name]) if all(name in values for values in seen) else None


def _reshape(editor: Editor, node: ir.Node, known: set[ir.Value], seen: list[dict[str, Array]]) -> int:
    shape, data = node.inputs[1], node.inputs[0]
    pair, source = _both(shape, seen), _both(data, seen)
    if array_of(shape) is not None or pair is None or source is None or shape not in known:
        return 0
    found = [_resolved(target, x.shape) for target, x in zip(pair, source, strict=True)]
    target = constant_target(found[0], found[1])
    if target is None:
        return 0
    node.replace_input_with(1, editor.weight(f"{node.name}_shape", target))
    if "allowzero" in node.attributes:
        del node.attributes["allowzero"]
    return 1


def _resolved(target: Array, source: tuple[int, ...]) -> NDArray[np.int64]:
    """A reshape target with 0 (copy) and -1 (what is left) replaced by lengths."""
    lengths = np.array([source[i] if n == 0 else n for i, n in enumerate(target.astype(np.int64))], dtype=np.int64)
    if (lengths == -1).any():
        lengths[lengths == -1] = int(np.prod(source)) // int(np.prod(lengths[lengths != -1]))
    return lengths


def constant_target(first: Array, second: Array) -> NDArray[np.int64] | None:
    """One constant target for both: equal lengths stay, a single one that differs becomes -1."""
    if first.shape != second.shape or (first == 0).any() or (first != second).sum() > 1:
        return None
    return np.where(first == second, first, -1).astype(np.int64)


def _transpose(editor: Editor, node: ir.Node, seen: list[dict[str, Array]]) -> int:
    """A transposition that moves nothing but axes of length one is a reshape, which costs nothing."""
    source, order = _both(node.inputs[0], seen), attribute(node, "perm", None)
    if source is None or order is None or list(order) == sorted(order) or node.outputs[0].is_graph_output():
        return 0
    lengths = [x.shape for x in source]
    moved = [axis for axis in order if not all(shape[axis] == 1 for shape in lengths)]
    if moved != sorted(moved):
        return 0
    target = constant_target(*(np.array([shape[axis] for axis in order], dtype=np.int64) for shape in lengths))
    if target is None:
        return 0
    shape = editor.weight(f"{node.name}_shape", target)
    name = str(node.name)
    node.name = f"{name}_gone"
    new = editor.node(node, "Reshape", [node.inputs[0], shape], name=f"{name}_reshape")
    new.name = name
    editor.supplant(node.outputs[0], new.outputs[0])
    return 1


def _state(node: ir.Node, index: int, known: set[ir.Value], seen: list[dict[str, Array]]) -> int:
    """An initial state of zeros is what a recurrent layer starts from anyway."""
    value = node.inputs[index] if len(node.inputs) > index else None
    pair = _both(value, seen)
    if pair is None or any(array.any() for array in pair) or value not in known:
        return 0
    node.replace_input_with(index, None)
    return 1
