"""What ``edgehybrid inspect MODEL`` tells."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgehybrid.bundle import ComponentInfo, ModelInfo
from edgehybrid.errors import ModelError
from edgehybrid.exporters.inspection import Border, ModelReport, Move
from edgehybrid.exporters.model.bodies import inner_nodes
from edgehybrid.exporters.model.cost import count_bytes, count_macs, count_params
from edgehybrid.exporters.model.errors import ORT_ERRORS
from edgehybrid.exporters.model.families import Component, find_components
from edgehybrid.exporters.model.graph import Graph
from edgehybrid.exporters.model.load import Model, load_model
from edgehybrid.exporters.model.probe import free_axes, synthetic_feeds
from edgehybrid.exporters.model.profile import TimeProfile, profile
from edgehybrid.exporters.model.sizes import Sizes, find_sizes

_LENGTHS = (1, 16, 64, 256, 512, 1024)  # tried in turn on the free axes behind the first
_TOP_MOVES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What one run on made-up inputs told."""

    sizes: Sizes
    times: TimeProfile
    lengths: Mapping[str, int]


def inspect_model(
    path: str | Path, shapes: Mapping[str, tuple[int | str, ...]] | None = None, *, runs: int = 20
) -> ModelReport:
    """Load ``path`` and say what is in it; times are measured on made-up inputs, one thread.

    Free axes have length one; where the model does not run so, the axes behind the first are lengthened until it does.

    Raises:
        ModelError: If the file is no model that could be exported.
    """
    return describe(load_model(path, shapes), runs=runs)


def describe(model: Model, *, runs: int = 20, components: tuple[Component, ...] | None = None) -> ModelReport:
    """Say what is in ``model``; see ``inspect_model``."""
    components = find_components(model.graph) if components is None else components
    run = _try_lengths(model, runs)
    infos = tuple(_info(model.graph, component, run) for component in components)
    nodes = model.graph.proto.graph.node
    everything = Component(name="all", family="glue", nodes=tuple(node.name for node in nodes))
    return ModelReport(
        name=model.name,
        opset=model.opset,
        inputs=model.inputs,
        outputs=model.outputs,
        components=infos,
        nodes=sum(info.nodes for info in infos),
        params=count_params(model.graph, everything),
        macs=sum(info.macs for info in infos),
        bytes_moved=tuple(count_bytes(component, run.sizes) for component in components) if run else (),
        size_bytes=len(model.graph.to_bytes()),
        lengths=run.lengths if run else {},
        time_by_op=run.times.by_op if run else {},
        no_arithmetic_share=run.times.no_arithmetic if run else None,
        unknown_share=run.times.unknown if run else None,
        moves=_placed(run.times.moves[:_TOP_MOVES], components) if run else (),
        borders=_borders(run.times.moves, components) if run else (),
        note=""
        if run
        else "The model does not run on made-up inputs: no multiply-accumulates, no times. Give --shape.",
    )


def model_info(report: ModelReport) -> ModelInfo:
    """The part of the report that a bundle keeps."""
    return ModelInfo(inputs=report.inputs, outputs=report.outputs, components=report.components)


def _try_lengths(model: Model, runs: int) -> _Run | None:
    for lengths, feeds in _made_up(model):
        try:
            sizes = find_sizes(model.graph, feeds)
            return _Run(sizes=sizes, times=profile(model.graph, feeds, runs), lengths=lengths)
        except (ModelError, *ORT_ERRORS):
            continue
    return None


def _made_up(model: Model) -> Iterator[tuple[dict[str, int], dict[str, NDArray[np.generic]]]]:
    axes = free_axes(model.inputs)
    first = {spec.shape[0] for spec in model.inputs if spec.shape}
    for length in _LENGTHS if any(axis not in first for axis in axes) else (1,):
        lengths = {axis: 1 if axis in first else length for axis in axes}
        yield lengths, synthetic_feeds(model.inputs, lengths)


def _info(graph: Graph, component: Component, run: _Run | None) -> ComponentInfo:
    inside = set(component.nodes)
    nodes = [node for node in graph.proto.graph.node if node.name in inside]
    return ComponentInfo(
        name=component.name,
        family=component.family,
        nodes=len(nodes) + sum(1 for node in nodes for _ in inner_nodes(node)),
        params=count_params(graph, component),
        macs=count_macs(component, run.sizes) if run else 0,
        time_share=sum(run.times.by_node.get(node, 0.0) for node in component.nodes) if run else None,
    )


def _placed(moves: tuple[Move, ...], components: tuple[Component, ...]) -> tuple[Move, ...]:
    names = {node: component.name for component in components for node in component.nodes}
    return tuple(
        Move(
            node=move.node,
            op=move.op,
            time_share=move.time_share,
            before=names.get(move.before, move.before),
            after=names.get(move.after, move.after),
        )
        for move in moves
    )


def _borders(moves: tuple[Move, ...], components: tuple[Component, ...]) -> tuple[Border, ...]:
    families: dict[str, str] = {node: component.family for component in components for node in component.nodes}
    shares: dict[tuple[str, str], float] = defaultdict(float)
    for move in moves:
        shares[families.get(move.before, move.before), families.get(move.after, move.after)] += move.time_share
    found = sorted(shares.items(), key=lambda item: -item[1])
    return tuple(Border(before=before, after=after, time_share=share) for (before, after), share in found)
