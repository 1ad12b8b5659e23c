"""What a handler writes with: values in whichever order of axes they exist, and operators.

Layouts are lazy. A value is a set of tensors, each under the order of axes that it holds: ``(0, 2, 3, 1)`` is NHWC of
an ONNX value in NCHW. A transposition in ONNX only renames; TRANSPOSE is written when somebody asks for an order that
does not exist yet, RESHAPE when only axes of length one move.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgehybrid.exporters.formats.litert.flat import Flat
from edgehybrid.exporters.formats.litert.fold import Folded, Node

Array = NDArray[Any]
Order = tuple[int, ...]
B = schema.BuiltinOperator

MAX_RANK = 6
_INT32 = np.iinfo(np.int32)
_NARROW = {"int64": "int32", "uint32": "int32"}


@dataclass(slots=True)
class Value:
    """An ONNX value: its shape there, and its tensors by order of axes."""

    shape: tuple[int, ...]
    dtype: str
    constant: Array | None = None
    forms: dict[Order, int] = field(default_factory=dict)

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def natural(self) -> Order:
        """ONNX's own order."""
        return tuple(range(len(self.shape)))


class Writer:
    """Writes one graph; the handlers of operators work through it."""

    def __init__(self, folded: Folded) -> None:
        self.flat, self.folded = Flat(), folded
        self.node: Node | None = None
        self.scope = ""  # before the names of tensors: what a recipe of quantization knows a region by
        self.values: dict[str, Value] = {}
        self.holders: dict[int, set[str]] = {}
        for name in folded.constants:
            array = narrowed(folded.values[name])
            self.values[name] = Value(array.shape, array.dtype.name, constant=array)

    # values

    def value(self, name: str) -> Value:
        """The value called ``name``."""
        return self.values[name]

    def shape(self, name: str) -> tuple[int, ...]:
        """Its shape in ONNX."""
        return tuple(self.folded.values[name].shape)

    def dtype(self, name: str) -> str:
        """Its dtype here: 64-bit integers are narrowed."""
        dtype = self.folded.values[name].dtype.name
        return _NARROW.get(dtype, dtype)

    def constant(self, name: str) -> Array | None:
        """What it holds, if that is known beforehand."""
        return self.values[name].constant if name in self.values else None

    def numbers(self, name: str) -> list[int] | None:
        """The same as integers; ``None`` for an input that is left out."""
        array = self.constant(name) if name else None
        return None if array is None else [int(n) for n in array.reshape(-1)]

    def give(self, name: str, tensor: int, order: Order | None = None) -> None:
        """Say that ``tensor`` holds the value called ``name`` in ``order``."""
        value = self.values.setdefault(name, Value(self.shape(name), self.dtype(name)))
        value.forms[value.natural if order is None else order] = tensor
        self.holders.setdefault(tensor, set()).add(name)

    def only_here(self, name: str) -> int | None:
        """The one tensor that holds a value which nobody but the present node reads, by whatever name; or ``None``."""
        tensors = set(self.values[name].forms.values())
        once = self.folded.readers.get(name, 0) == 1 and name not in self.folded.outputs
        if not once or len(tensors) != 1:
            return None
        (tensor,) = tensors
        return tensor if self.holders[tensor] == {name} and tensor not in self.flat.used else None

    # tensors

    def read(self, name: str, order: Order | None = None) -> int:
        """A tensor that holds the value in ``order`` (ONNX's by default); written if it does not exist."""
        value = self.values[name]
        order = value.natural if order is None else order
        if order in value.forms:
            return value.forms[order]
        if value.constant is not None:
            tensor = self.flat.constant(value.constant.transpose(order), name)
        else:
            source = min(value.forms, key=lambda held: not self.same_bytes(value.shape, held, order))
            tensor = self._reordered(value, source, order, name)
        value.forms[order] = tensor
        return tensor

    def held(self, name: str) -> Order:
        """An order in which it exists: ONNX's, if that is one."""
        value = self.values[name]
        return value.natural if value.natural in value.forms or not value.forms else next(iter(value.forms))

    def cost(self, name: str, order: Order) -> int:
        """Numbers that have to be moved before it exists in ``order``."""
        value = self.values[name]
        if value.constant is not None or any(self.same_bytes(value.shape, held, order) for held in value.forms):
            return 0
        return math.prod(value.shape)

    @staticmethod
    def same_bytes(shape: Sequence[int], one: Order, other: Order) -> bool:
        """Whether two orders differ only in axes of length one. Axes are compared, not lengths: equal ones differ."""
        return [axis for axis in one if shape[axis] != 1] == [axis for axis in other if shape[axis] != 1]

    def const(
        self, array: Array | np.generic | Sequence[Any] | float, dtype: str | None = None, name: str = "const"
    ) -> int:
        """A constant."""
        return self.flat.constant(narrowed(np.asarray(array, dtype)), name)

    def op(
        self,
        code: int,
        inputs: Sequence[int],
        shape: Sequence[int],
        dtype: str = "float32",
        options: Any = None,
        name: str = "",
    ) -> int:
        """Write an operator with one output; return that."""
        output = self.flat.tensor(name or self.label, shape, dtype)
        self.flat.add(code, inputs, (output,), options)
        return output

    def ops(
        self, code: int, inputs: Sequence[int], shapes: Sequence[Sequence[int]], dtype: str, options: Any
    ) -> list[int]:
        """Write an operator with several outputs."""
        outputs = [self.flat.tensor(self.label, shape, dtype) for shape in shapes]
        self.flat.add(code, inputs, outputs, options)
        return outputs

    @property
    def label(self) -> str:
        """What tensors of the present node are called: its first output, so that both files speak of the same."""
        name = "value" if self.node is None else self.node.outputs[0] or self.node.name
        return f"{self.scope}{name}"

    def shape_of(self, tensor: int) -> tuple[int, ...]:
        """Shape of a tensor."""
        return tuple(self.flat.tensors[tensor].shape)

    def reshape(self, tensor: int, shape: Sequence[int], dtype: str = "float32", name: str = "") -> int:
        """The same numbers in another shape; nothing is written where it has it."""
        if self.shape_of(tensor) == tuple(shape):
            return tensor
        options = schema.ReshapeOptionsT()
        options.newShape = [int(n) for n in shape]
        return self.op(B.RESHAPE, (tensor, self.const(list(shape), "int32")), shape, dtype, options, name)

    def transpose(self, tensor: int, axes: Sequence[int], dtype: str = "float32", name: str = "") -> int:
        """Axes in another order."""
        if len(axes) > MAX_RANK:
            raise self.refuse(f"a transposition of {len(axes)} axes")
        shape = self.shape_of(tensor)
        moved = [shape[axis] for axis in axes]
        return self.op(
            B.TRANSPOSE, (tensor, self.const(list(axes), "int32")), moved, dtype, schema.TransposeOptionsT(), name
        )

    def refuse(self, why: str) -> Exception:
        """The error that names the present node."""
        node = self.node or Node(op="graph", name="graph", domain="", inputs=(), outputs=(), attributes={})
        return node.refuse(why)

    def _reordered(self, value: Value, source: Order, order: Order, name: str) -> int:
        tensor = value.forms[source]
        if self.same_bytes(value.shape, source, order):
            return self.reshape(tensor, [value.shape[axis] for axis in order], value.dtype, name)
        return self.transpose(tensor, [source.index(axis) for axis in order], value.dtype, name)


def narrowed(array: Array) -> Array:
    """64-bit integers as 32-bit ones, at their limits where they do not fit: shapes and ends say "all" with them."""
    if array.dtype.name in _NARROW:
        return np.clip(array, _INT32.min, _INT32.max).astype(np.int32)
    return array
