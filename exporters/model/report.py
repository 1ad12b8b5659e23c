"""What ``edgehybrid inspect MODEL`` tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgehybrid.bundle import ComponentInfo, ModelInfo
from edgehybrid.errors import ModelError
from edgehybrid.exporters.model.cost import count_macs, count_params
from edgehybrid.exporters.model.families import Component, find_components
from edgehybrid.exporters.model.load import ORT_ERRORS, Model, load_model
from edgehybrid.exporters.model.probe import synthetic_feeds, trace_shapes
from edgehybrid.exporters.model.profile import TimeProfile, profile
from edgehybrid.tensors import TensorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReport:
    """A model seen from outside: interface, components, cost, and where its time goes.

    ``time_by_op`` and ``no_arithmetic_share`` are shares of the run time, 0 to 1; ``note`` says why they are missing.
    """

    name: str
    opset: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    components: tuple[ComponentInfo, ...]
    nodes: int
    params: int
    macs: int
    size_bytes: int
    time_by_op: Mapping[str, float]
    no_arithmetic_share: float | None
    unknown_share: float | None
    note: str = ""


def inspect_model(
    path: str | Path, shapes: Mapping[str, tuple[int | str, ...]] | None = None, *, runs: int = 20
) -> ModelReport:
    """Load ``path`` and say what is in it; times are measured on made-up inputs, one thread, free axes of length one.

    Raises:
        ModelError: If the file is no model that could be exported.
    """
    return describe(load_model(path, shapes), runs=runs)


def describe(model: Model, *, runs: int = 20, components: tuple[Component, ...] | None = None) -> ModelReport:
    """Say what is in ``model``; see ``inspect_model``."""
    components = find_components(model.graph) if components is None else components
    feeds = synthetic_feeds(model.inputs)
    times, note = None, ""
    shapes: Mapping[str, tuple[int, ...]] = {}
    try:
        shapes = trace_shapes(model.graph, feeds)
        times = profile(model.graph, feeds, runs)
    except (ModelError, *ORT_ERRORS):
        note = "The model does not run with free axes of length one: no multiply-accumulates, no times. Give --shape."
    infos = tuple(_info(model, component, shapes, times) for component in components)
    params = _all_params(model)
    return ModelReport(
        name=model.name,
        opset=model.opset,
        inputs=model.inputs,
        outputs=model.outputs,
        components=infos,
        nodes=len(model.graph.proto.graph.node),
        params=params,
        macs=sum(info.macs for info in infos),
        size_bytes=len(model.graph.to_bytes()),
        time_by_op=times.by_op if times else {},
        no_arithmetic_share=times.no_arithmetic if times else None,
        unknown_share=times.unknown if times else None,
        note=note,
    )


def model_info(report: ModelReport) -> ModelInfo:
    """The part of the report that a bundle keeps."""
    return ModelInfo(inputs=report.inputs, outputs=report.outputs, components=report.components)


def _info(
    model: Model, component: Component, shapes: Mapping[str, tuple[int, ...]], times: TimeProfile | None
) -> ComponentInfo:
    return ComponentInfo(
        name=component.name,
        family=component.family,
        nodes=len(component.nodes),
        params=count_params(model.graph, component),
        macs=count_macs(model.graph, component, shapes),
        time_share=sum(times.by_node.get(node, 0.0) for node in component.nodes) if times else None,
    )


def _all_params(model: Model) -> int:
    everything = Component(name="all", family="glue", nodes=tuple(node.name for node in model.graph.proto.graph.node))
    return count_params(model.graph, everything)
