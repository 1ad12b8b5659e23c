"""Sums over axes, norms and softmax."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgehybrid.exporters.formats.litert.align import aligned
from edgehybrid.exporters.formats.litert.elementwise import Handler, arithmetic_options
from edgehybrid.exporters.formats.litert.fold import Node
from edgehybrid.exporters.formats.litert.writer import B, Order, Writer


def reduced(writer: Writer, code: int, tensor: int, places: Sequence[int], *, keep: bool = True) -> int:
    """Reduce a tensor over its own axes ``places``."""
    options = schema.ReducerOptionsT()
    options.keepDims = keep
    shape = writer.shape_of(tensor)
    left = [1 if place in places else n for place, n in enumerate(shape) if keep or place not in places]
    dtype = "float32" if writer.flat.tensors[tensor].type == schema.TensorType.FLOAT32 else "int32"
    return writer.op(code, (tensor, writer.const(sorted(places), "int32")), left, dtype, options)


def axes_of(writer: Writer, node: Node, rank: int) -> list[int]:
    """Axes that a reduction names, as attribute or input; all by default."""
    named = node.attributes.get("axes")
    if named is None and node.input(1):
        named = writer.numbers(node.inputs[1])
        if named is None:
            raise node.refuse("its axes are computed")
    if not named:
        return [] if node.attributes.get("noop_with_empty_axes", 0) else list(range(rank))
    return sorted(axis % rank for axis in named)


def reduction(code: int, before: int | None = None, after: int | None = None) -> Handler:
    """A reduction in whichever order the value exists, with an operator before and after it."""

    def handle(writer: Writer, node: Node) -> None:
        x, out = node.inputs[0], node.outputs[0]
        order = writer.held(x)
        tensor, axes = writer.read(x, order), axes_of(writer, node, len(order))
        dtype = writer.dtype(out)
        keep = bool(node.attributes.get("keepdims", 1))
        if before is not None:
            tensor = writer.op(before, (tensor,), writer.shape_of(tensor), dtype)
        if axes:
            tensor = reduced(writer, code, tensor, [order.index(axis) for axis in axes], keep=keep)
        if after is not None:
            tensor = writer.op(after, (tensor,), writer.shape_of(tensor), dtype)
        writer.give(out, tensor, order if keep else without(order, axes))

    return handle


def without(order: Order, axes: Sequence[int]) -> Order:
    """The order that is left when ``axes`` are gone."""
    left = [axis for axis in order if axis not in axes]
    return tuple(sorted(left).index(axis) for axis in left)


def log_sum_exp(writer: Writer, node: Node) -> None:
    """Around the largest, so that nothing overflows."""
    x, out = node.inputs[0], node.outputs[0]
    order = writer.held(x)
    tensor, axes = writer.read(x, order), axes_of(writer, node, len(order))
    places = [order.index(axis) for axis in axes]
    largest = reduced(writer, B.REDUCE_MAX, tensor, places)
    shape = writer.shape_of(tensor)
    apart = writer.op(B.SUB, (tensor, largest), shape, options=schema.SubOptionsT())
    total = reduced(writer, B.SUM, writer.op(B.EXP, (apart,), shape), places)
    logarithm = writer.op(B.LOG, (total,), writer.shape_of(total))
    tensor = writer.op(B.ADD, (logarithm, largest), writer.shape_of(total), options=schema.AddOptionsT())
    keep = bool(node.attributes.get("keepdims", 1))
    left = order if keep else without(order, axes)
    writer.give(out, writer.reshape(tensor, [writer.shape(out)[axis] for axis in left]), left)


def softmax(code: int, options: Callable[[], object]) -> Handler:
    """Over the last axis of the tensor: another one is moved there."""

    def handle(writer: Writer, node: Node) -> None:
        x = node.inputs[0]
        rank = len(writer.shape(x))
        axis = node.attributes.get("axis", -1) % rank
        held = writer.held(x)
        order = (*(a for a in held if a != axis), axis)
        tensor = writer.read(x, order)
        made = options()
        if isinstance(made, schema.SoftmaxOptionsT):
            made.beta = 1.0
        writer.give(node.outputs[0], writer.op(code, (tensor,), writer.shape_of(tensor), options=made), order)

    return handle


def arg(code: int, options: Callable[[], object]) -> Handler:
    """The place of the largest or smallest."""

    def handle(writer: Writer, node: Node) -> None:
        x, out = node.inputs[0], node.outputs[0]
        if node.attributes.get("select_last_index", 0):
            raise node.refuse("the last of equal ones is wanted")
        axis = node.attributes.get("axis", 0) % len(writer.shape(x))
        tensor = writer.read(x)
        shape = [n for place, n in enumerate(writer.shape(x)) if place != axis]
        made = options()
        made.outputType = schema.TensorType.INT32  # type: ignore[attr-defined]  # both kinds have it
        place = writer.op(code, (tensor, writer.const(axis, "int32")), shape, "int32", made)
        writer.give(out, writer.reshape(place, writer.shape(out), "int32"))

    return handle


def _normalized(writer: Writer, tensor: int, places: Sequence[int], epsilon: float) -> int:
    """Zero mean and unit variance over ``places``."""
    shape = writer.shape_of(tensor)
    mean = reduced(writer, B.MEAN, tensor, places)
    square = writer.op(B.SQUARED_DIFFERENCE, (tensor, mean), shape, options=schema.SquaredDifferenceOptionsT())
    variance = reduced(writer, B.MEAN, square, places)
    small = writer.shape_of(variance)
    shifted = writer.op(B.ADD, (variance, writer.const(np.float32(epsilon))), small, options=schema.AddOptionsT())
    inverse = writer.op(B.RSQRT, (shifted,), small)
    centred = writer.op(B.SUB, (tensor, mean), shape, options=schema.SubOptionsT())
    return writer.op(B.MUL, (centred, inverse), shape, options=schema.MulOptionsT())


def _scaled(writer: Writer, node: Node, tensor: int, rank: int, order: Order) -> int:
    """Times the second input, plus the third."""
    for code, name in ((B.MUL, node.input(1)), (B.ADD, node.input(2))):
        if name:
            operands = (tensor, aligned(writer, name, rank, order))
            tensor = writer.op(code, operands, writer.shape_of(tensor), options=arithmetic_options(code))
    return tensor


def layer_norm(writer: Writer, node: Node) -> None:
    """Over all axes from ``axis`` on."""
    if any(node.outputs[1:]):
        raise node.refuse("its mean or deviation is read")
    x = node.inputs[0]
    rank, order = len(writer.shape(x)), writer.held(x)
    axes = range(node.attributes.get("axis", -1) % rank, rank)
    places = [order.index(axis) for axis in axes]
    tensor = _normalized(writer, writer.read(x, order), places, node.attributes.get("epsilon", 1e-5))
    writer.give(node.outputs[0], _scaled(writer, node, tensor, rank, order), order)


def _per_channel(writer: Writer, node: Node, tensor: int, rank: int, order: Order, index: int, code: int) -> int:
    array = writer.constant(node.input(index))
    if array is None:
        raise node.refuse("its scales are computed")
    shaped = array.reshape(-1, *(1,) * (rank - 2)) if rank > 2 else array
    full = shaped.reshape((1,) * (rank - shaped.ndim) + shaped.shape).transpose(order)
    return writer.op(code, (tensor, writer.const(full)), writer.shape_of(tensor), options=arithmetic_options(code))


def instance_norm(writer: Writer, node: Node) -> None:
    """Over all axes but the first two."""
    x = node.inputs[0]
    rank, order = len(writer.shape(x)), writer.held(x)
    places = [place for place, axis in enumerate(order) if axis > 1]
    tensor = _normalized(writer, writer.read(x, order), places, node.attributes.get("epsilon", 1e-5))
    tensor = _per_channel(writer, node, tensor, rank, order, 1, B.MUL)
    writer.give(node.outputs[0], _per_channel(writer, node, tensor, rank, order, 2, B.ADD), order)


def group_norm(writer: Writer, node: Node) -> None:
    """As opset 21 has it: one scale for each channel."""
    x, out = node.inputs[0], node.outputs[0]
    shape, groups = writer.shape(x), int(node.attributes["num_groups"])
    scale = writer.constant(node.input(1))
    if scale is None or scale.size != shape[1]:
        raise node.refuse("it has one scale for each group, not for each channel")
    apart = writer.reshape(writer.read(x), (shape[0], groups, int(np.prod(shape[1:])) // groups))
    tensor = writer.reshape(_normalized(writer, apart, [2], node.attributes.get("epsilon", 1e-5)), shape)
    natural = tuple(range(len(shape)))
    tensor = _per_channel(writer, node, tensor, len(shape), natural, 1, B.MUL)
    writer.give(out, _per_channel(writer, node, tensor, len(shape), natural, 2, B.ADD))


def batch_norm(writer: Writer, node: Node) -> None:
    """What was not folded into a convolution: one product, one sum."""
    arrays = [writer.constant(node.input(index)) for index in range(1, 5)]
    if any(array is None for array in arrays) or any(node.outputs[1:]):
        raise node.refuse("its statistics are computed")
    scale, shift, mean, variance = (np.asarray(array, np.float64) for array in arrays)
    factor = scale / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
    x = node.inputs[0]
    rank, order = len(writer.shape(x)), writer.held(x)
    tensor = writer.read(x, order)
    for code, array in ((B.MUL, factor), (B.ADD, shift - mean * factor)):
        full = array.astype(np.float32).reshape((1, -1, *(1,) * (rank - 2))).transpose(order)
        operands = (tensor, writer.const(full))
        tensor = writer.op(code, operands, writer.shape_of(tensor), options=arithmetic_options(code))
    writer.give(node.outputs[0], tensor, order)


def global_pool(code: int) -> Handler:
    """The mean or the largest over all places."""

    def handle(writer: Writer, node: Node) -> None:
        x = node.inputs[0]
        order = writer.held(x)
        places = [place for place, axis in enumerate(order) if axis > 1]
        writer.give(node.outputs[0], reduced(writer, code, writer.read(x, order), places), order)

    return handle


HANDLERS: Mapping[str, Handler] = {
    "ArgMax": arg(B.ARG_MAX, schema.ArgMaxOptionsT),
    "ArgMin": arg(B.ARG_MIN, schema.ArgMinOptionsT),
    "BatchNormalization": batch_norm,
    "GlobalAveragePool": global_pool(B.MEAN),
    "GlobalMaxPool": global_pool(B.REDUCE_MAX),
    "GroupNormalization": group_norm,
    "InstanceNormalization": instance_norm,
    "LayerNormalization": layer_norm,
    "LogSoftmax": softmax(B.LOG_SOFTMAX, schema.LogSoftmaxOptionsT),
    "ReduceL1": reduction(B.SUM, before=B.ABS),
    "ReduceL2": reduction(B.SUM, before=B.SQUARE, after=B.SQRT),
    "ReduceLogSum": reduction(B.SUM, after=B.LOG),
    "ReduceLogSumExp": log_sum_exp,
    "ReduceMax": reduction(B.REDUCE_MAX),
    "ReduceMean": reduction(B.MEAN),
    "ReduceMin": reduction(B.REDUCE_MIN),
    "ReduceProd": reduction(B.REDUCE_PROD),
    "ReduceSum": reduction(B.SUM),
    "ReduceSumSquare": reduction(B.SUM, before=B.SQUARE),
    "Softmax": softmax(B.SOFTMAX, schema.SoftmaxOptionsT),
}
