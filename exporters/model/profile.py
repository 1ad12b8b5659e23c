"""Where the time goes: ONNX Runtime's own profile, mapped back to the nodes of the user's graph."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgehybrid.exporters.model.graph import LAYOUT_OPS, SHAPE_OPS, Graph
from edgehybrid.exporters.model.probe import open_session

_REORDERS = frozenset({"ReorderInput", "ReorderOutput", "Concat"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeProfile:
    """Share of the time, 0 to 1, as ONNX Runtime runs the graph (its own fusions on).

    Attributes:
        by_node: Node name to share, for the nodes that still exist after its fusions.
        by_op: Operator to share.
        no_arithmetic: Share of operators that only move or shape data.
        unknown: Share that belongs to no node of the user's graph.
    """

    by_node: Mapping[str, float]
    by_op: Mapping[str, float]
    no_arithmetic: float
    unknown: float


def profile(graph: Graph, feeds: Mapping[str, NDArray[np.generic]], runs: int = 20) -> TimeProfile:
    """Run ``graph`` ``runs`` times and share out the time; the mean of the middle half of each kernel's runs counts."""
    with tempfile.TemporaryDirectory(prefix="edgehybrid-") as folder:
        session = open_session(graph.proto, profile_prefix=str(Path(folder) / "p"))
        for _ in range(runs):
            session.run(None, dict(feeds))
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    durations: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            durations[event["name"], event["args"].get("op_name", "?")].append(float(event["dur"]))
    return _share(graph, {key: _middle(values) for key, values in durations.items()})


def _middle(values: list[float]) -> float:
    """Mean of the middle half: durations come in whole microseconds, so that a median would be coarse."""
    quarter = len(values) // 4
    return float(np.mean(sorted(values)[quarter : len(values) - quarter]))


def _stems(event: str) -> Iterator[str]:
    """What the name of a kernel may come from: fusions put ``/Name/`` or ``_nchwc`` behind a node or an output."""
    stem = event.removesuffix("_kernel_time")
    yield stem
    yield stem.removesuffix("_nchwc")
    while "/" in stem:
        stem = stem.rpartition("/")[0]
        yield stem


def _share(graph: Graph, medians: Mapping[tuple[str, str], float]) -> TimeProfile:
    total = sum(medians.values()) or 1.0
    known = {name: node.name for node in graph.proto.graph.node for name in node.output if name}
    known |= {node.name: node.name for node in graph.proto.graph.node}
    by_node: dict[str, float] = defaultdict(float)
    by_op: dict[str, float] = defaultdict(float)
    idle = unknown = 0.0
    for (event, op), duration in medians.items():
        share = duration / total
        by_op[op] += share
        if op in LAYOUT_OPS or op in SHAPE_OPS or op in _REORDERS:
            idle += share
        node = next((known[stem] for stem in _stems(event) if stem in known), None)
        if node is None:
            unknown += share
        else:
            by_node[node] += share
    order = dict(sorted(by_op.items(), key=lambda item: -item[1]))
    return TimeProfile(by_node=dict(by_node), by_op=order, no_arithmetic=idle, unknown=unknown)
