"""Graphs inside of nodes: branches and loops."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgehybrid.exporters import inspect_model, load_model
from edgehybrid.exporters.model import open_session

FLOAT = TensorProto.FLOAT
SILERO = Path(__file__).parents[4] / "shared" / "data" / "onnx-silero-vad" / "silero_vad_16k_op15.onnx"


def tensor(name: str, array: Any, dtype: type[np.generic] = np.float32) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(array, dtype), name)


def value(name: str, shape: Sequence[int | str], kind: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, list(shape))


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    ends: tuple[list[onnx.ValueInfoProto], list[onnx.ValueInfoProto]],
    weights: list[onnx.TensorProto],
) -> Path:
    graph = helper.make_graph(nodes, "g", *ends, weights)
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()
    )
    return path


def branches() -> dict[str, onnx.GraphProto]:
    """A large product, or a small one in two steps."""
    large = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["a"])], "t", [], [value("a", ["n", 6])])
    small = helper.make_graph(
        [helper.make_node("MatMul", ["x", "u"], ["b0"]), helper.make_node("MatMul", ["b0", "v"], ["b"])],
        "e",
        [],
        [value("b", ["n", 6])],
        [tensor("v", np.ones((1, 6)))],
    )
    return {"then_branch": large, "else_branch": small}


WEIGHTS = [tensor("w", np.full((8, 6), 0.5)), tensor("u", np.ones((8, 1)))]


def switched(path: Path) -> Path:
    """The app chooses the branch."""
    nodes = [helper.make_node("If", ["which"], ["y"], name="if", **branches())]
    return save(
        path, nodes, ([value("x", ["n", 8]), value("which", [], TensorProto.BOOL)], [value("y", ["n", 6])]), WEIGHTS
    )


def by_rank(path: Path, axis: int, shape: Sequence[int | str]) -> Path:
    """The length of an axis chooses the branch."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"], name="shape"),
        helper.make_node("Gather", ["s", "axis"], ["length"], name="gather"),
        helper.make_node("Equal", ["length", "eight"], ["which"], name="equal"),
        helper.make_node("If", ["which"], ["y"], name="if", **branches()),
    ]
    weights = [*WEIGHTS, tensor("axis", axis, np.int64), tensor("eight", 8, np.int64)]
    return save(path, nodes, ([value("x", shape)], [value("y", [shape[0], 6])]), weights)


def operators(path: Path, shapes: dict[str, tuple[int | str, ...]] | None = None) -> set[str]:
    return {node.op_type for node in load_model(path, shapes).graph.proto.graph.node}


def test_branches_count_where_the_condition_is_free(tmp_path: Path) -> None:
    """A branch node is of the family inside; parameters of both branches count, the work of the one that ran."""
    report = inspect_model(switched(tmp_path / "m.onnx"), runs=2)
    (component,) = report.components

    assert "dense" == component.family
    assert 1 + 1 + 2 == component.nodes  # the node and what is in it
    assert 8 * 6 + 8 + 6 == report.params
    assert 8 + 6 == report.macs  # made-up truth is False: the second branch
    assert 4 * (8 + 8 + 1) + 4 * (1 + 6 + 6) == report.bytes_moved[0]


def test_settled_branch_takes_the_place_of_its_node(tmp_path: Path) -> None:
    """A condition on an axis of fixed length is no condition, and the model computes the same without it."""
    path = by_rank(tmp_path / "m.onnx", 1, ["n", 8])
    x: NDArray[np.float32] = np.random.default_rng(0).standard_normal((3, 8), dtype=np.float32)
    (before,) = open_session(path.read_bytes()).run(None, {"x": x})
    (after,) = open_session(load_model(path).graph.proto).run(None, {"x": x})

    assert {"MatMul"} == operators(path)
    np.testing.assert_array_equal(np.asarray(before), np.asarray(after))


def test_branch_on_the_batch_stays_until_the_batch_is_fixed(tmp_path: Path) -> None:
    """A condition on a free axis decides for real; ``--shape`` settles it, one way or the other."""
    path = by_rank(tmp_path / "m.onnx", 0, ["n", 8])

    assert "If" in operators(path)
    assert {"MatMul"} == operators(path, {"x": (8, 8)})
    assert 2 == len(load_model(path, {"x": (1, 8)}).graph.proto.graph.node)


def test_scan_with_a_state_is_recurrent(tmp_path: Path) -> None:
    """A loop that carries a state through a product is recurrent; its work counts once per turn."""
    body = helper.make_graph(
        [helper.make_node("MatMul", ["h", "r"], ["p"]), helper.make_node("Add", ["p", "xt"], ["h2"]),
         helper.make_node("Identity", ["h2"], ["o"])],
        "body", [value("h", [1, 4]), value("xt", [1, 4])], [value("h2", [1, 4]), value("o", [1, 4])],
    )  # fmt: skip
    scan = helper.make_node("Scan", ["h0", "x"], ["hn", "y"], name="scan", body=body, num_scan_inputs=1)
    weights = [tensor("r", np.eye(4)), tensor("h0", np.zeros((1, 4)))]
    path = save(tmp_path / "m.onnx", [scan], ([value("x", [5, 1, 4])], [value("y", [5, 1, 4])]), weights)
    report = inspect_model(path, runs=2)

    assert ["recurrent"] == [c.family for c in report.components]
    assert 5 * 4 * 4 == report.macs
    assert 4 * 4 + 4 == report.params


def test_loop_counts_its_turns(tmp_path: Path) -> None:
    """A loop with a known number of turns does its body's work so many times; its time is measured once."""
    body = helper.make_graph(
        [helper.make_node("MatMul", ["s", "r"], ["s2"]), helper.make_node("Identity", ["go"], ["go2"])],
        "body",
        [value("i", [], TensorProto.INT64), value("go", [], TensorProto.BOOL), value("s", ["n", 4])],
        [value("go2", [], TensorProto.BOOL), value("s2", ["n", 4])],
    )
    loop = helper.make_node("Loop", ["times", "true", "x"], ["y"], name="loop", body=body)
    weights = [tensor("times", 3, np.int64), tensor("true", True, np.bool_), tensor("r", np.eye(4))]
    path = save(tmp_path / "m.onnx", [loop], ([value("x", ["n", 4])], [value("y", ["n", 4])]), weights)
    report = inspect_model(path, runs=2)

    assert ["recurrent"] == [c.family for c in report.components]
    assert 3 * 4 * 4 == report.macs
    assert 1.0 == pytest.approx(sum(c.time_share or 0.0 for c in report.components) + (report.unknown_share or 0.0))


def test_voice_detector_is_understood() -> None:
    """A foreign model whose LSTM lies in nested branches: it comes out, and nothing stays behind a condition."""
    if not SILERO.exists():
        pytest.skip("../shared/data is not there")
    report = inspect_model(SILERO, {"input": ("batch", 576)}, runs=2)
    recurrent = [c for c in report.components if c.family == "recurrent"]

    assert [4 * 128 * (128 + 128) + 2 * 4 * 128] == [c.params for c in recurrent]
    assert [4 * 128 * (128 + 128)] == [c.macs for c in recurrent]
    assert "If" not in operators(SILERO, {"input": ("batch", 576)})
    assert {"batch": 1} == report.lengths
