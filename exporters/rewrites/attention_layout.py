"""Where each number of a projection goes: found by sending counting numbers through the graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgehybrid.exporters.model import LAYOUT_OPS, Graph, trace
from edgehybrid.exporters.rewrites.attention_parts import Parts
from edgehybrid.exporters.rewrites.protocol import Probes

Indices = NDArray[np.int64]
_LARGEST = 2**24  # a float32 counts exactly up to here


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """How heads are cut from the projections.

    Attributes:
        count: Number of heads.
        length: Length of the sequence.
        width: Heads times size.
        columns: For queries, keys, values: which columns of the projection, sorted by head, shape ``(width,)``.
        batch_first: Whether rows run over the sequence fastest.
        input_rank: Rank of the projection's input.
    """

    count: int
    length: int
    width: int
    columns: tuple[Indices, Indices, Indices]
    batch_first: bool
    input_rank: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """The value after the last layout node that keeps vectors whole, its rank, and the order of its rows."""

    value: ir.Value
    rank: int
    batch_first: bool


def find_heads(graph: Graph, parts: Parts, probes: Probes) -> Heads | str:
    """Find the layout on both probes; it must be the same, and each head's columns the same in every row."""
    seen = [_heads(graph, parts, feeds) for feeds in (probes.first, probes.second)]
    for item in seen:
        if isinstance(item, str):
            return item
    first, second = (item for item in seen if not isinstance(item, str))
    same = first.batch_first == second.batch_first and first.length == second.length
    if not same or any((a != b).any() for a, b in zip(first.columns, second.columns, strict=True)):
        return "its layout depends on the batch"
    return first


def _heads(graph: Graph, parts: Parts, feeds: Mapping[str, NDArray[np.generic]]) -> Heads | str:
    results = {str(p.result.name) for p in parts.projections}
    x_name = str(parts.projections[0].x.name)
    shapes = {name: value.shape for name, value in trace(graph, feeds, {*results, x_name}).items()}
    shapes.setdefault(x_name, getattr(feeds.get(x_name), "shape", ()))
    if any(np.prod(shapes[name]) >= _LARGEST for name in results):
        return "its projection is too large to try"
    counting = {n: np.arange(np.prod(shapes[n]), dtype=np.float32).reshape(shapes[n]) for n in results}
    names = [str(value.name) for value in parts.operands]
    moved = trace(graph, feeds, names, cuts=counting)
    found: list[tuple[Indices, bool]] = []
    length = count = 0
    for name, factor, projection, is_keys in zip(
        names, parts.factors, parts.projections, (False, True, False), strict=True
    ):
        array = moved[name] if name in moved else counting[name]
        if array.ndim != 4:
            return "its heads are no axis of their own"
        indices = np.rint(array.astype(np.float64) / factor).astype(np.int64)
        indices = indices.transpose(0, 1, 3, 2) if is_keys else indices
        layout = _columns(indices, projection.w.shape[1])
        if layout is None:
            return "its numbers are not cut into heads row by row"
        found.append(layout)
        if (length and indices.shape[2] != length) or (count and indices.shape[1] != count):
            return "queries and keys differ in length or heads"
        count, length = indices.shape[1], indices.shape[2]
    if len({order for _, order in found}) != 1:
        return "queries, keys and values differ in layout"
    widths = {len(columns) for columns, _ in found}
    if len(widths) != 1:
        return "queries and values differ in width"
    return Heads(
        count=count,
        length=length,
        width=widths.pop(),
        columns=(found[0][0], found[1][0], found[2][0]),
        batch_first=found[0][1],
        input_rank=len(shapes[x_name]),
    )


def _columns(indices: Indices, width: int) -> tuple[Indices, bool] | None:
    """Columns by head, and whether rows are batch first, of ``indices`` with axes batch, head, position, feature."""
    batch, heads, length, size = indices.shape
    rows, columns = indices // width, indices % width
    if (columns != columns[:1, :, :1, :]).any():
        return None
    b, s = np.arange(batch)[:, None, None, None], np.arange(length)[None, None, :, None]
    for order, expected in ((True, b * length + s), (False, s * batch + b)):
        if (rows == expected).all():
            return columns[0, :, 0, :].reshape(heads * size), order
    return None


def find_output(graph: Graph, parts: Parts, heads: Heads, probes: Probes) -> Output | str:
    """Follow the result through layout nodes to where vectors are whole again."""
    chain = [parts.anchor.outputs[0]]
    while (
        len(users := [u for u, _ in chain[-1].uses() if u.op_type != "Shape"]) == 1 and users[0].op_type in LAYOUT_OPS
    ):
        chain.append(users[0].outputs[0])
    best: list[Output | None] = []
    for feeds in (probes.first, probes.second):
        start = str(chain[0].name)
        shape = trace(graph, feeds, [start])[start].shape
        batch = shape[0]
        if shape != (batch, heads.count, heads.length, heads.width // heads.count):
            return "its result is not cut into heads as its queries are"
        counting = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        names = [str(value.name) for value in chain[1:]]
        moved = trace(graph, feeds, names, cuts={start: counting})
        whole = counting.transpose(0, 2, 1, 3).reshape(batch, heads.length, heads.width)
        found = (_output(value, moved[str(value.name)], whole) for value in reversed(chain[1:]))
        best.append(next((item for item in found if item is not None), None))
    if best[0] is None or best[0] != best[1]:
        return "its heads are not joined again in one place"
    return best[0]


def _output(value: ir.Value, array: NDArray[np.generic], whole: NDArray[np.generic]) -> Output | None:
    width = whole.shape[-1]
    if array.ndim not in (2, 3) or array.shape[-1] != width or array.size != whole.size:
        return None
    for order, expected in ((True, whole), (False, whole.transpose(1, 0, 2))):
        same_shape = array.ndim == 2 or array.shape == expected.shape
        if same_shape and np.array_equal(array.reshape(-1, width), expected.reshape(-1, width)):
            return Output(value=value, rank=array.ndim, batch_first=order)
    return None
