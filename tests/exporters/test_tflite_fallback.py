"""Who is told of litert-torch where it is not installed."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest

pytest.importorskip("ai_edge_quantizer", reason="the extra export-tflite is not installed")

from onnx import TensorProto, helper

from edgehybrid.exporters import ExportOptions, Silent
from edgehybrid.exporters.formats import fallback
from edgehybrid.exporters.measure import Cache, local_pool
from edgehybrid.exporters.prepare import Prepared, prepare
from edgehybrid.exporters.search import Built
from edgehybrid.exporters.tflite_candidates import tflite_plans, write_tflite
from edgehybrid.exporters.trial import Tools

pytestmark = [
    pytest.mark.skipif(find_spec("litert_torch") is not None, reason="litert-torch is installed"),
    pytest.mark.skipif(not fallback.can_be_installed(), reason="litert-torch has no wheels for this machine"),
]
OPTIONS = ExportOptions(effort="quick", cache=False, formats=("onnx", "tflite"))


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Checked inputs of an export of a model with an operator that our own writer refuses."""
    folder = tmp_path_factory.mktemp("refused")
    value = helper.make_tensor_value_info
    nodes = [helper.make_node("Sinh", ["x"], ["s"], name="the-one"), helper.make_node("Relu", ["s"], ["y"])]
    sides = [value("x", TensorProto.FLOAT, ("batch", 6))], [value("y", TensorProto.FLOAT, ("batch", 6))]
    graph = helper.make_graph(nodes, "odd", sides[0], sides[1])
    opsets = [helper.make_opsetid("", 18)]
    onnx.save_model(helper.make_model(graph, opset_imports=opsets, ir_version=9), folder / "model.onnx")
    np.savez(folder / "data.npz", x=np.random.default_rng(0).standard_normal((20, 6)).astype(np.float32))
    return prepare(folder / "model.onnx", folder / "data.npz", None, OPTIONS)


def written(given: Prepared, folder: Path) -> Built:
    """Try to write all TFLite files of it."""
    with local_pool() as pool:
        tools = Tools(cache=Cache(folder=folder), executor=pool, progress=Silent())
        return write_tflite(tflite_plans(given.components), given, OPTIONS, tools)


def test_a_model_from_pytorch_is_told_what_may_help(given: Prepared, tmp_path: Path) -> None:
    """The reason of our own writer stands, and then the command that installs the other."""
    lite = written(replace(given, model=replace(given.model, from_torch=True)), tmp_path)

    assert len(tflite_plans(given.components)) == len(lite.dropped)
    for reason in (*(item.reason for item in lite.dropped), lite.untouched[0].reason):
        assert "Sinh 'the-one'" in reason
        assert "pip install 'edgehybrid[export-litert-torch]'" in reason


def test_an_onnx_model_is_not(given: Prepared, tmp_path: Path) -> None:
    """There is no PyTorch model to ask litert-torch about."""
    reasons = {item.reason for item in written(given, tmp_path).dropped}

    assert {"TFLite: Sinh 'the-one': there is no such operator in TFLite, and no way to write it in others."} == reasons


def test_a_model_with_two_free_axes_is_not(given: Prepared, tmp_path: Path) -> None:
    """No writer gets around fixed shapes."""
    free = tuple(replace(spec, shape=("batch", "time")) for spec in given.model.inputs)
    lite = written(replace(given, model=replace(given.model, inputs=free, from_torch=True)), tmp_path)

    assert all("batch, time are free" in item.reason and "pip" not in item.reason for item in lite.dropped)
