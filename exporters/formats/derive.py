"""Weights that a variant's file computes from those of another: nodes on constants, which ONNX Runtime folds at load.

A rewrite turns, cuts and joins the user's weights: how takes a few bytes, what comes out is all of them once more. The
nodes are used only if ONNX Runtime makes of them the very bits. Integers are not made of the floats that they were
rounded from: it would save more on disk, and cost more in memory and when loading (docs/decisions/0018).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgehybrid.exporters.formats.store import Array, Layout, Piece, Store, refer
from edgehybrid.exporters.model import open_session

MIN_OPSET = 13  # from then on every operator used here takes its axes and bounds as it does today
_NODE_BYTES = 160  # about what a node with its constants takes in a model file


def derivable(proto: onnx.ModelProto, arrays: Mapping[str, Array | None], store: Store) -> dict[str, Layout]:
    """Find which initializers of ``proto`` are made of what ``store`` holds, bit for bit.

    Args:
        proto: The variant, its weights inside.
        arrays: Its large initializers; ``None`` for those of other types than float32 and int8.
        store: What is stored so far.
    """
    version = next((item.version for item in proto.opset_import if item.domain in ("", "ai.onnx")), 0)
    if version < MIN_OPSET:
        return {}
    fixed = {item.name for item in (*proto.graph.input, *proto.graph.output)}
    found = {}
    for name, array in arrays.items():
        if array is None or name in fixed or array.squeeze().ndim < 2 or array.tobytes() in store:
            continue
        layout = store.layout(array)
        if layout is not None and _cost_bytes(layout) < array.nbytes:
            found[name] = layout
    wrong = _unlike(proto, found, arrays, store)
    return {name: layout for name, layout in found.items() if name not in wrong}


def insert(proto: onnx.ModelProto, layouts: Mapping[str, Layout]) -> None:
    """Put nodes in the place of the initializers that ``layouts`` names, before all other nodes."""
    if not layouts:
        return
    types = {tensor.name: tensor.data_type for tensor in proto.graph.initializer}
    writer = _Writer({name for node in proto.graph.node for name in (node.name, *node.input, *node.output)} | {*types})
    for name, layout in layouts.items():
        _write(writer, name, layout, types[name])
    kept = [tensor for tensor in proto.graph.initializer if tensor.name not in layouts]
    nodes = [*writer.nodes, *proto.graph.node]
    del proto.graph.initializer[:], proto.graph.node[:]
    proto.graph.initializer.extend([*kept, *writer.initializers])
    proto.graph.node.extend(nodes)


@dataclass(slots=True)
class _Writer:
    """Collects what is to be added to a graph in which some names are taken."""

    taken: set[str]
    initializers: list[onnx.TensorProto] = field(default_factory=list)
    nodes: list[onnx.NodeProto] = field(default_factory=list)

    def fresh(self) -> str:
        """Take a name that nothing has."""
        number = len(self.taken)
        while f"made_{number}" in self.taken:
            number += 1
        self.taken.add(f"made_{number}")
        return f"made_{number}"

    def add(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        """Add a node; return what it makes."""
        made = self.fresh()
        self.nodes.append(helper.make_node(operator, inputs, [made], made, **attributes))
        return made

    def ints(self, *values: int) -> str:
        """Add a constant list of integers."""
        name = self.fresh()
        self.initializers.append(numpy_helper.from_array(np.array(values, dtype=np.int64), name))
        return name

    def stretch(self, dtype: int, piece: Piece, row: int, dims: tuple[int, ...], name: str = "") -> str:
        """Add a stretch of the weights file, from ``row`` of the tensor of ``piece`` on, read as ``dims``."""
        tensor = onnx.TensorProto(name=name or self.fresh())
        begin = piece.offset + row * prod(piece.dims[1:]) * piece.itemsize
        refer(tensor, dtype, dims, begin, prod(dims) * piece.itemsize)
        self.initializers.append(tensor)
        return str(tensor.name)


def _write(writer: _Writer, name: str, layout: Layout, dtype: int) -> None:
    """Make ``name``: rows of the pieces, joined along the first axis, and turned into place."""
    if _is_stretch(layout):
        (piece,) = layout.pieces
        writer.stretch(dtype, piece, piece.start, layout.dims, name)
        return
    before, after = layout.dims[: layout.axis], layout.dims[layout.axis + 1 :]
    leads = prod(before) == 1
    parts = [
        _rows(writer, piece, dtype, (*before, piece.rows, *after) if leads else (piece.rows, *before, *after))
        for piece in layout.pieces
    ]
    joined = parts[0] if len(parts) == 1 else writer.add("Concat", parts, axis=layout.axis if leads else 0)
    if not leads:
        order = [*range(1, layout.axis + 1), 0, *range(layout.axis + 1, len(layout.dims))]
        writer.add("Transpose", [joined], perm=order)
    writer.nodes[-1].output[0] = name


def _rows(writer: _Writer, piece: Piece, dtype: int, dims: tuple[int, ...]) -> str:
    """The rows of one piece as ``dims``: a stretch of the file where they lie together, else cut out and turned."""
    if piece.axis == 0:
        return writer.stretch(dtype, piece, piece.start, dims)
    made = writer.stretch(dtype, piece, 0, piece.dims)
    if piece.rows < piece.dims[piece.axis]:
        made = writer.add("Slice", [made, *(writer.ints(value) for value in (piece.start, piece.stop, piece.axis))])
    others = [axis for axis in range(len(piece.dims)) if axis != piece.axis]
    made = writer.add("Transpose", [made], perm=[piece.axis, *others])
    turned = (piece.rows, *(piece.dims[axis] for axis in others))
    return made if turned == dims else writer.add("Reshape", [made, writer.ints(*dims)])


def _is_stretch(layout: Layout) -> bool:
    """Whether it needs no node: its rows lie together in the weights file."""
    return len(layout.pieces) == 1 and layout.pieces[0].axis == 0 and prod(layout.dims[: layout.axis]) == 1


def _cost_bytes(layout: Layout) -> int:
    """Bytes that it takes in the model file, roughly."""
    return 0 if _is_stretch(layout) else _NODE_BYTES * (1 + sum(3 if piece.axis else 1 for piece in layout.pieces))


def _unlike(
    proto: onnx.ModelProto, layouts: Mapping[str, Layout], arrays: Mapping[str, Array | None], store: Store
) -> set[str]:
    """Let ONNX Runtime make the tensors of ``layouts``; return those that come out otherwise than they should."""
    if not layouts:
        return set()
    graph = onnx.GraphProto(name="made")
    graph.initializer.extend(tensor for tensor in proto.graph.initializer if tensor.name in layouts)
    graph.output.extend(helper.make_tensor_value_info(t.name, t.data_type, None) for t in graph.initializer)
    model = helper.make_model(graph, opset_imports=proto.opset_import, ir_version=proto.ir_version)
    insert(model, layouts)
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            place = {entry.key: entry.value for entry in tensor.external_data}
            begin, length = int(place["offset"]), int(place["length"])
            tensor.ClearField("external_data")
            tensor.data_location = onnx.TensorProto.DEFAULT
            tensor.raw_data = bytes(store.data[begin : begin + length])
    made = open_session(model, optimize=False).run(list(layouts), {})
    return {name for name, array in zip(layouts, made, strict=True) if not _same_bits(array, arrays[name])}


def _same_bits(made: Array, wanted: Array | None) -> bool:
    return wanted is not None and made.shape == wanted.shape and made.tobytes() == wanted.tobytes()
