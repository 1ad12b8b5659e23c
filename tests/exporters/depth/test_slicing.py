from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgehybrid.data import open_data
from edgehybrid.errors import ExportError
from edgehybrid.exporters.depth import Cut, FoundCuts, find_cuts, slice_chain
from edgehybrid.exporters.model import Graph, find_components, load_model, open_session
from edgehybrid.exporters.precision import SCHEMES, Setting, collect_ranges, quantize, watched
from edgehybrid.exporters.rewrites import Probes, rewrite
from edgehybrid.exporters.search import plans
from edgehybrid.runtime.backends import LoadRequest, OnnxBackend

KINDS = ("conv", "dense", "attention", "recurrent", "trees", "hybrid")
SAMPLES = Path(__file__).parents[3] / "samples"


def ops(graph: Graph) -> list[str]:
    """Operators in order."""
    return [node.op_type for node in graph.proto.graph.node]


def fused_ops(graph: Graph, folder: Path) -> list[str]:
    """Operators that ONNX Runtime makes of a graph."""
    path = folder / "fused.onnx"
    open_session(graph.proto, save_to=str(path))
    return [node.op_type for node in onnx.load(path).graph.node]


@settings(max_examples=40)
@given(
    kind=st.sampled_from(KINDS),
    scheme=st.sampled_from(list(SCHEMES)),
    fused=st.booleans(),
    every=st.booleans(),
    seed=st.integers(0, 999),
)
def test_a_chain_gives_what_the_graph_gives(
    chains: Any, zoo: Any, kind: str, scheme: str, fused: bool, every: bool, seed: int
) -> None:
    """In every precision, on every family, with one cut or all: float to 1e-6 of the range, integers exactly."""
    graph = chains.deep(kind, seed)
    variant = chains.variant(graph, scheme, fused=fused)
    base = rewrite(graph, zoo.probes(graph)).graph if fused else graph
    cuts = chains.cuts(base).cuts
    feeds = zoo.feeds(graph, 4, seed)
    for chosen in [cuts] if every else [[cut] for cut in cuts]:
        stages = slice_chain(variant, chosen)
        for optimize in (True, False):
            expected = zoo.run(variant, feeds, optimize=optimize)
            got = chains.run(stages, feeds, optimize=optimize)["y"]

            assert len(chosen) + 1 == len(stages)
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6 * float(np.abs(expected).max()))


@pytest.mark.slow
@pytest.mark.parametrize("sample", ["keyword_spotter", "camera_classifier", "vibration_monitor"])
def test_samples_in_every_mixture(chains: Any, sample: str) -> None:
    """The three samples, float, rewritten and in each mixture of the table, cut at all places at once."""
    model = load_model(SAMPLES / sample / "model.onnx")
    data = open_data(SAMPLES / sample / "calibration.npz").check(model.inputs)
    batches = [batch.feeds for batch in islice(data.batches(3), 8)]
    probes = Probes(first={name: array[:2] for name, array in batches[0].items()}, second=batches[1])
    components = find_components(model.graph)
    base = rewrite(model.graph, probes).graph
    found = find_cuts(base, components, probes)
    setting = Setting(ranges=collect_ranges(base, watched(base), batches))
    variants = [base] + [quantize(base, components, p.recipe, setting).graph for p in plans(components, "quick")]
    name = model.outputs[0].name

    assert len(found.cuts) >= 2
    for variant in variants:
        expected = open_session(variant.proto).run([name], batches[2])[0]
        assert isinstance(expected, np.ndarray)
        for chosen in (found.cuts, found.cuts[:1]):
            got = chains.run(slice_chain(variant, chosen), batches[2])[name]
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6 * float(np.abs(expected).max()))


def test_integers_cross(chains: Any, tmp_path: Path) -> None:
    """In int8 the cut is behind the QuantizeLinear; every convolution still becomes an integer one."""
    graph = chains.deep("conv", 1)
    variant = chains.variant(graph, "w8a8", fused=True)
    stages = slice_chain(variant, chains.cuts(graph).cuts[:1])
    crossing = stages[0].proto.graph.output[0]
    first = next(node for node in stages[1].proto.graph.node if "cut1_0" in node.input)

    assert ("cut1_0", TensorProto.UINT8) == (crossing.name, crossing.type.tensor_type.elem_type)
    assert "DequantizeLinear" == first.op_type
    assert fused_ops(variant, tmp_path).count("QLinearConv") == sum(
        fused_ops(stage, tmp_path).count("QLinearConv") for stage in stages
    )


