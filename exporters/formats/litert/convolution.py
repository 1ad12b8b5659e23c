"""Convolutions, pools and resizing: channels last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgehybrid.exporters.formats.litert.elementwise import Handler
from edgehybrid.exporters.formats.litert.fold import Node
from edgehybrid.exporters.formats.litert.shaping import cut
from edgehybrid.exporters.formats.litert.windows import NHWC, Window, give_nhwc, padded, read_nhwc, window
from edgehybrid.exporters.formats.litert.writer import B, Writer

Array = NDArray[Any]


def _weights(writer: Writer, node: Node) -> tuple[Array, int]:
    """Weights with two places, and the bias (zeros where there is none)."""
    weights = writer.constant(node.inputs[1])
    bias = writer.constant(node.input(2)) if node.input(2) else None
    if weights is None or (node.input(2) and bias is None):
        raise node.refuse("its weights are computed")
    if weights.dtype != np.float32:
        raise node.refuse(f"weights of {weights.dtype}")
    if weights.ndim == 3:
        weights = weights[:, :, None, :]
    outputs = weights.shape[0] if node.op == "Conv" else weights.shape[1]
    zeros = np.zeros(outputs, np.float32)
    return weights, writer.const(zeros if bias is None else bias, name=f"{writer.label};bias")


def _out_shape(writer: Writer, name: str) -> tuple[int, ...]:
    shape = writer.shape(name)
    return (shape[0], *((1,) if len(shape) == 3 else ()), *shape[2:], shape[1])


def conv(writer: Writer, node: Node) -> None:
    """Depthwise where each channel has its own filters."""
    weights, bias = _weights(writer, node)
    x = read_nhwc(writer, node.inputs[0])
    groups = int(node.attributes.get("group", 1))
    size, channels = writer.shape(node.inputs[0])[2:], writer.shape(node.inputs[0])[1]
    at = window(node, writer.shape(node.inputs[1])[2:], size)
    x, padding = padded(writer, x, at)
    if groups == channels and groups > 1:
        options: Any = schema.DepthwiseConv2DOptionsT()
        options.depthMultiplier = weights.shape[0] // groups
        code, filters = B.DEPTHWISE_CONV_2D, weights.transpose(1, 2, 3, 0)
    else:
        options, code, filters = schema.Conv2DOptionsT(), B.CONV_2D, weights.transpose(0, 2, 3, 1)
    options.padding = padding
    options.strideH, options.strideW = at.strides
    options.dilationHFactor, options.dilationWFactor = at.dilations
    operands = (x, writer.const(filters, name=f"{writer.label};weights"), bias)
    give_nhwc(writer, node.outputs[0], writer.op(code, operands, _out_shape(writer, node.outputs[0]), options=options))


def conv_transpose(writer: Writer, node: Node) -> None:
    """The whole result, then what padding takes away is cut off."""
    weights, bias = _weights(writer, node)
    if int(node.attributes.get("group", 1)) != 1 or set(node.attributes.get("dilations", [1])) != {1}:
        raise node.refuse("groups or dilations")
    x = read_nhwc(writer, node.inputs[0])
    at = window(node, writer.shape(node.inputs[1])[2:], writer.shape(node.inputs[0])[2:])
    wanted = _out_shape(writer, node.outputs[0])
    full = [(n - 1) * s + k for n, s, k in zip(writer.shape_of(x)[1:3], at.strides, at.kernel, strict=True)]
    given = "output_shape" in node.attributes or node.attributes.get("auto_pad", b"NOTSET") != b"NOTSET"
    if given or any(first + n > whole for (first, _), n, whole in zip(at.pads, wanted[1:3], full, strict=True)):
        raise node.refuse("its output is longer than what it computes, or its shape is given")
    options = schema.TransposeConvOptionsT()
    options.padding = schema.Padding.VALID
    options.strideH, options.strideW = at.strides
    shape = (wanted[0], *full, wanted[3])
    filters = writer.const(weights.transpose(1, 2, 3, 0), name=f"{writer.label};weights")
    operands = (writer.const(list(shape), "int32"), filters, x, bias)
    made = writer.op(B.TRANSPOSE_CONV, operands, shape, options=options)
    starts = (0, at.pads[0][0], at.pads[1][0], 0)
    give_nhwc(writer, node.outputs[0], cut(writer, made, starts, wanted, "float32"))


def _pool_window(writer: Writer, node: Node) -> Window:
    size = writer.shape(node.inputs[0])[2:]
    at = window(node, node.attributes["kernel_shape"], size)
    if at.dilations != (1, 1) or any(node.outputs[1:]):
        raise node.refuse("dilations, or the places of the largest")
    wanted, held = _out_shape(writer, node.outputs[0])[1:3], (1, *size)[-2:]
    pads = []
    for n, out, k, s, (first, last) in zip(held, wanted, at.kernel, at.strides, at.pads, strict=True):
        pads.append((first, max(last, (out - 1) * s + k - n - first)))  # ceil_mode goes over the end
    return Window(kernel=at.kernel, strides=at.strides, dilations=at.dilations, pads=(pads[0], pads[1]))


def _pool_options(at: Window, padding: int) -> Any:
    options = schema.Pool2DOptionsT()
    options.padding = padding
    options.strideH, options.strideW = at.strides
    options.filterHeight, options.filterWidth = at.kernel
    return options


def max_pool(writer: Writer, node: Node) -> None:
    """Padding never wins."""
    at = _pool_window(writer, node)
    x, padding = padded(writer, read_nhwc(writer, node.inputs[0]), at, lowest=True)
    shape = _out_shape(writer, node.outputs[0])
    give_nhwc(writer, node.outputs[0], writer.op(B.MAX_POOL_2D, (x,), shape, options=_pool_options(at, padding)))


def average_pool(writer: Writer, node: Node) -> None:
    """SAME counts no padding; other padding is counted, and taken out again by a factor where it must not be."""
    at = _pool_window(writer, node)
    counted = bool(node.attributes.get("count_include_pad", 0))
    if node.attributes.get("ceil_mode", 0) and counted and at.is_padded:
        raise node.refuse("ceil_mode with padding that counts")
    x = read_nhwc(writer, node.inputs[0])
    size, shape = writer.shape_of(x)[1:3], _out_shape(writer, node.outputs[0])
    if counted and at.is_padded:
        x, padding = _written(writer, x, at)
    else:
        x, padding = padded(writer, x, at)
    made = writer.op(B.AVERAGE_POOL_2D, (x,), shape, options=_pool_options(at, padding))
    if at.is_padded and not counted and padding == schema.Padding.VALID:
        made = writer.op(B.MUL, (made, writer.const(_factor(at, size, shape))), shape, options=schema.MulOptionsT())
    give_nhwc(writer, node.outputs[0], made)


def _written(writer: Writer, tensor: int, at: Window) -> tuple[int, int]:
    shape = list(writer.shape_of(tensor))
    for axis, pair in enumerate(at.pads):
        shape[axis + 1] += sum(pair)
    operands = (tensor, writer.const([(0, 0), *at.pads, (0, 0)], "int32"))
    return writer.op(B.PAD, operands, shape, options=schema.PadOptionsT()), schema.Padding.VALID


def _factor(at: Window, size: tuple[int, ...], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Numbers in the window by numbers of the input in it, shape ``(1, height, width, 1)``."""
    counts = []
    for n, out, k, s, (first, _) in zip(size, shape[1:3], at.kernel, at.strides, at.pads, strict=True):
        begins = np.arange(out) * s - first
        counts.append(np.minimum(begins + k, n) - np.maximum(begins, 0))
    inside = counts[0][:, None] * counts[1][None, :]
    factor: NDArray[np.float32] = (at.kernel[0] * at.kernel[1] / inside).astype(np.float32)
    return factor[None, :, :, None]


