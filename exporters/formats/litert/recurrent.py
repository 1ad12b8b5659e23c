"""Recurrent layers, unrolled: one product for the inputs of all steps, then a few operators a step.

The weights of the steps are one constant. BIDIRECTIONAL_SEQUENCE_LSTM and WHILE would be shorter, but stay float or
cannot be calibrated; there is none for GRU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgehybrid.exporters.formats.litert.elementwise import Handler, arithmetic_options
from edgehybrid.exporters.formats.litert.fold import Node
from edgehybrid.exporters.formats.litert.products import fully_connected
from edgehybrid.exporters.formats.litert.shaping import split_even
from edgehybrid.exporters.formats.litert.writer import B, Writer

Array = NDArray[Any]

MOST_STEPS = 512
"""Longer sequences would give files of tens of thousands of operators; ONNX Runtime's own layer is faster there."""

MOST_JOINT = 160
"""Widest state whose two directions run in the same operators: in wider ones the zeros cost more than the operators."""

_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
_USUAL = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Direction:
    """Weights ``(gates·hidden, inputs or hidden)``, biases ``(gates·hidden,)``, states ``(rows, hidden)``."""

    w: Array
    r: Array
    wb: Array
    rb: Array
    hidden: int
    h: int
    c: int | None
    reverse: bool


class Cell:
    """Arithmetic on the ``(rows, hidden)`` tensors of one step."""

    def __init__(self, writer: Writer, node: Node) -> None:
        self.writer, self.node = writer, node

    def do(self, code: int, *operands: int) -> int:
        """One operator."""
        return self.writer.op(code, operands, self.writer.shape_of(operands[0]), options=arithmetic_options(code))

    def times(self, h: int, weights: Array, bias: Array | None = None) -> int:
        """The state's product with its weights; known beforehand where the state is: in the first step."""
        known = self.writer.flat.arrays.get(h)
        if known is None:
            return fully_connected(self.writer, h, weights, bias)
        product = known @ weights.T
        return self.writer.const((product if bias is None else product + bias).astype(np.float32), name="first")


Step = Callable[[Cell, Direction, Sequence[int], int, "int | None"], "tuple[int, int | None]"]


def _lstm(cell: Cell, at: Direction, x: Sequence[int], h: int, c: int | None) -> tuple[int, int | None]:
    """ONNX's order of gates: input, output, forget, cell."""
    gates = cell.do(B.ADD, x[0], cell.times(h, at.r))
    i, o, f, g = split_even(cell.writer, gates, 1, 4)
    i, o, f, g = cell.do(B.LOGISTIC, i), cell.do(B.LOGISTIC, o), cell.do(B.LOGISTIC, f), cell.do(B.TANH, g)
    if c is None:
        raise cell.node.refuse("no cell state")
    c = cell.do(B.ADD, cell.do(B.MUL, f, c), cell.do(B.MUL, i, g))
    return cell.do(B.MUL, o, cell.do(B.TANH, c)), c


def _gru(cell: Cell, at: Direction, x: Sequence[int], h: int, c: int | None) -> tuple[int, int | None]:
    """``x`` holds update and reset in one, and the new state; ONNX's order of gates is the same."""
    n = at.hidden
    both = cell.do(B.LOGISTIC, cell.do(B.ADD, x[0], cell.times(h, at.r[: 2 * n])))
    z, r = split_even(cell.writer, both, 1, 2)
    if cell.node.attributes.get("linear_before_reset", 0):
        old = cell.do(B.MUL, r, cell.times(h, at.r[2 * n :], at.rb[2 * n :]))
    else:
        old = cell.times(cell.do(B.MUL, r, h), at.r[2 * n :])
    new = cell.do(B.TANH, cell.do(B.ADD, x[1], old))
    return cell.do(B.ADD, new, cell.do(B.MUL, z, cell.do(B.SUB, h, new))), c


def _rnn(cell: Cell, at: Direction, x: Sequence[int], h: int, c: int | None) -> tuple[int, int | None]:
    return cell.do(B.TANH, cell.do(B.ADD, x[0], cell.times(h, at.r))), c


_STEPS: Mapping[str, Step] = {"LSTM": _lstm, "GRU": _gru, "RNN": _rnn}


def _input_parts(node: Node, at: Direction) -> list[tuple[Array, Array]]:
    """Weights and bias of the input's products; biases of the state join them wherever they are only added."""
    n = at.hidden
    if node.op != "GRU":
        return [(at.w, at.wb + at.rb)]
    linear = bool(node.attributes.get("linear_before_reset", 0))
    last = at.wb[2 * n :] if linear else at.wb[2 * n :] + at.rb[2 * n :]
    return [(at.w[: 2 * n], at.wb[: 2 * n] + at.rb[: 2 * n]), (at.w[2 * n :], last)]


