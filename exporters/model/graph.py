"""A graph as a value: nobody changes it, a pass works on a copy and makes a new one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import onnx
import onnx_ir as ir

LAYOUT_OPS = frozenset(
    {
        "Cast",
        "Expand",
        "Flatten",
        "Gather",
        "Identity",
        "Reshape",
        "Slice",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
    }
)
"""Operators that move numbers and compute none."""

SHAPE_OPS = frozenset({"Shape", "Size", "ConstantOfShape", "Constant", "Range"})
"""Operators that compute shapes; they cost little and hold nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """An ONNX model; every node has a unique name, weights are inside."""

    proto: onnx.ModelProto

    def edit(self) -> ir.Model:
        """Return a copy to work on."""
        copy = onnx.ModelProto()
        copy.CopyFrom(self.proto)
        return ir.from_proto(copy)

    def to_bytes(self) -> bytes:
        """Serialize; equal graphs give equal bytes."""
        return bytes(self.proto.SerializeToString(deterministic=True))

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes, as hex."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    @classmethod
    def of(cls, model: ir.Model) -> Graph:
        """Close an edited model; new nodes get names."""
        name_ir_nodes(model.graph)
        return cls(proto=ir.to_proto(model))


def name_ir_nodes(graph: ir.Graph) -> None:
    """Give each unnamed or doubly named node a name of its own: operator and position."""
    seen: set[str] = set()
    for index, node in enumerate(graph):
        if not node.name or node.name in seen:
            node.name = f"{node.op_type}_{index}"
            while node.name in seen:
                node.name += "_"
        seen.add(node.name)


def constant(value: ir.Value | None) -> ir.TensorProtocol | None:
    """Return the tensor behind ``value`` if it is known before the model runs."""
    if value is None:
        return None
    return ir.convenience.get_const_tensor(value)