def test_equal_quantizations_become_one(chains: Any, zoo: Any) -> None:
    """Two readers that quantize what crosses alike still get integers; unlike ones get the float."""
    for second, kind in ((0.1, TensorProto.UINT8), (0.2, TensorProto.FLOAT)):
        s = zoo.sketch(0)
        z = s.op("Identity", s.op("MatMul", "x", s.weight(32, 32)))
        scales = [s.constant(0.1), s.constant(second)]
        ints = [s.op("QuantizeLinear", z, scale, s.constant(128, np.uint8)) for scale in scales]
        backs = [s.op("DequantizeLinear", q, scales[i], s.constant(128, np.uint8)) for i, q in enumerate(ints)]
        left, right = (s.op("MatMul", back, s.weight(32, 32)) for back in backs)
        graph = s.close(s.op("Sub", left, right), ["batch", 32], ["batch", 32])
        cut = chains.cuts(chains.deep("dense")).cuts[0]
        cut = replace(cut, values=(replace(cut.values[0], node="n1", output=0),))
        stages = slice_chain(graph, [cut])
        feeds = zoo.feeds(graph, 3)

        assert [kind] == [value.type.tensor_type.elem_type for value in stages[0].proto.graph.output]
        np.testing.assert_array_equal(chains.run(stages, feeds, optimize=False)["y"], zoo.run(graph, feeds, optimize=0))


def test_fusions_survive_in_float(chains: Any, tmp_path: Path) -> None:
    """But for moves between layouts, the stages run the nodes of the whole."""
    graph = chains.deep("conv", 0)
    stages = slice_chain(graph, chains.cuts(graph).cuts)
    moves = {"ReorderInput", "ReorderOutput"}
    parts = [op for stage in stages for op in fused_ops(stage, tmp_path) if op not in moves]

    assert sorted(op for op in fused_ops(graph, tmp_path) if op not in moves) == sorted(parts)


