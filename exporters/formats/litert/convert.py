"""From an ONNX graph to the bytes of a TFLite file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgehybrid.exporters.formats.litert import (
    convolution,
    elementwise,
    products,
    recurrent,
    reductions,
    shaping,
    trees,
)
from edgehybrid.exporters.formats.litert.elementwise import Handler
from edgehybrid.exporters.formats.litert.flat import Flat
from edgehybrid.exporters.formats.litert.fold import Folded, Node, fold
from edgehybrid.exporters.formats.litert.versions import stamp
from edgehybrid.exporters.formats.litert.writer import B, Value, Writer
from edgehybrid.exporters.model import MICROSOFT, Graph

Array = NDArray[Any]

HANDLERS: Mapping[str, Handler] = {
    **convolution.HANDLERS,
    **elementwise.HANDLERS,
    **products.HANDLERS,
    **recurrent.HANDLERS,
    **reductions.HANDLERS,
    **shaping.HANDLERS,
    **trees.HANDLERS,
}
"""Every operator that can be written."""

_DOMAINS = {"": set(HANDLERS), MICROSOFT: {"Gelu", "QuickGelu", "FusedMatMul"}, "ai.onnx.ml": set(trees.HANDLERS)}


def convert(graph: Graph, feeds: Mapping[str, Array]) -> bytes:
    """Write ``graph`` as a float TFLite file of the shapes of ``feeds``; inputs and outputs keep names and layout.

    Args:
        graph: The float graph.
        feeds: One input of it, of the shapes that the file will take: one row.

    Raises:
        ModelError: Names the operator that cannot be written, and the node.
    """
    folded = fold(graph, feeds)
    for node in folded.nodes:
        if node.op not in _DOMAINS.get(node.domain, ()):
            raise node.refuse("there is no such operator in TFLite, and no way to write it in others")
    writer = Writer(folded)
    inputs = _open(writer.flat, folded)
    for name, tensor in inputs.items():
        writer.values[name] = Value(writer.shape(name), writer.dtype(name))
        writer.give(name, _narrow(writer, name, tensor))
    for node in folded.nodes:
        writer.node = node
        _write(writer, node)
    writer.node = None
    outputs = {name: _close(writer, name, inputs) for name in folded.outputs}
    return stamp(writer.flat.finish(inputs, outputs))


def _write(writer: Writer, node: Node) -> None:
    for name in node.inputs:
        if name and name not in writer.values:
            raise node.refuse(f"its input {name!r} is not written")
    if any(0 in writer.shape(name) for name in node.outputs if name):
        raise node.refuse("a result without numbers")
    HANDLERS[node.op](writer, node)


def _open(flat: Flat, folded: Folded) -> dict[str, int]:
    return {
        name: flat.tensor(name, folded.values[name].shape, folded.values[name].dtype.name) for name in folded.inputs
    }


def _narrow(writer: Writer, name: str, tensor: int) -> int:
    """64-bit integers stay at the border only."""
    if writer.folded.values[name].dtype.name == writer.dtype(name) or not writer.folded.readers.get(name):
        return tensor
    return writer.op(B.CAST, (tensor,), writer.shape(name), writer.dtype(name), schema.CastOptionsT(), f"{name};narrow")


def _close(writer: Writer, name: str, inputs: Mapping[str, int]) -> int:
    """The tensor of an output: ONNX's layout and dtype, and no input, constant or other output itself."""
    tensor = writer.read(name)
    wanted = writer.folded.values[name].dtype.name
    if wanted != writer.dtype(name):
        return writer.op(B.CAST, (tensor,), writer.shape(name), wanted, schema.CastOptionsT(), name)
    shared = tensor in inputs.values() or tensor in writer.flat.arrays
    if (
        shared
        or sum(
            writer.values[other].forms.get(writer.values[other].natural) == tensor
            for other in writer.folded.outputs
            if other in writer.values
        )
        > 1
    ):
        options = schema.ReshapeOptionsT()
        options.newShape = list(writer.shape(name))
        operands = (tensor, writer.const(list(writer.shape(name)), "int32"))
        return writer.op(B.RESHAPE, operands, writer.shape(name), writer.dtype(name), options, f"{name};out")
    return tensor
