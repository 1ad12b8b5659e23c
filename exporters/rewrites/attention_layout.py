"""Where each number of a projection goes: found by sending counting numbers through the graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgehybrid.exporters.model import LAYOUT_OPS, Graph, array_of, trace
from edgehybrid.exporters.rewrites.attention_parts import Parts, Projection
from edgehybrid.exporters.rewrites.protocol import Probes

Array = NDArray[np.generic]
Indices = NDArray[np.int64]
_LARGEST = 2**24  # a float32 counts exactly up to here


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """How queries, keys or values are cut from their projection.

    Attributes:
        projection: Where they come from.
        columns: Which columns of the projection, sorted by head, shape ``(width,)``.
        batch_first: Whether rows run over the sequence fastest.
        input_rank: Rank of the projection's input.
    """

    projection: Projection
    columns: tuple[int, ...]
    batch_first: bool
    input_rank: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """How heads are cut.

    Attributes:
        count: Number of heads.
        length: Length of the sequence of queries.
        other: Length of the sequence of keys and values.
        width: Heads times size, of queries and keys.
        out_width: The same of values.
        folded: Whether batch and heads are one axis in the products.
        roles: Of queries, keys, values; ``None`` if they do not all come from projections.
        why: Why not.
    """

    count: int
    length: int
    other: int
    width: int
    out_width: int
    folded: bool
    roles: tuple[Role, Role, Role] | None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """The value after the last layout node that keeps vectors whole, its rank, and the order of its rows."""

    value: ir.Value
    rank: int
    batch_first: bool


def find_heads(graph: Graph, parts: Parts, probes: Probes) -> Heads | str:
    """Find the layout on both probes; it must be the same."""
    sizes = [_sizes(graph, parts, feeds) for feeds in (probes.first, probes.second)]
    for item in sizes:
        if isinstance(item, str):
            return item
    if sizes[0] != sizes[1]:
        return "its lengths depend on the batch"
    count, length, other, width, out_width, folded = (int(number) for number in sizes[0])
    found = [_roles(graph, parts, feeds) for feeds in (probes.first, probes.second)]
    if found[0] != found[1]:
        found = ["its layout depends on the batch"] * 2
    first = found[0]
    why, roles = (first, None) if isinstance(first, str) else ("", first)
    return Heads(
        count=count,
        length=length,
        other=other,
        width=width,
        out_width=out_width,
        folded=bool(folded),
        roles=roles,
        why=why,
    )


def _sizes(graph: Graph, parts: Parts, feeds: Mapping[str, Array]) -> tuple[int, ...] | str:
    shapes = [value.shape for value in _traced(graph, feeds, parts.operands)]
    folded = all(len(shape) == 3 for shape in shapes)
    if folded:
        count = _folded(graph, parts, feeds)
        if not count or any(shape[0] % count for shape in shapes):
            return "its heads are no axis of their own"
        shapes = [(shape[0] // count, count, *shape[1:]) for shape in shapes]
    if any(len(shape) != 4 for shape in shapes):
        return "its heads are no axis of their own"
    q, k, v = shapes
    k = (k[0], k[1], k[3], k[2]) if parts.turned else k
    if len({shape[:2] for shape in (q, k, v)}) != 1 or k[2] != v[2] or q[3] != k[3]:
        return "queries and keys differ in heads"
    return q[1], q[2], k[2], q[1] * q[3], q[1] * v[3], folded


def _folded(graph: Graph, parts: Parts, feeds: Mapping[str, Array]) -> int:
    """Number of heads where batch and heads are one axis: how many of the first matrices come from the same rows."""
    q = parts.projections[0]
    if q is None:
        return 0
    moved = _counted(graph, parts, feeds, (q,))
    if isinstance(moved, str):
        return 0
    rows = moved[0] // q.w.shape[1]
    return int((rows == rows[:1]).all(axis=(1, 2)).sum())


def _traced(graph: Graph, feeds: Mapping[str, Array], values: tuple[ir.Value, ...]) -> list[Array]:
    """The numbers of ``values``; constants and inputs of the graph included."""
    seen = {**trace(graph, feeds, list(dict.fromkeys(str(value.name) for value in values))), **feeds}
    arrays = (seen.get(str(value.name), array_of(value)) for value in values)
    return [np.zeros(0) if array is None else array for array in arrays]


def _roles(graph: Graph, parts: Parts, feeds: Mapping[str, Array]) -> tuple[Role, Role, Role] | str:
    projections = [p for p in parts.projections if p is not None]
    if len(projections) != 3:
        role = ("queries", "keys", "values")[parts.projections.index(None)]
        return f"its {role} come from no product with constant weights"
    if parts.factors[2] != 1.0:
        return "its values are scaled"
    inputs = [array.ndim for array in _traced(graph, feeds, tuple(p.x for p in projections))]
    moved = _counted(graph, parts, feeds, tuple(projections))
    if isinstance(moved, str):
        return moved
    found: list[Role] = []
    for place, (projection, indices) in enumerate(zip(projections, moved, strict=True)):
        if indices.ndim == 3:
            count = _folded(graph, parts, feeds)
            indices = indices.reshape(-1, count, *indices.shape[1:])
        indices = indices.transpose(0, 1, 3, 2) if place == 1 and parts.turned else indices
        layout = _columns(indices, projection.w.shape[1])
        if layout is None or inputs[place] not in (2, 3):
            return "its numbers are not cut into heads row by row"
        found.append(Role(projection=projection, columns=layout[0], batch_first=layout[1], input_rank=inputs[place]))
    return found[0], found[1], found[2]


def _counted(
    graph: Graph, parts: Parts, feeds: Mapping[str, Array], projections: tuple[Projection, ...]
) -> list[Indices] | str:
    """Operands when each of the ``projections`` counts: which number of the projection is where."""
    results = tuple(projection.result for projection in projections)
    shapes = [array.shape for array in _traced(graph, feeds, results)]
    if any(np.prod(shape) >= _LARGEST for shape in shapes):
        return "its projection is too large to try"
    counting: dict[str, Array] = {
        str(value.name): np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        for value, shape in zip(results, shapes, strict=True)
    }
    names = [str(value.name) for value in parts.operands[: len(projections)]]
    moved = {**counting, **trace(graph, feeds, [name for name in names if name not in counting], cuts=counting)}
    numbers = (moved[name].astype(np.float64) / factor for name, factor in zip(names, parts.factors, strict=False))
    return [np.rint(array).astype(np.int64) for array in numbers]


def _columns(indices: Indices, width: int) -> tuple[tuple[int, ...], bool] | None:
    """Columns by head, and whether rows are batch first, of ``indices`` with axes batch, head, position, feature."""
    batch, heads, length, size = indices.shape
    rows, columns = indices // width, indices % width
    if (columns != columns[:1, :, :1, :]).any():
        return None
    b, s = np.arange(batch)[:, None, None, None], np.arange(length)[None, None, :, None]
    for order, expected in ((True, b * length + s), (False, s * batch + b)):
        if (rows == expected).all():
            return tuple(columns[0, :, 0, :].reshape(heads * size).tolist()), order
    return None


def find_output(graph: Graph, parts: Parts, heads: Heads, probes: Probes) -> Output | str:
    """Follow the result through layout nodes to where vectors are whole again."""
    chain = [parts.anchor.outputs[0]]
    while (
        len(users := [u for u, _ in chain[-1].uses() if u.op_type != "Shape"]) == 1
        and users[0].op_type in LAYOUT_OPS
        and not chain[-1].is_graph_output()
    ):
        chain.append(users[0].outputs[0])
    best: list[Output | None] = []
    for feeds in (probes.first, probes.second):
        start = str(chain[0].name)
        shape = trace(graph, feeds, [start])[start].shape
        batch = shape[0] // heads.count if heads.folded else shape[0]
        apart = (batch, heads.count, heads.length, heads.out_width // heads.count)
        if shape != ((batch * heads.count, *apart[2:]) if heads.folded else apart):
            return "its result is not cut into heads as its queries are"
        counting = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        names = [str(value.name) for value in chain[1:]]
        moved = {start: counting, **trace(graph, feeds, names, cuts={start: counting})}
        whole = counting.reshape(apart).transpose(0, 2, 1, 3).reshape(batch, heads.length, heads.out_width)
        found = (_output(value, moved[str(value.name)], whole) for value in reversed(chain))
        best.append(next((item for item in found if item is not None), None))
    if best[0] is None or best[0] != best[1]:
        return "its heads are not joined again in one place"
    return best[0]


def _output(value: ir.Value, array: Array, whole: Array) -> Output | None:
    width = whole.shape[-1]
    if array.ndim not in (2, 3) or array.shape[-1] != width or array.size != whole.size:
        return None
    for order, expected in ((True, whole), (False, whole.transpose(1, 0, 2))):
        same_shape = array.ndim == 2 or array.shape == expected.shape
        if same_shape and np.array_equal(array.reshape(-1, width), expected.reshape(-1, width)):
            return Output(value=value, rank=array.ndim, batch_first=order)
    return None
