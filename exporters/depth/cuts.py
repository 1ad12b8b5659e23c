"""Places where a model can be cut in two, so that an answer may leave in between.

A cut is a set of values, best of one, that everything behind it is computed from, together with inputs of the model and
what follows from their shapes. Rows leave a batch one by one, so the first axis of each value must be the batch; that
is not assumed but tried: the graph runs on batches of two lengths, and on one batch in reverse order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgehybrid.exporters.depth.flow import Flow
from edgehybrid.exporters.model import (
    LAYOUT_OPS,
    Component,
    Graph,
    find_sizes,
    locate,
    node_bytes,
    node_macs,
    trace,
)
from edgehybrid.exporters.rewrites import Probes
from edgehybrid.exporters.skip import Skip

LEAST_SHARE, LARGEST_SHARE = 0.05, 0.9
"""A cut with less or more of the cost before it saves nothing."""

MOST_VALUES = 3
"""Values that may cross a cut."""

_CLOSEST = 0.02  # share of the cost between two cuts
_RUN_BYTES = 50_000  # what the start of another session costs, as bytes that cross
_VALUE_BYTES = 10_000
_LAYOUT_FACTOR = 1.5  # rewrites move layout nodes, so that other variants may not have the cut
_BORDER_FACTOR = 0.7  # between components nothing is fused
_LARGEST_RANK = 4  # of what a layout node gives
_SAME = 1e-3  # of the largest number: float sums in another order stay below

_UNARY = frozenset(
    [
        *("Relu", "LeakyRelu", "PRelu", "ThresholdedRelu", "Elu", "Selu", "Celu", "Clip", "Sigmoid", "HardSigmoid"),
        *("HardSwish", "Swish", "Mish", "Gelu", "FastGelu", "QuickGelu", "BiasGelu", "Tanh", "Erf", "Softplus"),
        *("Softsign", "BatchNormalization", "InstanceNormalization", "Softmax", "Sqrt", "Reciprocal"),
    ]
)
_BINARY = frozenset({"Add", "Sum", "Sub", "Mul", "Div", "Pow", "Concat"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """A value that crosses a cut, and how to find it again in a graph that was made from this one.

    Attributes:
        value: Its name.
        node: The node that makes it.
        output: Which output of that node.
        readers: Nodes that read it, and as which input.
        shape: Batch first: its name, or 1 where the model takes one sample at a time.
        dtype: In the graph where it was found.
    """

    value: str
    node: str
    output: int
    readers: tuple[tuple[str, int], ...]
    shape: tuple[int | str, ...]
    dtype: str = "float32"

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        lengths = [axis for axis in self.shape[1:] if isinstance(axis, int)]
        return int(np.prod(lengths, dtype=np.int64)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A place where a model can be cut.

    Attributes:
        name: The node before it.
        component: Component of that node.
        values: What crosses.
        share: Share of the whole cost before it, 0 to 1.
        at_border: Whether another component begins behind it.
        exits: Outputs of the model that are computed before it and leave there; see ``named_exits``.
    """

    name: str
    component: str
    values: tuple[Crossing, ...]
    share: float
    at_border: bool = False
    exits: tuple[str, ...] = ()

    @property
    def row_bytes(self) -> int:
        """Bytes that cross for one row, in float."""
        return sum(value.row_bytes for value in self.values)

    @property
    def overhead(self) -> float:
        """An estimate of what the cut costs, as bytes to move; for the order only."""
        factor = _BORDER_FACTOR if self.at_border else 1.0
        return _RUN_BYTES + factor * (self.row_bytes + _VALUE_BYTES * (len(self.values) - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCuts:
    """Cuts, those of the least overhead first, and places that nearly were."""

    cuts: tuple[Cut, ...]
    skipped: tuple[Skip, ...] = ()


def find_cuts(
    graph: Graph,
    components: Sequence[Component],
    probes: Probes,
    *,
    costs: Mapping[str, float] | None = None,
    most: int = 8,
) -> FoundCuts:
    """Find places where ``graph`` can be cut.

    Args:
        graph: A float graph; rewritten rather than the user's own, so that what is cut is what will run.
        components: Components of the user's graph.
        probes: Inputs of two batch lengths; of one sample each where the batch is no free axis.
        costs: Node to cost in any unit, say from a ``TimeProfile``; by default from operations and bytes.
        most: Cuts wanted, at most, well spread over the cost.
    """
    if not probes:
        return FoundCuts(cuts=(), skipped=(Skip(where="inputs", why="without inputs of two lengths no axis is known"),))
    flow = Flow(graph.proto.graph)
    weights = dict(costs) if costs is not None else default_costs(graph, probes.first)
    places = [place for place in _places(flow, weights) if LEAST_SHARE <= place.share <= LARGEST_SHARE]
    owners = locate(graph, components)
    kept = [place for place in places if not _breaks(flow, place.values, owners)]
    rows = rows_of(graph, probes, {name for place in kept for name in place.values})
    near = [
        Skip(where=graph.proto.graph.node[place.index].name, why=why)
        for place in kept
        if (why := next((rows.whys[name] for name in place.values if name in rows.whys), ""))
    ]
    cuts = [_close(flow, place, rows, owners) for place in kept if not rows.whys.keys() & set(place.values)]
    return FoundCuts(cuts=_spread(flow, cuts, most), skipped=tuple(dict.fromkeys(near)))


def default_costs(graph: Graph, feeds: Mapping[str, NDArray[np.generic]]) -> dict[str, float]:
    """Cost of each node by its multiply-accumulates and the bytes it moves: the same on every machine."""
    sizes = find_sizes(graph, feeds)
    return {name: node_macs(node, sizes) + 2.0 * node_bytes(node, sizes) for name, node in sizes.nodes.items()}


@dataclass(frozen=True, slots=True)
class _Place:
    """A position in the order of the nodes, and the values that live there."""

    index: int
    values: tuple[str, ...]
    share: float


def _places(flow: Flow, costs: Mapping[str, float]) -> Iterator[_Place]:
    """Every position where few values live.

    Where one value separates a graph of one input, all nodes before it in the order are those that it is made of.
    """
    last = {name: max(flow.readers.get(name, (0,))) for name in flow.makers}
    last |= dict.fromkeys(flow.outputs & last.keys(), len(flow.reads))
    held = [0.0 if flow.free.issuperset(node.output) else costs.get(node.name, 0.0) for node in flow.graph.node]
    total, before = sum(held) or 1.0, 0.0
    live: dict[str, None] = {}
    for index, node in enumerate(flow.graph.node):
        before += held[index]
        live.update((name, None) for name in node.output if name and name not in flow.free and last[name] > index)
        for name in [name for name in live if last[name] <= index]:
            del live[name]
        if 0 < len(live) <= MOST_VALUES and not flow.free.issuperset(node.output):
            yield _Place(index=index, values=tuple(live), share=before / total)


def _breaks(flow: Flow, values: Iterable[str], owners: Mapping[str, Component]) -> bool:
    """Whether a cut there would divide what ONNX Runtime, a rewrite or a scheme makes one node of."""
    for name in values:
        readers = [flow.graph.node[index] for index in flow.readers.get(name, ())]
        paired = [node for node in readers if node.op_type in _BINARY]
        fixed = any(flow.free & set(node.input) for node in paired)
        if fixed or any(node.op_type in _UNARY for node in readers) or (paired and len(paired) == len(readers)):
            return True
        owner = owners.get(flow.graph.node[flow.makers[name]].name)
        if owner is not None and owner.family == "attention" and any(owners.get(n.name) is owner for n in readers):
            return True
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Values whose first axis is the batch, with their shapes and dtypes; and why others are not."""

    shapes: Mapping[str, tuple[int | str, ...]]
    dtypes: Mapping[str, str]
    whys: Mapping[str, str]


def rows_of(graph: Graph, probes: Probes, names: Iterable[str]) -> Rows:
    """Try which of ``names`` have one row for each row of the inputs, along axis 0.

    Two batches must give two lengths and the same rest; a reversed batch must give reversed rows.
    """
    wanted = sorted(set(names))
    reverse = {name: np.ascontiguousarray(array[::-1]) for name, array in probes.first.items()}
    first, second, turned = (trace(graph, feeds, wanted) for feeds in (probes.first, probes.second, reverse))
    sizes = tuple(next(iter(feeds.values())).shape[0] for feeds in (probes.first, probes.second))
    moved = {out for node in graph.proto.graph.node if node.op_type in LAYOUT_OPS for out in node.output}
    axis: int | str = sizes[0] if sizes[0] == sizes[1] else batch_axis(graph)
    whys: dict[str, str] = {}
    for name in wanted:
        a, b, c = (np.asarray(values[name]) for values in (first, second, turned))
        if sizes[0] == sizes[1] > 1:
            whys[name] = f"the model takes {sizes[0]} samples at once, so that none can leave alone"
        elif a.ndim < 2 or (a.shape[0], b.shape[0]) != sizes or a.shape[1:] != b.shape[1:]:
            whys[name] = f"its first axis is not the batch: shape {a.shape} for a batch of {sizes[0]}"
        elif a.ndim > _LARGEST_RANK and name in moved:
            whys[name] = "it is half way between two layouts"
        elif not _same(a[::-1], c):
            whys[name] = "its rows hang on each other"
    kept = [name for name in wanted if name not in whys]
    return Rows(
        shapes={name: (axis, *first[name].shape[1:]) for name in kept},
        dtypes={name: np.asarray(first[name]).dtype.name for name in kept},
        whys=whys,
    )


def batch_axis(graph: Graph) -> str:
    """Name of the free first axis of the inputs; ``batch`` if it has none."""
    for value in graph.proto.graph.input:
        dims = value.type.tensor_type.shape.dim
        if dims and dims[0].dim_param:
            return str(dims[0].dim_param)
    return "batch"


def _same(a: NDArray[np.generic], b: NDArray[np.generic]) -> bool:
    if a.dtype.kind != "f":
        return bool(np.array_equal(a, b))
    scale = float(np.abs(a).max(initial=0.0))
    return bool(np.allclose(a, b, rtol=0.0, atol=_SAME * scale, equal_nan=True))


def _close(flow: Flow, place: _Place, rows: Rows, owners: Mapping[str, Component]) -> Cut:
    name = flow.graph.node[place.index].name
    before, behind = (_around(flow, place.values, owners, up=up) for up in (True, False))
    return Cut(
        name=name,
        component=owners[name].name if name in owners else "",
        values=tuple(crossing(flow, value, rows) for value in place.values),
        share=place.share,
        at_border=not before & behind,
    )


def _around(flow: Flow, values: Iterable[str], owners: Mapping[str, Component], *, up: bool) -> set[str]:
    """Components next to ``values``, above or below; glue and layout in between are looked through."""
    found: set[str] = set()
    seen: set[int] = set()
    todo = list(values)
    while todo:
        value = todo.pop()
        near = [flow.makers[value]] if up and value in flow.makers else flow.readers.get(value, ()) if not up else ()
        for index in (index for index in near if index not in seen):
            seen.add(index)
            node = flow.graph.node[index]
            owner = owners.get(node.name)
            if owner is not None and owner.family != "glue" and node.op_type not in LAYOUT_OPS:
                found.add(owner.name)
            else:
                todo.extend(name for name in (flow.reads[index] if up else node.output) if name not in flow.free)
    return found


def crossing(flow: Flow, name: str, rows: Rows) -> Crossing:
    """Describe the value ``name`` so that it is found again."""
    maker = flow.graph.node[flow.makers[name]]
    readers = (flow.graph.node[index] for index in flow.readers.get(name, ()))
    return Crossing(
        value=name,
        node=maker.name,
        output=list(maker.output).index(name),
        readers=tuple((node.name, list(node.input).index(name)) for node in readers if name in node.input),
        shape=rows.shapes[name],
        dtype=rows.dtypes[name],
    )


def _spread(flow: Flow, cuts: Iterable[Cut], most: int) -> tuple[Cut, ...]:
    """The cheapest cut of each part of the cost, none close to another."""

    def price(cut: Cut) -> float:
        moved = flow.graph.node[flow.makers[cut.values[-1].value]].op_type in LAYOUT_OPS
        return cut.overhead * (_LAYOUT_FACTOR if moved else 1.0)

    width = (LARGEST_SHARE - LEAST_SHARE) / max(most, 1)
    best: dict[int, Cut] = {}
    for cut in cuts:
        part = min(int((cut.share - LEAST_SHARE) / width), most - 1)
        if part not in best or price(cut) < price(best[part]):
            best[part] = cut
    chosen: list[Cut] = []
    for cut in sorted(best.values(), key=price):
        if all(abs(cut.share - other.share) >= _CLOSEST for other in chosen):
            chosen.append(cut)
    return tuple(chosen)