def test_rows_leave_and_the_rest_goes_on(chains: Any, zoo: Any) -> None:
    """Behind a cut any rows of the batch run alone, with the inputs that a later stage needs."""
    graph = chains.deep("hybrid")
    first, second = slice_chain(graph, chains.cuts(graph).cuts[:1])
    feeds = zoo.feeds(graph, 4)
    middle = chains.run([first], feeds)
    stay = {name: array[[1, 3]] for name, array in {**feeds, **middle}.items()}

    np.testing.assert_allclose(chains.run([second], stay)["y"], zoo.run(graph, feeds)[[1, 3]], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("scheme", ["fp32", "w8a8", "w8-dyn"])
def test_the_engine_can_bind_every_stage(chains: Any, zoo: Any, tmp_path: Path, scheme: str) -> None:
    """Each free axis of an output is one of an input, so that its buffer is known before it runs."""
    graph = chains.deep("hybrid")
    values = dict(zoo.feeds(graph, 3))
    cuts = chains.cuts(rewrite(graph, zoo.probes(graph)).graph).cuts
    for number, stage in enumerate(slice_chain(chains.variant(graph, scheme, fused=True), cuts)):
        path = tmp_path / f"{number}.onnx"
        path.write_bytes(stage.to_bytes())
        onnx.checker.check_model(stage.proto)
        session = OnnxBackend().load(LoadRequest(model_file=path))
        axes = {axis for spec in session.inputs for axis in spec.shape if isinstance(axis, str)}
        values |= session.run({spec.name: values[spec.name] for spec in session.inputs})

        assert {"batch"} == axes
        for spec in session.outputs:
            assert ("batch", *values[spec.name].shape[1:]) == spec.shape
            assert str(values[spec.name].dtype) == spec.dtype


def test_everything_else_goes_with_the_stages(chains: Any) -> None:
    """Operator sets and metadata are kept; weights go with the stages that read them, and only there."""
    graph = chains.deep("dense")
    proto = onnx.ModelProto()
    proto.CopyFrom(graph.proto)
    helper.set_model_props(proto, {"author": "somebody"})
    stages = slice_chain(Graph(proto=proto), chains.cuts(graph).cuts)
    weights = [tensor.name for stage in stages for tensor in stage.proto.graph.initializer]

    assert sorted(tensor.name for tensor in proto.graph.initializer) == sorted(weights)
    for stage in stages:
        assert proto.opset_import == stage.proto.opset_import
        assert ["author"] == [entry.key for entry in stage.proto.metadata_props]
        assert proto.ir_version == stage.proto.ir_version


def test_a_cut_that_is_gone(chains: Any) -> None:
    """A variant without the place says which, and what to do."""
    graph = chains.deep("dense")
    cut = chains.cuts(graph).cuts[0]
    gone = replace(cut, values=(replace(cut.values[0], node="nowhere", value="nothing", readers=()),))

    with pytest.raises(ExportError, match=r"is not in this variant: 'nowhere' is gone. Leave this cut out"):
        slice_chain(graph, [gone])


def test_a_renamed_place_is_found_by_its_readers(chains: Any, zoo: Any) -> None:
    """Where neither node nor value keeps its name, who reads it tells."""
    graph = chains.deep("dense")
    cut = chains.cuts(graph).cuts[0]
    moved = replace(cut, values=(replace(cut.values[0], node="nowhere", value="nothing"),))
    feeds = zoo.feeds(graph, 2)

    assert [ops(stage) for stage in slice_chain(graph, [cut])] == [ops(stage) for stage in slice_chain(graph, [moved])]
    np.testing.assert_array_equal(zoo.run(graph, feeds), chains.run(slice_chain(graph, [moved]), feeds)["y"])


def test_no_stage_computes_twice(chains: Any) -> None:
    """A cut that does not separate the graph is refused, not paid for twice."""
    graph = chains.deep("conv", 0)
    cut = chains.cuts(graph).cuts[0]
    inside = replace(cut, values=(replace(cut.values[0], node="n3", shape=("batch", 8, 8, 8)),))  # beside a residual

    with pytest.raises(ExportError, match=r"is needed on both sides"):
        slice_chain(graph, [inside])


def test_another_shape_is_refused(chains: Any) -> None:
    """A value of the same name and another shape is another value."""
    graph = chains.deep("dense")
    cut = chains.cuts(graph).cuts[0]
    other = replace(cut, values=(replace(cut.values[0], shape=("batch", 31)),))

    with pytest.raises(ExportError, match="another shape"):
        slice_chain(graph, [other])


def test_taken_names(chains: Any, zoo: Any) -> None:
    """A value that is called as a crossing tensor gets another name; an input cannot."""
    graph = chains.deep("dense")
    cuts = chains.cuts(graph).cuts[:1]
    feeds = zoo.feeds(graph, 2)
    expected = zoo.run(graph, feeds)

    for old in ("v0", "v7"):
        stages = slice_chain(renamed(graph, old, "cut1_0"), cuts)
        np.testing.assert_array_equal(expected, chains.run(stages, feeds)["y"])
    with pytest.raises(ExportError, match="has an input or a weight called 'cut1_0'"):
        slice_chain(renamed(graph, "x", "cut1_0"), cuts)


def renamed(graph: Graph, old: str, new: str) -> Graph:
    """``graph`` with another name for a value."""
    proto = onnx.ModelProto()
    proto.CopyFrom(graph.proto)
    for node in proto.graph.node:
        for fields in (node.input, node.output):
            for index, name in enumerate(fields):
                fields[index] = new if name == old else name
    for value in (*proto.graph.input, *proto.graph.value_info):
        value.name = new if value.name == old else value.name
    return Graph(proto=proto)


def test_graphs_inside_of_nodes_see_what_crosses(chains: Any, zoo: Any) -> None:
    """A branch that reads a crossing value from outside reads it under its new name."""
    s = zoo.sketch(0)
    y = s.op("Relu", s.op("MatMul", "x", s.weight(32, 32)))
    total = s.op("Greater", s.op("ReduceSum", s.op("MatMul", y, s.weight(32, 32)), keepdims=0), s.constant(0.0))
    bodies = {}
    for name, op in (("then_branch", "Neg"), ("else_branch", "Abs")):
        out = helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, ["batch", 32])
        bodies[name] = helper.make_graph([helper.make_node(op, [y], [f"{name}_out"])], name, [], [out])
    graph = s.close(s.op("If", total, **bodies), ["batch", 32], ["batch", 32])
    dense = chains.cuts(chains.deep("dense")).cuts[0]
    cut = replace(dense, values=(replace(dense.values[0], node="n1"),))
    feeds = zoo.feeds(graph, 3)

    np.testing.assert_array_equal(zoo.run(graph, feeds), chains.run(slice_chain(graph, [cut]), feeds)["y"])


def test_an_output_from_the_middle_is_passed_on(chains: Any, zoo: Any) -> None:
    """A model that gives an intermediate value gives it at the end of the chain, under its own name."""
    graph = chains.deep("dense")
    proto = onnx.ModelProto()
    proto.CopyFrom(graph.proto)
    proto.graph.output.append(helper.make_tensor_value_info("v2", TensorProto.FLOAT, ["batch", 32]))
    both = Graph(proto=proto)
    feeds = zoo.feeds(graph, 3)
    found: FoundCuts = chains.cuts(both)
    expected = dict(zip(("y", "v2"), open_session(proto).run(["y", "v2"], feeds), strict=True))
    got = chains.run(slice_chain(both, found.cuts), feeds)

    assert found.cuts
    for name, array in expected.items():
        np.testing.assert_array_equal(array, got[name])


def test_constants_and_shapes_are_computed_again(chains: Any) -> None:
    """Both stages may need the length of the batch: each takes the input, and no weight is left behind."""
    graph = chains.deep("hybrid")
    cut: Cut = next(cut for cut in chains.cuts(graph).cuts if cut.component == "convolution-1")
    stages = slice_chain(graph, [cut])

    assert [["x"], ["cut1_0", "x"]] == [[value.name for value in stage.proto.graph.input] for stage in stages]
    assert all(numpy_helper.to_array(t).size for stage in stages for t in stage.proto.graph.initializer)
