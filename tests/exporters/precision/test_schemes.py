from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgehybrid.errors import RequestError
from edgehybrid.exporters.measure import sqnr_db
from edgehybrid.exporters.model import Component, Graph, find_components, profile
from edgehybrid.exporters.precision import SCHEMES, Quantized, Setting, Target, collect_ranges, quantize, watched
from edgehybrid.exporters.precision.integers import activation_params, quantize_per_channel
from edgehybrid.exporters.rewrites import rewrite

KINDS = ("conv", "dense", "attention", "recurrent", "trees", "hybrid")
LEAST_SQNR_DB = 26.0  # the stated bound: int8 noise is below a twentieth of the amplitude of the signal
BOUNDS_DB = {"fp16": 55.0, "w4a16": 12.0}  # half floats; four bits for noise, the worst there is to store


def ops(graph: Graph) -> list[str]:
    """Operators in order."""
    return [node.op_type for node in graph.proto.graph.node]


def convert(
    zoo: Any, graph: Graph, recipe: dict[str, str] | str, target: Target | None = None, float_graph: Graph | None = None
) -> Quantized:
    """Calibrate on noise and convert."""
    base = graph if float_graph is None else float_graph
    families = ("convolution", "attention", "dense", "recurrent", "trees")
    ranges = collect_ranges(base, watched(base), [zoo.feeds(base, 16, s) for s in range(4)])
    full = dict.fromkeys(families, recipe) if isinstance(recipe, str) else recipe
    return quantize(base, find_components(graph), full, Setting(target=target or Target(), ranges=ranges))


@settings(max_examples=20, deadline=None)
@given(
    kind=st.sampled_from(KINDS), scheme=st.sampled_from(list(SCHEMES)), fused=st.booleans(), seed=st.integers(0, 999)
)
def test_schemes_keep_the_meaning(zoo: Any, kind: str, scheme: str, fused: bool, seed: int) -> None:
    """Every scheme on every family, rewritten or not, stays within the stated noise of float."""
    graph = getattr(zoo, kind)(seed)
    base = rewrite(graph, zoo.probes(graph)).graph if fused else graph
    result = convert(zoo, graph, scheme, float_graph=base)
    feeds = zoo.feeds(graph, 16, 0)
    expected = zoo.run(graph, feeds)
    if kind == "trees":  # a feature next to a threshold may fall to its other side: count decisions
        assert 0.75 <= float(np.mean(np.isclose(zoo.run(result.graph, feeds), expected)))
    else:
        assert sqnr_db({"y": zoo.run(result.graph, feeds)}, {"y": expected}) >= BOUNDS_DB.get(scheme, LEAST_SQNR_DB)


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_optimizer_and_plain_execution_agree(zoo: Any, scheme: str) -> None:
    """What ONNX Runtime's fusions make of a variant is what the file says."""
    graph = zoo.hybrid()
    variant = convert(zoo, graph, scheme).graph
    feeds = zoo.feeds(graph)
    plain, fused = zoo.run(variant, feeds, optimize=False), zoo.run(variant, feeds)

    assert sqnr_db({"y": fused}, {"y": plain}) >= 30.0


@pytest.mark.parametrize("target", [Target(), Target(signed_activations=True), Target(weight_max=63)])
def test_static_int8_for_every_target(zoo: Any, target: Target) -> None:
    """Unsigned, signed and seven-bit integers all compute a convolution."""
    graph = zoo.conv(act="relu")
    result = convert(zoo, graph, "w8a8", target)
    feeds = zoo.feeds(graph, 8)

    assert sqnr_db({"y": zoo.run(result.graph, feeds)}, {"y": zoo.run(graph, feeds)}) >= LEAST_SQNR_DB


@pytest.mark.parametrize(
    ("isa", "expected"),
    [
        (("avx2", "avx512_vnni"), Target()),
        (("avx2",), Target(weight_max=63)),
        (("neon", "dotprod"), Target(signed_activations=True)),
        ((), Target(signed_activations=True)),
    ],
)
def test_target_follows_the_instructions(isa: tuple[str, ...], expected: Target) -> None:
    """U8S8 on x86 (seven bits without VNNI), S8S8 on Arm."""
    assert expected == Target.of(isa)


