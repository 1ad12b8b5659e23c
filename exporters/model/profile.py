"""Where the time goes: ONNX Runtime's own profile, mapped back to the nodes of the user's graph.

ONNX Runtime times the nodes that are left after its fusions. It also writes down the graph that it made, where a fused
node still makes a value of the user's graph, or feeds a node that does: so its time finds a home.
"""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from edgehybrid.exporters.inspection import Move
from edgehybrid.exporters.model.graph import LAYOUT_OPS, SHAPE_OPS, Graph
from edgehybrid.exporters.model.probe import open_session

_COPIES = frozenset({"ReorderInput", "ReorderOutput", "Concat", "MemcpyToHost", "MemcpyFromHost"})
MOVES = LAYOUT_OPS | SHAPE_OPS | _COPIES
"""Operators that compute no number: they move, copy, convert or measure data."""

_INPUT, _OUTPUT = "input", "output"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeProfile:
    """Share of the time, 0 to 1, as ONNX Runtime runs the graph (its own fusions on).

    Attributes:
        by_node: Node name to share; a fused node counts for one of the nodes that it replaced.
        by_op: Operator to share.
        no_arithmetic: Share of operators that only move or shape data.
        unknown: Share that belongs to no node of the user's graph.
        moves: What ``no_arithmetic`` consists of, dearest first.
    """

    by_node: Mapping[str, float]
    by_op: Mapping[str, float]
    no_arithmetic: float
    unknown: float
    moves: tuple[Move, ...] = ()


def profile(graph: Graph, feeds: Mapping[str, NDArray[np.generic]], runs: int = 20) -> TimeProfile:
    """Run ``graph`` ``runs`` times and share out the time; the mean of the middle half of each kernel's runs counts."""
    with tempfile.TemporaryDirectory(prefix="edgehybrid-") as folder:
        optimized = Path(folder) / "optimized.onnx"
        session = open_session(graph.proto, profile_prefix=str(Path(folder) / "p"), save_to=str(optimized))
        for _ in range(runs):
            session.run(None, dict(feeds))
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        ran = onnx.load(optimized).graph
    durations: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            name = event["name"].removesuffix("_kernel_time")
            durations[name, event["args"].get("op_name", "?")].append(float(event["dur"]))
    return _share(_Places(graph, ran), {key: _middle(values) for key, values in durations.items()})


def _middle(values: list[float]) -> float:
    """Mean of the middle half: durations come in whole microseconds, so that a median would be coarse."""
    quarter = len(values) // 4
    return float(np.mean(sorted(values)[quarter : len(values) - quarter]))


def _stems(name: str) -> Iterator[str]:
    """What the name of a kernel may come from: fusions put ``/Name/`` or ``_nchwc`` behind a node or an output."""
    yield name
    yield name.removesuffix("_nchwc")
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name


class _Places:
    """Where the nodes that ran stand in the user's graph."""

    def __init__(self, graph: Graph, ran: onnx.GraphProto) -> None:
        nodes = graph.proto.graph.node
        self._known = {name: node.name for node in nodes for name in node.output if name}
        self._known |= {node.name: node.name for node in nodes}
        self._own = {name: node.name for node in nodes for name in node.output if name}
        self.ran = {node.name: node for node in ran.node}
        self._makers = {name: node for node in ran.node for name in node.output if name}
        self._readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in ran.node:
            for name in dict.fromkeys(node.input):
                self._readers[name].append(node)

    def is_outer(self, kernel: str) -> bool:
        """Whether ``kernel`` runs in the outer graph; what runs in a body is in the time of the node that holds it."""
        return not self.ran or kernel in self.ran

    def home(self, kernel: str) -> str | None:
        """The node of the user's graph that ``kernel`` counts for: by its name, by what it makes, by who reads it."""
        seen: set[str] = set()
        level = [kernel]
        while level:
            seen.update(level)
            for name in level:
                if found := self._direct(name):
                    return found
            nodes = [self.ran[name] for name in level if name in self.ran]
            readers = [user.name for node in nodes for out in node.output for user in self._readers[out]]
            level = [name for name in dict.fromkeys(readers) if name not in seen]
        return None

    def _direct(self, kernel: str) -> str | None:
        node = self.ran.get(kernel)
        made = [self._own[name] for name in node.output if name in self._own] if node is not None else []
        return made[0] if made else next((self._known[stem] for stem in _stems(kernel) if stem in self._known), None)

    def neighbour(self, kernel: str, *, above: bool) -> str:
        """The nearest node above or below that computes."""
        seen: set[str] = set()
        level = [self.ran[kernel]] if kernel in self.ran else []
        while level:
            near = [other for node in level for other in (self._above(node) if above else self._below(node))]
            near = [node for node in near if node.name not in seen]
            seen.update(node.name for node in near)
            for node in near:
                if node.op_type not in MOVES and (found := self.home(node.name)):
                    return found
            level = near
        return _INPUT if above else _OUTPUT

    def _above(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        return [self._makers[name] for name in node.input if name in self._makers]

    def _below(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        return [user for name in node.output for user in self._readers[name]]


def _share(places: _Places, times: Mapping[tuple[str, str], float]) -> TimeProfile:
    outer = {key: duration for key, duration in times.items() if places.is_outer(key[0])}
    total = sum(outer.values()) or 1.0
    by_node: dict[str, float] = defaultdict(float)
    by_op: dict[str, float] = defaultdict(float)
    moves: list[Move] = []
    unknown = 0.0
    for (kernel, op), duration in outer.items():
        share = duration / total
        by_op[op] += share
        home = places.home(kernel)
        if home is None:
            unknown += share
        else:
            by_node[home] += share
        if op in MOVES:
            before, after = (places.neighbour(kernel, above=above) for above in (True, False))
            moves.append(Move(node=home or kernel, op=op, time_share=share, before=before, after=after))
    moves.sort(key=lambda move: -move.time_share)
    return TimeProfile(
        by_node=dict(by_node),
        by_op=dict(sorted(by_op.items(), key=lambda item: -item[1])),
        no_arithmetic=sum(move.time_share for move in moves),
        unknown=unknown,
        moves=tuple(moves),
    )
