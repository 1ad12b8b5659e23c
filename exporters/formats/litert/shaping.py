"""Operators that move numbers and compute none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgehybrid.exporters.formats.litert.elementwise import Handler
from edgehybrid.exporters.formats.litert.fold import Node
from edgehybrid.exporters.formats.litert.writer import B, Order, Writer


def reshape(writer: Writer, node: Node) -> None:
    """What comes out has the shape that was seen: all shapes are fixed."""
    tensor = writer.read(node.inputs[0])
    writer.give(node.outputs[0], writer.reshape(tensor, writer.shape(node.outputs[0]), writer.dtype(node.outputs[0])))


def transpose(writer: Writer, node: Node) -> None:
    """Nothing is written: the tensors that exist hold the result in other orders."""
    x, out = node.inputs[0], node.outputs[0]
    axes: Sequence[int] = node.attributes.get("perm") or tuple(reversed(range(len(writer.shape(x)))))
    for order in list(writer.value(x).forms) or [writer.value(x).natural]:
        writer.give(out, writer.read(x, order), tuple(list(axes).index(axis) for axis in order))


def squeeze(writer: Writer, node: Node) -> None:
    """Axes of length one go from whichever order exists."""
    x, out = node.inputs[0], node.outputs[0]
    shape, order = writer.shape(x), writer.held(x)
    axes = node.attributes.get("axes") or (writer.numbers(node.inputs[1]) if node.input(1) else None)
    gone = {axis % len(shape) for axis in axes} if axes else {axis for axis, n in enumerate(shape) if n == 1}
    left = [axis for axis in order if axis not in gone]
    tensor = writer.reshape(writer.read(x, order), [shape[axis] for axis in left], writer.dtype(out))
    writer.give(out, tensor, tuple(sorted(left).index(axis) for axis in left))


def unsqueeze(writer: Writer, node: Node) -> None:
    """New axes of length one stand before their neighbour."""
    x, out = node.inputs[0], node.outputs[0]
    shape = writer.shape(out)
    axes = node.attributes.get("axes") or writer.numbers(node.inputs[1])
    if axes is None:
        raise node.refuse("its axes are computed")
    new = sorted(axis % len(shape) for axis in axes)
    old = [axis for axis in range(len(shape)) if axis not in new]
    order = [old[axis] for axis in writer.held(x)]
    for axis in new:
        place = order.index(axis + 1) if axis + 1 in order else len(order)
        order.insert(place, axis)
    tensor = writer.reshape(writer.read(x, writer.held(x)), [shape[axis] for axis in order], writer.dtype(out))
    writer.give(out, tensor, tuple(order))


def concat(writer: Writer, node: Node) -> None:
    """Along the axis, wherever the common order has it."""
    out = node.outputs[0]
    rank = len(writer.shape(out))
    names = [name for name in node.inputs if math.prod(writer.shape(name))]
    orders = dict.fromkeys(
        [tuple(range(rank)), *(o for name in names if writer.constant(name) is None for o in writer.value(name).forms)]
    )
    order = min(orders, key=lambda o: sum(writer.cost(name, o) for name in names))
    options = schema.ConcatenationOptionsT()
    options.axis = order.index(node.attributes["axis"] % rank)
    shape = [writer.shape(out)[axis] for axis in order]
    tensors = [writer.read(name, order) for name in names]
    writer.give(out, writer.op(B.CONCATENATION, tensors, shape, writer.dtype(out), options), order)


def cut(writer: Writer, tensor: int, starts: Sequence[int], sizes: Sequence[int], dtype: str) -> int:
    """A box of a tensor; nothing is written where that is all of it."""
    if writer.shape_of(tensor) == tuple(sizes):
        return tensor
    operands = (tensor, writer.const(list(starts), "int32"), writer.const(list(sizes), "int32"))
    return writer.op(B.SLICE, operands, sizes, dtype, schema.SliceOptionsT())


def slice_(writer: Writer, node: Node) -> None:
    """``SLICE`` where every step is one, ``STRIDED_SLICE`` elsewhere."""
    x, out = node.inputs[0], node.outputs[0]
    shape, order, dtype = writer.shape(x), writer.held(x), writer.dtype(node.outputs[0])
    starts, ends = writer.numbers(node.inputs[1]), writer.numbers(node.inputs[2])
    if starts is None or ends is None:
        raise node.refuse("its ends are computed")
    axes = writer.numbers(node.input(3)) or list(range(len(starts)))
    steps = writer.numbers(node.input(4)) or [1] * len(starts)
    box = {axis % len(shape): slice(a, b, s) for axis, a, b, s in zip(axes, starts, ends, steps, strict=True)}
    ranges = [range(n)[box.get(axis, slice(None))] for axis, n in enumerate(shape)]
    if not all(ranges):
        raise node.refuse("nothing is left of it")
    firsts, sizes = [ranges[axis].start for axis in order], [len(ranges[axis]) for axis in order]
    tensor = writer.read(x, order)
    if all(piece.step == 1 or len(piece) == 1 for piece in ranges):
        return writer.give(out, cut(writer, tensor, firsts, sizes, dtype), order)
    options = schema.StridedSliceOptionsT()
    stops = [ranges[axis].stop for axis in order]
    options.endMask = sum(1 << place for place, stop in enumerate(stops) if stop < 0)  # -1 would mean the last one
    strides = [ranges[axis].step for axis in order]
    operands = (tensor, *(writer.const(numbers, "int32") for numbers in (firsts, stops, strides)))
    return writer.give(out, writer.op(B.STRIDED_SLICE, operands, sizes, dtype, options), order)


def split(writer: Writer, node: Node) -> None:
    """``SPLIT`` into equal parts, cuts elsewhere."""
    x = node.inputs[0]
    axis = node.attributes.get("axis", 0) % len(writer.shape(x))
    order, dtype = writer.held(x), writer.dtype(x)
    place, tensor = order.index(axis), writer.read(x, order)
    lengths = [writer.shape(name)[axis] for name in node.outputs]
    shapes = [[n if p != place else length for p, n in enumerate(writer.shape_of(tensor))] for length in lengths]
    if len(set(lengths)) == 1 and len(lengths) > 1:
        parts = split_even(writer, tensor, place, len(lengths), dtype)
    else:
        starts = [[0 if p != place else sum(lengths[:i]) for p in range(len(order))] for i in range(len(lengths))]
        parts = [cut(writer, tensor, start, shape, dtype) for start, shape in zip(starts, shapes, strict=True)]
    for name, part in zip(node.outputs, parts, strict=True):
        writer.give(name, part, order)


def split_even(writer: Writer, tensor: int, place: int, count: int, dtype: str = "float32") -> list[int]:
    """Cut a tensor into ``count`` equal parts along its own axis ``place``."""
    options = schema.SplitOptionsT()
    options.numSplits = count
    shape = list(writer.shape_of(tensor))
    shape[place] //= count
    return writer.ops(B.SPLIT, (writer.const(place, "int32"), tensor), [shape] * count, dtype, options)


def gather(writer: Writer, node: Node) -> None:
    """Known runs of places are cut out, others looked up; a negative place counts from the end."""
    x, indices, out = *node.inputs[:2], node.outputs[0]
    shape, dtype = writer.shape(x), writer.dtype(out)
    axis = node.attributes.get("axis", 0) % len(shape)
    known = writer.constant(indices)
    if known is not None and writer.constant(x) is None:
        places = np.where(known < 0, known + shape[axis], known).astype(np.int64)
        flat = places.reshape(-1)
        if flat.size and (np.diff(flat) == 1).all():
            return _gather_run(writer, x, out, axis, int(flat[0]), int(flat.size))
    options = schema.GatherOptionsT()
    options.axis = axis
    if known is not None:
        index = writer.const(np.where(known < 0, known + shape[axis], known).astype(np.int32))
    else:
        length = writer.const(shape[axis], "int32")
        held = writer.read(indices)
        index = writer.op(B.FLOOR_MOD, (held, length), writer.shape_of(held), "int32")
    made = writer.op(B.GATHER, (writer.read(x), index), writer.shape(out), dtype, options)
    return writer.give(out, made)


def _gather_run(writer: Writer, x: str, out: str, axis: int, first: int, count: int) -> None:
    order, shape, dtype = writer.held(x), writer.shape(x), writer.dtype(out)
    sizes = [count if a == axis else shape[a] for a in order]
    tensor = cut(writer, writer.read(x, order), [first if a == axis else 0 for a in order], sizes, dtype)
    if len(writer.shape(out)) == len(shape):
        return writer.give(out, tensor, order)
    if len(writer.shape(out)) == len(shape) - 1:
        left = [a for a in order if a != axis]
        tensor = writer.reshape(tensor, [shape[a] for a in left], dtype)
        return writer.give(out, tensor, tuple(sorted(left).index(a) for a in left))
    if order != tuple(range(len(shape))):
        tensor = writer.transpose(tensor, [order.index(a) for a in range(len(shape))], dtype)
    return writer.give(out, writer.reshape(tensor, writer.shape(out), dtype))


def pad(writer: Writer, node: Node) -> None:
    """With a constant, or mirrored."""
    x, out = node.inputs[0], node.outputs[0]
    shape, order, dtype = writer.shape(x), writer.held(x), writer.dtype(out)
    numbers = writer.numbers(node.inputs[1])
    if numbers is None:
        raise node.refuse("its widths are computed")
    axes = [axis % len(shape) for axis in writer.numbers(node.input(3)) or range(len(shape))]
    widths = {axis: (numbers[i], numbers[i + len(axes)]) for i, axis in enumerate(axes)}
    if any(n < 0 for pair in widths.values() for n in pair):
        raise node.refuse("it cuts")
    rows = writer.const([widths.get(axis, (0, 0)) for axis in order], "int32")
    mode = node.attributes.get("mode", b"constant").decode()
    value = writer.constant(node.input(2)) if node.input(2) else None
    operands: tuple[int, ...] = (writer.read(x, order), rows)
    if mode == "reflect":
        options = schema.MirrorPadOptionsT()
        options.mode = schema.MirrorPadMode.REFLECT
        code = B.MIRROR_PAD
    elif mode != "constant" or (node.input(2) and value is None):
        raise node.refuse(f"mode {mode}, or a value that is computed")
    elif value is None or not value.any():
        code, options = B.PAD, schema.PadOptionsT()
    else:
        code, options = B.PADV2, schema.PadV2OptionsT()
        operands = (*operands, writer.const(value.reshape(()), dtype))
    writer.give(out, writer.op(code, operands, [writer.shape(out)[a] for a in order], dtype, options), order)


def expand(writer: Writer, node: Node) -> None:
    """``BROADCAST_TO``; nothing where the shape stays."""
    x, out = node.inputs[0], node.outputs[0]
    shape, dtype = writer.shape(out), writer.dtype(out)
    tensor = writer.read(x)
    if math.prod(writer.shape(x)) == math.prod(shape):
        return writer.give(out, writer.reshape(tensor, shape, dtype))
    made = writer.op(B.BROADCAST_TO, (tensor, writer.const(list(shape), "int32")), shape, dtype)
    return writer.give(out, made)


def tile(writer: Writer, node: Node) -> None:
    """Repeats, which must be known."""
    x, out = node.inputs[0], node.outputs[0]
    repeats = writer.numbers(node.inputs[1])
    if repeats is None:
        raise node.refuse("its repeats are computed")
    operands = (writer.read(x), writer.const(repeats, "int32"))
    writer.give(out, writer.op(B.TILE, operands, writer.shape(out), writer.dtype(out), schema.TileOptionsT()))


def space(code: int) -> Handler:
    """Blocks of channels to places and back, in the order that both formats share."""

    def handle(writer: Writer, node: Node) -> None:
        x, out = node.inputs[0], node.outputs[0]
        if node.attributes.get("mode", b"DCR") != b"DCR":
            raise node.refuse("mode CRD")
        made = schema.DepthToSpaceOptionsT() if code == B.DEPTH_TO_SPACE else schema.SpaceToDepthOptionsT()
        made.blockSize = int(node.attributes["blocksize"])
        order: Order = (0, 2, 3, 1)
        shape = [writer.shape(out)[axis] for axis in order]
        writer.give(out, writer.op(code, (writer.read(x, order),), shape, writer.dtype(out), made), order)

    return handle


def cumsum(writer: Writer, node: Node) -> None:
    """Along a known axis."""
    x, out = node.inputs[0], node.outputs[0]
    axis = writer.numbers(node.inputs[1])
    if axis is None:
        raise node.refuse("its axis is computed")
    options = schema.CumsumOptionsT()
    options.exclusive = bool(node.attributes.get("exclusive", 0))
    options.reverse = bool(node.attributes.get("reverse", 0))
    operands = (writer.read(x), writer.const(axis[0] % len(writer.shape(x)), "int32"))
    writer.give(out, writer.op(B.CUMSUM, operands, writer.shape(out), writer.dtype(out), options))


def top_k(writer: Writer, node: Node) -> None:
    """The largest along the last axis, sorted."""
    x = node.inputs[0]
    count = writer.numbers(node.inputs[1])
    rank = len(writer.shape(x))
    last = node.attributes.get("axis", -1) % rank == rank - 1
    if count is None or not last or not node.attributes.get("largest", 1):
        raise node.refuse("only the largest along the last axis")
    shape = (*writer.shape(x)[:-1], count[0])
    values, places = (
        writer.flat.tensor(name, shape, dtype)
        for name, dtype in ((f"{writer.label};values", writer.dtype(x)), (f"{writer.label};places", "int32"))
    )
    operands = (writer.read(x), writer.const(count[0], "int32"))
    writer.flat.add(B.TOPK_V2, operands, (values, places), schema.TopKV2OptionsT())
    for name, tensor in zip(node.outputs, (values, places), strict=False):
        if name:
            writer.give(name, tensor)


HANDLERS: Mapping[str, Handler] = {
    "Concat": concat,
    "CumSum": cumsum,
    "DepthToSpace": space(B.DEPTH_TO_SPACE),
    "Expand": expand,
    "Flatten": reshape,
    "Gather": gather,
    "Pad": pad,
    "Reshape": reshape,
    "Slice": slice_,
    "SpaceToDepth": space(B.SPACE_TO_DEPTH),
    "Split": split,
    "Squeeze": squeeze,
    "Tile": tile,
    "TopK": top_k,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
