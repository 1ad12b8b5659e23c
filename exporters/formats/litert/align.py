"""Operands of one elementwise operator brought into one order of axes, with broadcasting as in ONNX."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgehybrid.exporters.formats.litert.writer import Order, Writer


def best_order(writer: Writer, names: Sequence[str], rank: int) -> Order:
    """The order of axes in which the fewest numbers have to be moved; ONNX's own among equals."""
    whole = [name for name in names if writer.value(name).rank == rank and writer.constant(name) is None]
    natural = tuple(range(rank))
    orders = dict.fromkeys([natural, *(order for name in whole for order in writer.value(name).forms)])
    return min(orders, key=lambda order: sum(writer.cost(name, order) for name in whole))


def aligned(writer: Writer, name: str, rank: int, order: Order) -> int:
    """A tensor of the value that broadcasts against others of ``rank`` axes in ``order``."""
    value = writer.value(name)
    if math.prod(value.shape) == 1 and value.constant is not None:
        return writer.const(value.constant.reshape(()), name=name)
    if value.rank == rank:
        return writer.read(name, order)
    missing = rank - value.rank
    shape = (1,) * missing + value.shape
    if value.constant is not None:
        return writer.const(np.ascontiguousarray(value.constant.reshape(shape).transpose(order)), name=name)
    own = tuple(axis - missing for axis in order if axis >= missing)
    return writer.reshape(writer.read(name, own), [shape[axis] for axis in order], value.dtype)
