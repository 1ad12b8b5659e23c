from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehybrid.exporters.measure import sqnr_db
from edgehybrid.exporters.model import Graph, find_components
from edgehybrid.exporters.precision import Setting, quantize
from edgehybrid.exporters.precision.blocks import BLOCK, quantize_blocks

FAMILIES = ("convolution", "attention", "dense", "recurrent", "trees")


def convert(graph: Graph, scheme: str) -> Any:
    """Every component in ``scheme``; none of those here needs data."""
    return quantize(graph, find_components(graph), dict.fromkeys(FAMILIES, scheme), Setting())


def ops(graph: Graph) -> list[str]:
    """Operators in order."""
    return [node.op_type for node in graph.proto.graph.node]


def likeness(zoo: Any, graph: Graph, reference: Graph) -> float:
    """Signal to noise in dB."""
    feeds = zoo.feeds(reference, 16, 9)
    return float(sqnr_db({"y": zoo.run(graph, feeds)}, {"y": zoo.run(reference, feeds)}))


@given(seed=st.integers(0, 999), bits=st.sampled_from([4, 8]), blocks=st.integers(1, 3), outputs=st.integers(1, 5))
def test_blocks_are_within_a_step(seed: int, bits: int, blocks: int, outputs: int) -> None:
    """Unpacked as the operator's specification says, no weight is off by more than its block's scale."""
    w = np.random.default_rng(seed).standard_normal((blocks * BLOCK, outputs)).astype(np.float32)
    q, scale, zero = quantize_blocks(w, bits=bits)
    if bits == 4:
        q = np.stack([q & 15, q >> 4], axis=-1).reshape(*q.shape[:-1], BLOCK)
        zero = np.stack([zero & 15, zero >> 4], axis=-1).reshape(outputs, -1)[:, :blocks]
    back = ((q.astype(np.float32) - zero[..., None]) * scale[..., None]).reshape(outputs, -1).T

    assert (np.abs(back - w) <= np.repeat(scale, BLOCK, axis=1).T * 1.001).all()


@pytest.mark.parametrize(("scheme", "bound_db", "share"), [("w4a16", 15.0, 0.35), ("w8a16", 35.0, 0.5)])
@pytest.mark.parametrize("gemm", [False, True])
def test_products_in_blocks(zoo: Any, scheme: str, bound_db: float, share: float, gemm: bool) -> None:
    """Both products of two layers become block products, small and alike."""
    graph = zoo.dense(gemm=gemm, hidden=128)
    found = convert(graph, scheme)

    assert 2 == ops(found.graph).count("MatMulNBits")
    assert not {"MatMul", "Gemm"} & set(ops(found.graph))
    assert share > len(found.graph.to_bytes()) / len(graph.to_bytes())
    assert likeness(zoo, found.graph, graph) >= bound_db


@pytest.mark.parametrize("scheme", ["w4a16", "w8a16"])
def test_blocks_say_what_they_leave(zoo: Any, scheme: str) -> None:
    """A convolution, a recurrent layer, and a product whose inputs are no multiple of the block: all with a reason."""
    s = zoo.sketch(0)
    odd = s.close(s.op("MatMul", "x", s.weight(40, 48)), ["batch", 40], ["batch", 48])
    for graph, why in ((zoo.conv(), "only products"), (zoo.recurrent(), "only products"), (odd, "no multiple of 32")):
        found = convert(graph, scheme)

        assert graph is found.graph
        assert [True] == [why in item.reason for item in found.untouched]


@pytest.mark.parametrize("kind", ["conv", "dense", "recurrent", "attention", "hybrid"])
def test_half_floats_are_nearly_exact(zoo: Any, kind: str) -> None:
    """``fp16`` stays 55 dB or more like float; where weights are large, the file is little over half."""
    graph = getattr(zoo, kind)(**({"channels": 32} if kind == "conv" else {}))
    found = convert(graph, "fp16")

    assert "fp16" in found.schemes.values()
    assert likeness(zoo, found.graph, graph) >= 55.0
    assert 0.85 > len(found.graph.to_bytes()) / len(graph.to_bytes())


def test_half_floats_refuse_what_overflows(zoo: Any) -> None:
    """A weight beyond 65,504 stays float, and the reason is named."""
    s = zoo.sketch(0)
    graph = s.close(s.op("MatMul", "x", s.weight(32, 48, scale=1e5)), ["batch", 32], ["batch", 48])
    found = convert(graph, "fp16")

    assert graph is found.graph
    assert ["a weight is too large for float16"] == [item.reason for item in found.untouched]


def wide(zoo: Any, kind: str, both: bool) -> Graph:
    """A recurrent layer whose input is wide beside its state, with a first state of its own."""
    s = zoo.sketch(2)
    gates, d, hidden = {"GRU": 3, "RNN": 1, "LSTM": 4}[kind], 2 if both else 1, 16
    x = s.op("Transpose", "x", perm=[1, 0, 2])
    w, r = s.weight(d, gates * hidden, 640, scale=0.05), s.weight(d, gates * hidden, hidden, scale=0.3)
    more: dict[str, Any] = {"linear_before_reset": 1} if kind == "GRU" else {}
    first = s.weight(d, 4, hidden)
    direction = "bidirectional" if both else "forward"
    b = s.weight(d, 2 * gates * hidden, scale=0.1)
    y = s.op(kind, x, w, r, b, "", first, hidden_size=hidden, direction=direction, **more)
    return zoo_close(s, y, d * hidden)


def zoo_close(s: Any, y: str, width: int) -> Graph:
    """Batch first again."""
    y = s.op("Reshape", s.op("Transpose", y, perm=[2, 0, 1, 3]), s.ints(0, 6, width))
    graph: Graph = s.close(y, [4, 6, 640], [4, 6, width])
    return graph


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("kind", ["GRU", "RNN", "LSTM"])
def test_wide_recurrent_layers_compute_in_integers(zoo: Any, kind: str, both: bool) -> None:
    """The input product leaves the recurrence as one integer product; an LSTM is one integer node. First states too."""
    graph = wide(zoo, kind, both)
    found = convert(graph, "w8-dyn")
    feeds = zoo.feeds(graph, 4)

    assert ("DynamicQuantizeLSTM" if kind == "LSTM" else "DynamicQuantizeMatMul") in ops(found.graph)
    assert 0.5 > len(found.graph.to_bytes()) / len(graph.to_bytes())
    assert sqnr_db({"y": zoo.run(found.graph, feeds)}, {"y": zoo.run(graph, feeds)}) >= 28.0


def test_lstm_in_static_int8(zoo: Any) -> None:
    """``w8a8`` takes the one int8 kernel that an LSTM has."""
    assert "DynamicQuantizeLSTM" in ops(convert(zoo.recurrent(kind="LSTM"), "w8a8").graph)


def test_depthwise_stays_float(zoo: Any) -> None:
    """``w8a8`` leaves a depthwise convolution, and says why."""
    s = zoo.sketch(0)
    y = s.op("Conv", "x", s.weight(3, 1, 3, 3), s.weight(3), group=3)
    graph = s.close(y, ["batch", 3, 8, 8], ["batch", 3, 6, 6])
    found = convert(graph, "w8a8")

    assert graph is found.graph
    assert "depthwise" in found.untouched[0].reason