def resize(writer: Writer, node: Node) -> None:
    """Nearest or linear, where both formats mean the same places."""
    x, out = node.inputs[0], node.outputs[0]
    shape, wanted = writer.shape(x), writer.shape(out)
    mode = node.attributes.get("mode", b"nearest").decode()
    places = node.attributes.get("coordinate_transformation_mode", b"half_pixel").decode()
    if len(shape) != 4 or shape[:2] != wanted[:2]:
        raise node.refuse("only height and width can change")
    code, options = {
        "nearest": (B.RESIZE_NEAREST_NEIGHBOR, schema.ResizeNearestNeighborOptionsT()),
        "linear": (B.RESIZE_BILINEAR, schema.ResizeBilinearOptionsT()),
    }.get(mode, (None, None))
    if code is None or places not in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"):
        raise node.refuse(f"mode {mode} with {places}")
    whole = all(n % m == 0 for n, m in zip(wanted[2:], shape[2:], strict=True))
    rounding = node.attributes.get("nearest_mode", b"round_prefer_floor").decode()
    if mode == "nearest" and (
        not whole or places == "align_corners" or (places == "asymmetric") != (rounding == "floor")
    ):
        raise node.refuse(f"nearest with {places} and {rounding}")
    options.halfPixelCenters = places in ("half_pixel", "pytorch_half_pixel")
    options.alignCorners = places == "align_corners"
    operands = (writer.read(x, NHWC), writer.const(list(wanted[2:]), "int32"))
    writer.give(out, writer.op(code, operands, [wanted[axis] for axis in NHWC], options=options), NHWC)


HANDLERS: Mapping[str, Handler] = {
    "AveragePool": average_pool,
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "MaxPool": max_pool,
    "Resize": resize,
}