@pytest.mark.parametrize("act", ["silu", "relu", "clip"])
def test_convolution_keeps_its_activation_in_integers(zoo: Any, act: str) -> None:
    """Between two int8 convolutions no float operator runs: every activation reads and gives integers."""
    variant = convert(zoo, zoo.conv(act=act), "w8a8").graph
    producers = {name: node.op_type for node in variant.proto.graph.node for name in node.output}
    kinds = {
        "silu": {"Sigmoid", "Mul", "Add", "MaxPool", "Conv"},
        "relu": {"Conv", "Add", "MaxPool"},
        "clip": {"Conv", "Add", "MaxPool"},
    }
    reads = {
        producers.get(name)
        for node in variant.proto.graph.node
        if node.op_type in kinds[act]
        for name in node.input
        if name in producers
    }

    assert {"DequantizeLinear"} == reads


def test_runtime_fuses_the_whole_convolution_block(zoo: Any) -> None:
    """ONNX Runtime makes integer operators of all of it: scales that were vectors of one would keep it from that."""
    graph = zoo.conv(act="silu")
    by_op = profile(convert(zoo, graph, "w8a8").graph, zoo.feeds(graph), runs=2).by_op

    assert {"QLinearConv", "QuickGelu", "QLinearAdd"} <= set(by_op)
    assert not {"Conv", "Sigmoid", "Mul", "Add", "QLinearMul"} & set(by_op)


def test_all_of_a_convolution_block_in_integers(zoo: Any) -> None:
    """``w8a8-int`` leaves no float operator between convolutions, and computes depthwise ones in integers."""
    graph = zoo.conv(act="silu")
    by_op = profile(convert(zoo, graph, "w8a8-int").graph, zoo.feeds(graph), runs=2).by_op

    assert {"QLinearConv", "QLinearSigmoid", "QLinearMul", "QLinearAdd"} <= set(by_op)
    assert not {"Conv", "Sigmoid", "QuickGelu", "Mul", "Add"} & set(by_op)


def test_depthwise_in_integers(zoo: Any) -> None:
    """``w8a8-int`` takes the depthwise convolution that ``w8a8`` leaves."""
    s = zoo.sketch(0)
    y = s.op("Conv", "x", s.weight(3, 1, 3, 3), s.weight(3), group=3)
    graph = s.close(y, ["batch", 3, 8, 8], ["batch", 3, 6, 6])
    result = convert(zoo, graph, "w8a8-int")
    feeds = zoo.feeds(graph, 8)

    assert "DequantizeLinear" in ops(result.graph)
    assert sqnr_db({"y": zoo.run(result.graph, feeds)}, {"y": zoo.run(graph, feeds)}) >= LEAST_SQNR_DB


@pytest.mark.parametrize("first", ["w8a8", "w8a8-int"])
def test_neighbours_share_their_integers(zoo: Any, first: str) -> None:
    """Where one static scheme meets the other, the value between is quantized once."""
    s = zoo.sketch(0)
    y = s.op("Conv", "x", s.weight(4, 3, 3, 3), s.weight(4))
    graph = s.close(s.op("Conv", y, s.weight(4, 4, 3, 3), s.weight(4)), ["batch", 3, 8, 8], ["batch", 4, 4, 4])
    ranges = collect_ranges(graph, watched(graph), [zoo.feeds(graph, 16, 0)])
    a, b = (node.name for node in graph.proto.graph.node if node.op_type == "Conv")
    parts = tuple(Component(name=n, family="convolution", nodes=(n,)) for n in (a, b))
    second = "w8a8" if first == "w8a8-int" else "w8a8-int"
    result = quantize(graph, parts, {a: first, b: second}, Setting(ranges=ranges))
    alone = quantize(graph, parts, dict.fromkeys((a, b), "w8a8"), Setting(ranges=ranges))

    assert ops(alone.graph).count("QuantizeLinear") == ops(result.graph).count("QuantizeLinear")
    assert {a: first, b: second} == result.schemes


def test_dynamic_int8_never_touches_a_convolution(zoo: Any) -> None:
    """``w8-dyn`` leaves convolutions in float, and says so."""
    graph = zoo.conv()
    result = convert(zoo, graph, "w8-dyn")

    assert graph is result.graph
    assert ["no int8 kernel with dynamic range"] == [item.reason for item in result.untouched]


@pytest.mark.parametrize("gemm", [False, True])
def test_dynamic_product_is_one_node(zoo: Any, gemm: bool) -> None:
    """Product and bias become one fused integer product."""
    variant = convert(zoo, zoo.dense(gemm=gemm), "w8-dyn").graph

    assert 2 == ops(variant).count("DynamicQuantizeMatMul")
    assert not {"MatMul", "Gemm", "Add"} & set(ops(variant))


