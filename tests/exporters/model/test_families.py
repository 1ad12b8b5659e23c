from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgehybrid.exporters.model import Graph, find_components, inspect_model, load_model, locate
from edgehybrid.exporters.rewrites import rewrite

SAMPLE = Path(__file__).parents[3] / "samples" / "keyword_spotter" / "model.onnx"


def families(graph: Graph) -> list[str]:
    """Families of all components but glue, in order."""
    return [component.family for component in find_components(graph) if component.family != "glue"]


@pytest.mark.parametrize("act", ["silu", "relu", "clip", "none"])
def test_convolution_takes_its_surroundings_in(zoo: Any, act: str) -> None:
    """Activation, normalization, residual sum and pool between convolutions belong to one component."""
    components = find_components(zoo.conv(act=act, bn=True))

    assert ["convolution"] == [component.family for component in components if len(component.nodes) > 1]


@pytest.mark.parametrize("style", ["packed", "interleaved", "separate", "seq-first", "masked", "cross"])
def test_attention_is_found_by_structure(zoo: Any, style: str) -> None:
    """Every way to write attention is one attention component, with the projections and no dense beside it."""
    assert ["attention"] == families(zoo.attention(style=style))


@pytest.mark.parametrize("kind", ["GRU", "LSTM", "RNN"])
def test_recurrent_is_found(zoo: Any, kind: str) -> None:
    """Recurrent layers are their own family."""
    assert ["recurrent"] == families(zoo.recurrent(kind=kind))


def test_dense_and_trees_are_found(zoo: Any) -> None:
    """A product with its bias and activation is dense; a tree ensemble is trees."""
    assert ["dense", "trees"] == families(zoo.trees())


def test_a_softmax_alone_is_no_attention(zoo: Any) -> None:
    """A classifier's softmax makes no attention block."""
    s = zoo.sketch()
    y = s.op("Softmax", s.op("MatMul", "x", s.weight(32, 8)))

    assert ["dense"] == families(s.close(y, ["batch", 32], ["batch", 8]))


def test_every_node_is_in_exactly_one_component(zoo: Any) -> None:
    """Components partition the graph, and are numbered by family."""
    graph = zoo.hybrid()
    components = find_components(graph)
    nodes = [node for component in components for node in component.nodes]

    assert sorted(node.name for node in graph.proto.graph.node) == sorted(nodes)
    assert ["convolution", "recurrent", "attention", "dense", "dense"] == families(graph)
    assert {"convolution-1", "recurrent-1", "attention-1", "dense-1", "dense-2"} <= {c.name for c in components}


def test_rewritten_nodes_find_their_component(zoo: Any) -> None:
    """After every rewrite the fused nodes still belong to the components of the user's graph."""
    graph = zoo.hybrid()
    rewritten = rewrite(graph, zoo.probes(graph)).graph
    where = locate(rewritten, find_components(graph))
    families_of = {node.op_type: where[node.name].family for node in rewritten.proto.graph.node}

    assert ("attention", "recurrent", "convolution") == tuple(families_of[op] for op in ("Attention", "GRU", "Conv"))


def test_sample_is_understood() -> None:
    """The sample's convolutions, GRU, both attention blocks and dense layers are found, with their cost."""
    if not SAMPLE.exists():
        pytest.skip("the sample model is not there")
    report = inspect_model(SAMPLE, runs=4)
    by_family = {info.family: info for info in report.components if info.family != "glue"}

    assert {"convolution", "recurrent", "attention", "dense"} == set(by_family)
    assert 2 == sum(info.family == "attention" for info in report.components)
    assert report.macs > by_family["convolution"].macs > 0
    assert report.no_arithmetic_share is not None
    assert 0.0 < report.no_arithmetic_share < 1.0
    assert 1.0 == pytest.approx(
        sum(info.time_share or 0.0 for info in report.components) + (report.unknown_share or 0.0)
    )


def test_cost_of_a_known_layer(zoo: Any, tmp_path: Path) -> None:
    """Parameters and multiply-accumulates of a dense net are those of pen and paper."""
    report = inspect_model(zoo.save(zoo.dense(hidden=48), tmp_path / "m.onnx"), runs=2)

    assert 32 * 48 + 48 + 48 * 32 + 32 == report.params
    assert 2 * 32 * 48 == report.macs


def test_model_that_does_not_run_at_length_one_is_still_described(zoo: Any, tmp_path: Path) -> None:
    """Without sensible shapes there are no times, and the report says why."""
    s = zoo.sketch()
    graph = s.close(s.op("MatMul", "x", s.weight(8, 3)), ["batch", "features"], ["batch", 3])
    report = inspect_model(zoo.save(graph, tmp_path / "m.onnx"), runs=2)

    assert "--shape" in report.note
    assert report.no_arithmetic_share is None
    assert load_model(tmp_path / "m.onnx").inputs[0].shape == ("batch", "features")
