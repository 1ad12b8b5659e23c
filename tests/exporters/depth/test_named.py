from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from edgehybrid.errors import RequestError
from edgehybrid.exporters.depth import named_exits, slice_chain, without_outputs
from edgehybrid.exporters.model import Graph, find_components, open_session
from edgehybrid.exporters.rewrites import Probes


def with_heads(zoo: Any, seed: int = 0, *, classes: int = 5, feed_on: bool = False) -> Graph:
    """Three convolutions, each with a head: ``early`` and ``late`` of the model's own, then ``y``."""
    s = zoo.sketch(seed)
    y, names = "x", {}
    for layer, channels in enumerate((8, 12, 16)):
        width = (3, 8, 12)[layer]
        y = s.op("Conv", y, s.weight(channels, width, 3, 3, scale=0.3), s.weight(channels), pads=[1] * 4)
        y = s.op("Relu", y)
        pooled = s.op("Flatten", s.op("GlobalAveragePool", y))
        size = classes if layer == 0 else 5
        names[layer] = s.op("Gemm", pooled, s.weight(channels, size), s.weight(size))
    last = s.op("Add", names[2], names[1]) if feed_on else names[2]
    graph = s.close(last, ["batch", 3, 8, 8], ["batch", 5])
    proto = onnx.ModelProto()
    proto.CopyFrom(graph.proto)
    for name, value, size in (("late", names[1], 5), ("early", names[0], classes)):
        for node in proto.graph.node:
            for fields in (node.input, node.output):
                fields[:] = [name if item == value else item for item in fields]
        proto.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size]))
    del proto.graph.value_info[:]
    return Graph(proto=proto)


def find(zoo: Any, graph: Graph, *names: str, probes: Probes | None = None) -> Any:
    """Named exits on batches of noise."""
    return named_exits(graph, find_components(graph), zoo.probes(graph) if probes is None else probes, names)


@settings(max_examples=15)
@given(scheme=st.sampled_from(["fp32", "w8a8", "w8"]), feed_on=st.booleans(), seed=st.integers(0, 99))
def test_exits_answer_as_the_outputs_did(chains: Any, zoo: Any, scheme: str, feed_on: bool, seed: int) -> None:
    """In any precision, each exit leaves after its own stage, in the order of depth, with the model's numbers."""
    graph = with_heads(zoo, seed, feed_on=feed_on)
    found = find(zoo, graph, "late", "early")
    variant = chains.variant(graph, scheme)
    stages = slice_chain(variant, found.cuts)
    feeds = zoo.feeds(graph, 3, seed)
    names = ["early", "late", "y"]
    expected = dict(zip(names, open_session(variant.proto, optimize=False).run(names, feeds), strict=True))
    got = chains.run(stages, feeds, optimize=False)

    assert [("early",), ("late",)] == [cut.exits for cut in found.cuts]
    for name, tensor in (("early", "exit1_y"), ("late", "exit2_y"), ("y", "y")):
        np.testing.assert_allclose(got[tensor], expected[name], rtol=0, atol=1e-6 * np.abs(expected[name]).max())


def test_an_exit_takes_only_its_own_stage(zoo: Any) -> None:
    """The first stage holds one convolution and one head, and no more."""
    graph = with_heads(zoo)
    first, *rest = slice_chain(graph, find(zoo, graph, "early", "late").cuts)
    ops = [node.op_type for node in first.proto.graph.node]

    assert ["Conv", "Relu", "GlobalAveragePool", "Flatten", "Gemm"] == ops
    assert ["cut1_0", "exit1_y"] == [value.name for value in first.proto.graph.output]
    assert [["cut1_0"], ["cut2_0"]] == [[value.name for value in stage.proto.graph.input] for stage in rest]


def test_the_model_without_its_exits(zoo: Any) -> None:
    """They leave the contract, with the nodes and weights that only they needed."""
    graph = with_heads(zoo)
    main = find(zoo, graph, "early", "late").main
    feeds = zoo.feeds(graph, 2)

    assert ["y"] == [value.name for value in main.proto.graph.output]
    assert 1 == sum(node.op_type == "Gemm" for node in main.proto.graph.node)
    assert len(main.proto.graph.initializer) == len(graph.proto.graph.initializer) - 4
    np.testing.assert_array_equal(zoo.run(graph, feeds), zoo.run(main, feeds))
    assert ["y", "early"] == [v.name for v in without_outputs(graph, ["late"]).proto.graph.output]


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("nothing",), r"The model has no output 'nothing'. Its outputs: y, late, early."),
        (("y", "late", "early"), r"Were all outputs exits, the model would have none. Leave out the final one."),
        (("early",), r"Besides its exits the model has 2 outputs: y, late. Name every output but the final one"),
        (("y", "early"), r"The exit 'y' needs 9\d% of the model|The exit 'y' needs 100% of the model"),
    ],
)
def test_what_cannot_be(zoo: Any, names: tuple[str, ...], says: str) -> None:
    """Each refusal says what is wrong and what to do."""
    with pytest.raises(RequestError, match=says):
        find(zoo, with_heads(zoo), *names)


def test_an_exit_of_another_shape(zoo: Any) -> None:
    """Seven classes cannot stand in for five."""
    with pytest.raises(RequestError, match=r"The exit 'early' gives float32 \[7\] for each input, 'y' float32 \[5\]"):
        find(zoo, with_heads(zoo, classes=7), "early", "late")


def test_two_heads_on_one_value(zoo: Any) -> None:
    """Nothing is computed between them: one of the two says nothing new."""
    s = zoo.sketch(0)
    y = s.op("Relu", s.op("MatMul", "x", s.weight(32, 32)))
    heads = [s.op("MatMul", y, s.weight(32, 5)) for _ in range(2)]
    z = s.op("Relu", s.op("MatMul", y, s.weight(32, 64)))
    graph = s.close(s.op("MatMul", z, s.weight(64, 5)), ["batch", 32], ["batch", 5])
    for name in heads:
        graph.proto.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 5]))

    with pytest.raises(RequestError, match="leaves where another one does"):
        find(zoo, graph, *heads)


def test_without_probes(zoo: Any) -> None:
    """Where no batch can be tried, no row is known to leave."""
    with pytest.raises(RequestError, match="Without inputs of two batch lengths"):
        find(zoo, with_heads(zoo), "early", "late", probes=Probes())