def test_fused_attention_becomes_integer_attention(zoo: Any) -> None:
    """A fused block is converted as a whole; one with another scale is left, with the reason."""
    for scale, expected in ((16**-0.5, True), (0.3, False)):
        graph = zoo.attention(size=16, scale=scale)
        fused = rewrite(graph, zoo.probes(graph)).graph
        result = convert(zoo, graph, "w8-dyn", float_graph=fused)

        assert expected == ("QAttention" in ops(result.graph))


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("kind", ["GRU", "LSTM", "RNN"])
def test_recurrent_weights_become_int8(zoo: Any, kind: str, both: bool) -> None:
    """``w8`` takes three quarters off the file of a recurrent layer, whichever kind and direction."""
    graph = zoo.recurrent(kind=kind, both=both, hidden=64)
    result = convert(zoo, graph, "w8")

    assert "w8" in result.schemes.values()
    assert 0.45 > len(result.graph.to_bytes()) / len(graph.to_bytes())
    feeds = zoo.feeds(graph)
    assert sqnr_db({"y": zoo.run(result.graph, feeds)}, {"y": zoo.run(graph, feeds)}) >= 30.0


@pytest.mark.parametrize("both", [False, True])
def test_lstm_runs_in_int8(zoo: Any, both: bool) -> None:
    """``w8-dyn`` computes an LSTM in integers."""
    graph = zoo.recurrent(kind="LSTM", both=both)

    assert "DynamicQuantizeLSTM" in ops(convert(zoo, graph, "w8-dyn").graph)


@pytest.mark.parametrize("scheme", ["w8", "w8-dyn", "w8a8"])
def test_trees_stay_exact(zoo: Any, scheme: str) -> None:
    """No scheme changes a tree; the reason is named."""
    graph = zoo.trees()
    result = convert(zoo, graph, scheme)
    tree = [node for g in (graph, result.graph) for node in g.proto.graph.node if "Tree" in node.op_type]

    assert list(tree[0].attribute) == list(tree[1].attribute)
    assert any("thresholds are exact" in item.reason for item in result.untouched)


def test_gru_says_that_integers_do_not_compute_it(zoo: Any) -> None:
    """What a scheme cannot do for a GRU is reported, never silent."""
    for scheme in ("w8a8", "w8-dyn"):
        result = convert(zoo, zoo.recurrent(), scheme)

        assert ["recurrent-1"] == [item.component for item in result.untouched]
        assert "fp32" == result.schemes["recurrent-1"]


def test_mixture_by_family_and_by_name(zoo: Any) -> None:
    """A component's own name counts more than its family; what is not named stays float."""
    graph = zoo.hybrid()
    result = convert(zoo, graph, {"convolution": "w8a8", "dense": "w8-dyn", "dense-1": "w8"})

    assert ("w8a8", "w8", "fp32") == tuple(result.schemes[n] for n in ("convolution-1", "dense-1", "recurrent-1"))


def test_unknown_scheme_is_refused(zoo: Any) -> None:
    """The error names the schemes there are."""
    with pytest.raises(RequestError, match="w3") as caught:
        convert(zoo, zoo.dense(), "w3")

    assert "w8-dyn" in caught.value.fix


def test_equal_input_gives_equal_bytes(zoo: Any) -> None:
    """Conversion is deterministic, to the byte."""
    graph = zoo.hybrid()
    first, second = (
        convert(zoo, graph, {"convolution": "w8a8", "attention": "w8-dyn", "recurrent": "w8"}) for _ in "ab"
    )

    assert first.graph.digest == second.graph.digest


@given(seed=st.integers(0, 999), axis=st.integers(0, 2), limit=st.sampled_from([127, 63]))
def test_weights_round_to_the_nearest(seed: int, axis: int, limit: int) -> None:
    """``|w - q·scale| <= scale / 2``, channel by channel, and zero stays zero."""
    w = (np.random.default_rng(seed).standard_normal((3, 4, 5)) * 10.0).astype(np.float32)
    w[0, 0, 0] = 0.0
    q, scale = quantize_per_channel(w, axis=axis, limit=limit)
    shape = [1, 1, 1]
    shape[axis] = -1

    assert 0 == q[0, 0, 0]
    assert limit >= int(np.abs(q.astype(np.int32)).max())
    assert (np.abs(w - q * scale.reshape(shape)) <= scale.reshape(shape) * 0.5001).all()


@given(low=st.floats(-100, 100), width=st.floats(0, 100), signed=st.booleans())
def test_zero_is_exact(low: float, width: float, signed: bool) -> None:
    """Zero has an integer of its own in every range: padding stays padding."""
    scale, zero = activation_params(low, low + width, signed=signed)

    assert scale > 0
    assert (-128 if signed else 0) <= int(zero) <= (127 if signed else 255)
