"""Padding of windows: what ONNX says in numbers, TFLite in the words SAME and VALID."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgehybrid.exporters.formats.litert.fold import Node
from edgehybrid.exporters.formats.litert.writer import B, Order, Writer

NHWC: Order = (0, 2, 3, 1)
_LOWEST = float(np.finfo(np.float32).min)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A window over height and width; a missing height is one of length one."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[tuple[int, int], tuple[int, int]]  # (begin, end) of each axis

    @property
    def is_padded(self) -> bool:
        """Whether there is any padding."""
        return any(n for pair in self.pads for n in pair)

    def is_same(self, size: Sequence[int]) -> bool:
        """Whether these pads are those that SAME would choose for an input of ``size``."""
        wanted = []
        for n, k, s, d in zip(size, self.kernel, self.strides, self.dilations, strict=True):
            total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
            wanted.append((total // 2, total - total // 2))
        return tuple(wanted) == self.pads


def window(node: Node, kernel: Sequence[int], size: Sequence[int]) -> Window:
    """Read the window of a node.

    Args:
        node: Convolution or pool.
        kernel: One or two lengths.
        size: Lengths of the input over which it moves.
    """
    rank = len(kernel)
    strides = list(node.attributes.get("strides") or [1] * rank)
    dilations = list(node.attributes.get("dilations") or [1] * rank)
    pads = list(node.attributes.get("pads") or [0] * 2 * rank)
    kind = node.attributes.get("auto_pad", b"NOTSET").decode()
    pairs = [(pads[i], pads[i + rank]) for i in range(rank)]
    if kind in ("SAME_UPPER", "SAME_LOWER"):
        pairs = []
        for n, k, s, d in zip(size, kernel, strides, dilations, strict=True):
            total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
            small, large = total // 2, total - total // 2
            pairs.append((small, large) if kind == "SAME_UPPER" else (large, small))
    if any(n < 0 for pair in pairs for n in pair):
        raise node.refuse("negative padding")
    if rank == 1:
        kernel, strides, dilations, pairs = [1, *kernel], [1, *strides], [1, *dilations], [(0, 0), *pairs]
    if rank > 2:
        raise node.refuse(f"a window over {rank} axes")
    return Window(
        kernel=(kernel[0], kernel[1]),
        strides=(strides[0], strides[1]),
        dilations=(dilations[0], dilations[1]),
        pads=(pairs[0], pairs[1]),
    )


def read_nhwc(writer: Writer, name: str) -> int:
    """The value with channels last, and a height of one where it has none."""
    shape = writer.shape(name)
    if len(shape) == 4:
        return writer.read(name, NHWC)
    if len(shape) != 3:
        raise writer.refuse(f"an input of {len(shape)} axes")
    return writer.reshape(writer.read(name, (0, 2, 1)), (shape[0], 1, shape[2], shape[1]))


def give_nhwc(writer: Writer, name: str, tensor: int) -> None:
    """Say that ``tensor``, channels last, holds the value called ``name``."""
    shape = writer.shape(name)
    if len(shape) == 4:
        return writer.give(name, tensor, NHWC)
    flat = writer.reshape(tensor, (shape[0], shape[2], shape[1]))
    if flat != tensor and tensor in writer.flat.maker:
        writer.flat.maker[flat] = writer.flat.maker[tensor]  # nobody else sees what lies between
    return writer.give(name, flat, (0, 2, 1))


def padded(writer: Writer, tensor: int, at: Window, *, lowest: bool = False) -> tuple[int, int]:
    """The tensor to run over, and whether that is SAME or VALID; padding that is neither is written out."""
    size = writer.shape_of(tensor)[1:3]
    if not at.is_padded:
        return tensor, schema.Padding.VALID
    if at.is_same(size):
        return tensor, schema.Padding.SAME
    shape = list(writer.shape_of(tensor))
    for axis, pair in enumerate(at.pads):
        shape[axis + 1] += sum(pair)
    rows = writer.const([(0, 0), *at.pads, (0, 0)], "int32")
    if lowest:
        operands = (tensor, rows, writer.const(np.float32(_LOWEST)))
        return writer.op(B.PADV2, operands, shape, options=schema.PadV2OptionsT()), schema.Padding.VALID
    return writer.op(B.PAD, (tensor, rows), shape, options=schema.PadOptionsT()), schema.Padding.VALID