def recurrent(writer: Writer, node: Node) -> None:
    """Unroll a layer."""
    _require_plain(writer, node)
    rows = writer.shape(node.inputs[0])[1]
    x = writer.read(node.inputs[0])
    found = _directions(writer, node, rows)
    if len(found) == 2 and found[0].hidden <= MOST_JOINT:
        sequences, finals, cells = _run_joint(writer, node, x, found)
    else:
        runs = [_run(writer, node, at, _input_steps(writer, node, x, at)) for at in found]
        sequences, finals, cells = [r[0] for r in runs], [r[1] for r in runs], [r[2] for r in runs]
    outputs = [_stacked(writer, sequences, 1), _joined(writer, finals)]
    if node.op == "LSTM" and len(node.outputs) > 2 and node.outputs[2]:
        outputs.append(_joined(writer, [c for c in cells if c is not None]))
    for name, tensor in zip(node.outputs, outputs, strict=False):
        if name:
            writer.give(name, writer.reshape(tensor, writer.shape(name)))


def _input_steps(writer: Writer, node: Node, x: int, at: Direction) -> list[list[int]]:
    """The products of the input, one tensor for each step, in ONNX's order of time."""
    return [_unpacked(writer, fully_connected(writer, x, w, b)) for w, b in _input_parts(node, at)]


def _run(writer: Writer, node: Node, at: Direction, parts: list[list[int]]) -> tuple[int, int, int | None]:
    """All steps of one direction: the states of all, in ONNX's order of time, and the last ones."""
    cell, h, c, seen = Cell(writer, node), at.h, at.c, []
    steps = range(len(parts[0]))
    for step in reversed(steps) if at.reverse else steps:
        h, c = _STEPS[node.op](cell, at, [part[step] for part in parts], h, c)
        seen.append(h)
    return _joined(writer, list(reversed(seen)) if at.reverse else seen), h, c


def _run_joint(
    writer: Writer, node: Node, x: int, found: Sequence[Direction]
) -> tuple[list[int], list[int], list[int | None]]:
    """Both directions in the same operators: half as many steps, for products whose other half is zeros."""
    gates = _GATES[node.op]
    both = [_split_gates(node, at, gates) for at in found]
    groups = [[0, 1], [2]] if node.op == "GRU" else [list(range(gates))]
    sides = [x, _reversed(writer, x)]
    parts = []
    for group in groups:
        made = [fully_connected(writer, side, *both[d][gate]) for gate in group for d, side in enumerate(sides)]
        options = schema.ConcatenationOptionsT()
        options.axis = 2
        shape = (*writer.shape_of(made[0])[:2], sum(writer.shape_of(tensor)[2] for tensor in made))
        parts.append(_unpacked(writer, writer.op(B.CONCATENATION, made, shape, options=options)))
    sequence, h, c = _run(writer, node, _joint(writer, found, gates), parts)
    first, second = split_even(writer, sequence, 2, 2)
    finals, cells = split_even(writer, h, 1, 2), [None, None] if c is None else split_even(writer, c, 1, 2)
    return [first, _reversed(writer, second)], finals, list(cells)


def _split_gates(node: Node, at: Direction, gates: int) -> list[tuple[Array, Array]]:
    """Weights and bias of the input's products, gate by gate."""
    w, b = (np.concatenate(arrays) for arrays in zip(*_input_parts(node, at), strict=True))
    return list(zip(np.split(w, gates), np.split(b, gates), strict=True))


def _joint(writer: Writer, found: Sequence[Direction], gates: int) -> Direction:
    """One direction of twice the width: the weights of each gate stand on the diagonal."""
    one, other = found
    n = one.hidden
    r = np.zeros((gates, 2 * n, 2 * n), np.float32)
    r[:, :n, :n], r[:, n:, n:] = one.r.reshape(gates, n, n), other.r.reshape(gates, n, n)
    biases = [
        np.concatenate([a.reshape(gates, n), b.reshape(gates, n)], axis=1).reshape(-1)
        for a, b in ((one.wb, other.wb), (one.rb, other.rb))
    ]
    return Direction(
        w=one.w,
        r=r.reshape(gates * 2 * n, 2 * n),
        wb=biases[0],
        rb=biases[1],
        hidden=2 * n,
        h=_beside(writer, one.h, other.h),
        c=None if one.c is None or other.c is None else _beside(writer, one.c, other.c),
        reverse=False,
    )


