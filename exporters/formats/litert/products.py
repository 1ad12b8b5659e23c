"""Products of matrices: FULLY_CONNECTED with weights, BATCH_MATMUL without."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgehybrid.exporters.formats.litert.elementwise import Handler
from edgehybrid.exporters.formats.litert.fold import Node
from edgehybrid.exporters.formats.litert.writer import B, Order, Writer

Array = NDArray[Any]
NO_TENSOR = -1


def fully_connected(writer: Writer, tensor: int, weights: Array, bias: Array | None = None) -> int:
    """``tensor · weightsᵀ + bias`` over the last axis.

    Args:
        writer: Where to.
        tensor: Any shape ``(..., inputs)``.
        weights: Shape ``(outputs, inputs)``.
        bias: Shape ``(outputs,)``.
    """
    options = schema.FullyConnectedOptionsT()
    options.keepNumDims = True
    held = writer.const(weights, name=f"{writer.label};weights")
    added = NO_TENSOR if bias is None else writer.const(bias, name=f"{writer.label};bias")
    shape = (*writer.shape_of(tensor)[:-1], weights.shape[0])
    return writer.op(B.FULLY_CONNECTED, (tensor, held, added), shape, options=options)


def batch_matmul(writer: Writer, a: int, b: int, *, flip_b: bool = False) -> int:
    """``a · b`` of the last two axes; ``flip_b`` takes ``b`` transposed."""
    options = schema.BatchMatMulOptionsT()
    options.adjY = flip_b
    one, other = writer.shape_of(a), writer.shape_of(b)
    shape = (*np.broadcast_shapes(one[:-2], other[:-2]), one[-2], other[-2 if flip_b else -1])
    return writer.op(B.BATCH_MATMUL, (a, b), shape, options=options)


def matmul(writer: Writer, node: Node) -> None:
    """Weights on the right become FULLY_CONNECTED, and the leading axes may stand in any order."""
    a, b, out = *node.inputs[:2], node.outputs[0]
    scale = float(node.attributes.get("alpha", 1.0))
    if node.op == "FusedMatMul" and any(node.attributes.get(k, 0) for k in ("transA", "transBatchA", "transBatchB")):
        raise node.refuse("a transposed left side")
    flip = bool(node.attributes.get("transB", 0))
    weights, ranks = writer.constant(b), (len(writer.shape(a)), len(writer.shape(b)))
    if weights is not None and ranks[1] == 2 and ranks[0] > 1:
        held = writer.held(a)
        order = held if held[-1] == ranks[0] - 1 else tuple(range(ranks[0]))
        turned = weights if flip else weights.T
        tensor = fully_connected(writer, writer.read(a, order), turned * np.float32(scale))
        return writer.give(out, tensor, order)
    if min(ranks) < 2:
        return _with_vector(writer, node)
    tensor = _dynamic(writer, a, b, flip=flip)
    if scale != 1.0:
        operands = (tensor, writer.const(np.float32(scale)))
        tensor = writer.op(B.MUL, operands, writer.shape_of(tensor), options=schema.MulOptionsT())
    return writer.give(out, writer.reshape(tensor, writer.shape(out)))


def _dynamic(writer: Writer, a: str, b: str, *, flip: bool) -> int:
    """Both sides computed: the right one is taken transposed where that exists already."""
    rank = max(len(writer.shape(a)), len(writer.shape(b)))
    left, right = (_raised(writer, name, rank) for name in (a, b))
    natural = tuple(range(len(writer.shape(b))))
    turned: Order = (*natural[:-2], natural[-1], natural[-2])
    exists = writer.constant(b) is None and writer.cost(b, natural) > 0 and writer.cost(b, turned) == 0
    if exists:
        return batch_matmul(writer, left(None), right(turned), flip_b=not flip)
    return batch_matmul(writer, left(None), right(None), flip_b=flip)


def _raised(writer: Writer, name: str, rank: int):  # type: ignore[no-untyped-def]  # a closure, see its one user
    missing = rank - len(writer.shape(name))

    def read(order: Order | None) -> int:
        tensor = writer.read(name, order)
        return writer.reshape(tensor, ((1,) * missing) + writer.shape_of(tensor)) if missing else tensor

    return read


def _with_vector(writer: Writer, node: Node) -> None:
    """A vector is a matrix of one row or column."""
    a, b, out = *node.inputs[:2], node.outputs[0]
    left, right = writer.read(a), writer.read(b)
    if len(writer.shape(a)) == 1:
        left = writer.reshape(left, (1, *writer.shape(a)))
    if len(writer.shape(b)) == 1:
        right = writer.reshape(right, (*writer.shape(b), 1))
    rank = max(len(writer.shape_of(left)), len(writer.shape_of(right)))
    left, right = (
        writer.reshape(t, (1,) * (rank - len(writer.shape_of(t))) + writer.shape_of(t)) for t in (left, right)
    )
    writer.give(out, writer.reshape(batch_matmul(writer, left, right), writer.shape(out)))


def gemm(writer: Writer, node: Node) -> None:
    """``alpha·A·B + beta·C``."""
    a, b, out = *node.inputs[:2], node.outputs[0]
    alpha, beta = (np.float32(node.attributes.get(name, 1.0)) for name in ("alpha", "beta"))
    weights = writer.constant(b)
    bias = writer.constant(node.input(2)) if node.input(2) else None
    if node.input(2) and bias is None:
        raise node.refuse("its bias is computed")
    if weights is None:
        raise node.refuse("its weights are computed")
    order: Order = (1, 0) if node.attributes.get("transA", 0) else (0, 1)
    turned = weights if node.attributes.get("transB", 0) else weights.T
    outputs = turned.shape[0]
    flat = bias is None or (bias.size in (1, outputs) and bias.shape[-1:] in ((), (1,), (outputs,)))
    added = np.broadcast_to(bias.reshape(-1) * beta, (outputs,)) if bias is not None and flat else None
    tensor = fully_connected(writer, writer.read(a, order), turned * alpha, added)
    if bias is not None and not flat:
        operands = (tensor, writer.const(bias * beta))
        tensor = writer.op(B.ADD, operands, writer.shape_of(tensor), options=schema.AddOptionsT())
    writer.give(out, tensor)


def einsum(writer: Writer, node: Node) -> None:
    """Two operands whose shared indices are batches or summed over."""
    terms, _, result = node.attributes["equation"].decode().replace(" ", "").partition("->")
    sides = terms.split(",")
    if len(sides) != 2 or "." in terms or not result or any(len(set(side)) != len(side) for side in sides):
        raise node.refuse(f"the equation {node.attributes['equation'].decode()}")
    a, b = sides
    if lost := [i for side, other in ((a, b), (b, a)) for i in side if i not in other and i not in result]:
        raise node.refuse(f"index {lost[0]} is summed on one side")
    batch = [i for i in result if i in a and i in b]
    summed = [i for i in a if i in b and i not in result]
    free = [i for i in a if i not in b], [i for i in b if i not in a]
    lengths = {
        i: n
        for side, name in zip(sides, node.inputs, strict=True)
        for i, n in zip(side, writer.shape(name), strict=True)
    }

    def many(indices: Sequence[str]) -> int:
        return math.prod(lengths[i] for i in indices)

    left = writer.read(node.inputs[0], tuple(a.index(i) for i in (*batch, *free[0], *summed)))
    right = writer.read(node.inputs[1], tuple(b.index(i) for i in (*batch, *free[1], *summed)))
    left = writer.reshape(left, (many(batch), many(free[0]), many(summed)))
    right = writer.reshape(right, (many(batch), many(free[1]), many(summed)))
    made = batch_matmul(writer, left, right, flip_b=True)
    held = [*batch, *free[0], *free[1]]
    tensor = writer.reshape(made, [lengths[i] for i in held])
    writer.give(node.outputs[0], tensor, tuple(result.index(i) for i in held))


HANDLERS: Mapping[str, Handler] = {"Einsum": einsum, "FusedMatMul": matmul, "Gemm": gemm, "MatMul": matmul}
