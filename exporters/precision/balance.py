"""Balancing: channels of an activation that are loud are made quieter, and the weights that read them louder.

An activation has one scale for all channels; one loud channel leaves few integers to the others. Where the value comes
from a LayerNormalization (SmoothQuant), or from a convolution through ReLU (cross-layer equalization, led by the
activations because weights have a scale per channel anyway), a factor per channel can move from the one side to the
other without changing what the graph computes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from edgehybrid.exporters.model import Editor, Graph, array_of, attribute, open_session

Feeds = Mapping[str, NDArray[np.generic]]
_THROUGH = frozenset({"Relu", "LeakyRelu", "MaxPool", "AveragePool", "Dropout"})  # a positive factor passes
_LARGEST = 64.0  # factor; more would only make room for a channel that is silent


@dataclass(frozen=True, slots=True)
class _Place:
    """``made`` computes ``value`` (through ``_THROUGH``), and only ``readers`` read it."""

    made: ir.Node
    value: ir.Value
    readers: tuple[ir.Node, ...]


def balance(graph: Graph, batches: Iterable[Feeds], *, strength: float = 0.5) -> Graph:
    """Move a factor per channel from activations into weights; the result computes the same.

    Args:
        graph: A float graph.
        batches: Calibration data.
        strength: 0 looks at the weights only, 1 at the activations only.

    Returns:
        ``graph`` itself if it has no such place.
    """
    model = graph.edit()
    places = [place for node in model.graph if (place := _place(node)) is not None]
    if not places:
        return graph
    loudest = _loudest(graph, [str(place.value.name) for place in places], batches)
    editor = Editor(model)
    for place, loud in zip(places, loudest, strict=True):
        quiet = np.max([_input_weights(reader) for reader in place.readers], axis=0)
        if loud.shape != quiet.shape or not (np.isfinite(loud).all() and loud.any()):
            continue
        floor = 1e-5
        factor = np.maximum(loud, floor * loud.max()) ** strength
        factor /= np.maximum(quiet, floor * max(quiet.max(), 1e-30)) ** (1.0 - strength)
        factor /= np.exp(np.log(factor).mean())
        _scale(editor, place, np.clip(factor, 1.0 / _LARGEST, _LARGEST).astype(np.float32))
    editor.close()
    return Graph.of(model)


def _constant(value: ir.Value | None) -> bool:
    array = array_of(value)
    return array is not None and array.dtype == np.float32


def _place(node: ir.Node) -> _Place | None:
    if node.op_type == "LayerNormalization":
        axis = attribute(node, "axis", -1)
        kind = {"MatMul", "Gemm", "Attention"}
        if axis != -1 or not all(_constant(value) for value in node.inputs[1:]) or len(node.outputs) > 1:
            return None
    elif node.op_type == "Conv" and attribute(node, "group", 1) == 1:
        kind = {"Conv"}
        if not all(_constant(value) for value in node.inputs[1:] if value is not None):
            return None
    else:
        return None
    value, passed = node.outputs[0], 0
    while node.op_type == "Conv" and len(users := [user for user, _ in value.uses()]) == 1:
        if users[0].op_type not in _THROUGH or value.is_graph_output():
            break
        value, passed = users[0].outputs[0], passed + 1
    readers = [(user, index) for user, index in value.uses()]
    if value.is_graph_output() or not readers or (node.op_type == "Conv" and not passed):
        return None
    fits = all(user.op_type in kind and index == 0 and _reads(user) for user, index in readers)
    return _Place(node, value, tuple(user for user, _ in readers)) if fits else None


def _reads(node: ir.Node) -> bool:
    """Whether its weights have one row (or plane) for each channel that it reads, for itself alone."""
    if not _constant(node.inputs[1]) or attribute(node, "transA", 0):
        return False
    return attribute(node, "group", 1) == 1 and array_of(node.inputs[1]).ndim >= 2  # type: ignore[union-attr]  # constant


def _axis(node: ir.Node) -> int:
    return 1 if node.op_type == "Conv" or attribute(node, "transB", 0) else 0


def _input_weights(node: ir.Node) -> NDArray[np.float64]:
    """Largest weight for each channel read, shape ``(channels,)``."""
    w = np.abs(np.asarray(array_of(node.inputs[1]), dtype=np.float64))
    w = np.moveaxis(w, _axis(node), 0)
    return np.asarray(w.reshape(len(w), -1).max(axis=1))


def _loudest(graph: Graph, names: list[str], batches: Iterable[Feeds]) -> list[NDArray[np.float64]]:
    proto = onnx.ModelProto()
    proto.CopyFrom(graph.proto)
    del proto.graph.output[:]
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    convs = {node.output[0] for node in proto.graph.node if node.op_type == "Conv" or node.op_type in _THROUGH}
    session = open_session(proto)
    found: list[NDArray[np.float64]] = [np.zeros(0)] * len(names)
    for feeds in batches:
        for index, array in enumerate(session.run(names, dict(feeds))):
            numbers = np.abs(np.asarray(array))
            flat = np.moveaxis(numbers, 1 if names[index] in convs else -1, 0)
            loud = flat.reshape(len(flat), -1).max(axis=1).astype(np.float64)
            found[index] = np.maximum(found[index], loud) if found[index].size else loud
    return found


def _scale(editor: Editor, place: _Place, factor: NDArray[np.float32]) -> None:
    """Divide what is made by ``factor``, multiply what reads it."""
    for index, value in enumerate(place.made.inputs):
        if index and value is not None:
            array = np.asarray(array_of(value), dtype=np.float32)
            shape = [-1] + [1] * (array.ndim - 1)
            new = editor.weight(f"{value.name}_balanced", array / factor.reshape(shape))
            place.made.replace_input_with(index, new)
    for reader in place.readers:
        value, axis = reader.inputs[1], _axis(reader)
        array = np.asarray(array_of(value), dtype=np.float32)
        shape = [1] * array.ndim
        shape[axis] = -1
        name = f"{reader.name}_w_balanced" if value is None else f"{value.name}_balanced"
        reader.replace_input_with(1, editor.weight(name, array * factor.reshape(shape)))