def _beside(writer: Writer, one: int, other: int) -> int:
    known = writer.flat.arrays.get(one), writer.flat.arrays.get(other)
    if known[0] is not None and known[1] is not None:
        return writer.const(np.concatenate([known[0], known[1]], axis=1), name="state")
    rows, hidden = writer.shape_of(one)
    options = schema.ConcatenationOptionsT()
    options.axis = 1
    return writer.op(B.CONCATENATION, (one, other), (rows, 2 * hidden), options=options)


def _reversed(writer: Writer, tensor: int) -> int:
    """The other way in time. STRIDED_SLICE, because it can be quantized; REVERSE_V2 cannot."""
    shape = writer.shape_of(tensor)
    options = schema.StridedSliceOptionsT()
    options.beginMask = options.endMask = 0b111
    zeros = writer.const([0] * len(shape), "int32")
    strides = writer.const([-1, *(1,) * (len(shape) - 1)], "int32")
    return writer.op(B.STRIDED_SLICE, (tensor, zeros, zeros, strides), shape, options=options)


def _require_plain(writer: Writer, node: Node) -> None:
    steps = writer.shape(node.inputs[0])[0]
    if steps > MOST_STEPS:
        raise node.refuse(f"{steps} steps; at most {MOST_STEPS} are unrolled")
    lengths = writer.constant(node.input(4)) if node.input(4) else None
    if node.input(4) and (lengths is None or not (lengths == steps).all()):
        raise node.refuse("rows of different lengths")
    unusual = [name for name in ("clip", "input_forget", "layout") if node.attributes.get(name, 0)]
    if unusual or node.input(7):
        raise node.refuse(f"it uses {unusual[0] if unusual else 'peepholes'}")
    named = [kind.decode() for kind in node.attributes.get("activations", [])]
    directions = 2 if node.attributes.get("direction", b"forward") == b"bidirectional" else 1
    if named and named != _USUAL[node.op] * directions:
        raise node.refuse(f"activations {', '.join(named)}")


def _directions(writer: Writer, node: Node, rows: int) -> list[Direction]:
    kind = node.attributes.get("direction", b"forward").decode()
    hidden, gates = int(node.attributes["hidden_size"]), _GATES[node.op]
    w, r = writer.constant(node.inputs[1]), writer.constant(node.inputs[2])
    if w is None or r is None or (node.input(3) and writer.constant(node.inputs[3]) is None):
        raise node.refuse("its weights are computed")
    bias = writer.constant(node.inputs[3]) if node.input(3) else None
    found = []
    for index in range(w.shape[0]):
        both = np.zeros(2 * gates * hidden, np.float32) if bias is None else bias[index]
        states = [_state(writer, node, place, index, rows, hidden) for place in (5, 6)]
        found.append(
            Direction(
                w=w[index],
                r=r[index],
                wb=both[: gates * hidden],
                rb=both[gates * hidden :],
                hidden=hidden,
                h=states[0],
                c=states[1] if node.op == "LSTM" else None,
                reverse=kind == "reverse" or index == 1,
            )
        )
    return found


def _state(writer: Writer, node: Node, place: int, index: int, rows: int, hidden: int) -> int:
    """The state to begin with: zeros, or one direction of the input."""
    name = node.input(place)
    known = writer.constant(name) if name else np.zeros((index + 1, rows, hidden), np.float32)
    if known is not None:
        return writer.const(known[index], name="state")
    tensor = writer.read(name)
    if writer.shape(name)[0] > 1:
        operands = (tensor, writer.const([index, 0, 0], "int32"), writer.const([1, rows, hidden], "int32"))
        tensor = writer.op(B.SLICE, operands, (1, rows, hidden), options=schema.SliceOptionsT())
    return writer.reshape(tensor, (rows, hidden))


def _unpacked(writer: Writer, tensor: int) -> list[int]:
    """One tensor for each step."""
    steps, *rest = writer.shape_of(tensor)
    options = schema.UnpackOptionsT()
    options.num, options.axis = steps, 0
    return writer.ops(B.UNPACK, (tensor,), [rest] * steps, "float32", options)


def _joined(writer: Writer, tensors: Sequence[int]) -> int:
    """``(rows, hidden)`` tensors one over the other: ``(count, rows, hidden)``."""
    return _stacked(writer, tensors, 0)


def _stacked(writer: Writer, tensors: Sequence[int], axis: int) -> int:
    shape = list(writer.shape_of(tensors[0]))
    shape.insert(axis, len(tensors))
    if len(tensors) == 1:
        return writer.reshape(tensors[0], shape)
    options = schema.PackOptionsT()
    options.valuesCount, options.axis = len(tensors), axis
    return writer.op(B.PACK, tensors, shape, options=options)


HANDLERS: Mapping[str, Handler] = {"GRU": recurrent, "LSTM": recurrent, "RNN": recurrent}
