"""Files of another converter are brought to the face of the ONNX graph; stand-ins are written by our own writer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ai_edge_quantizer", reason="the extra export-tflite is not installed")

from ai_edge_litert import schema_py_generated as schema
from onnx import helper

from edgehybrid.errors import ModelError
from edgehybrid.exporters.formats.fallback.adopt import Face, adopt
from edgehybrid.exporters.formats.litert import convert
from edgehybrid.exporters.formats.litert.flat import operator_code, read_model, to_bytes
from edgehybrid.runtime.backends import LoadRequest, Session, TfliteBackend
from edgehybrid.tensors import TensorSpec
from tests.exporters.formats.fallback.conftest import graph_of

ROW = {"args_0": np.arange(6, dtype=np.float32)[None], "args_1": np.array([[3]], np.int32)}
INPUTS = (
    Face(theirs="args_0", name="wave", dtype="float32"),
    Face(theirs="args_1", name="output_0", dtype="int64"),  # a name that the file uses for something else
)
OUTPUTS = (Face(theirs="output_0", name="y.1", dtype="float32"), Face(theirs="output_1", name="n", dtype="int64"))


@pytest.fixture(scope="module")
def foreign() -> bytes:
    """``(x + k, k + k)`` of float ``x`` and narrow integer ``k``, as another converter names and narrows them."""
    nodes = [
        helper.make_node("Cast", ["args_1"], ["f"], to=1),
        helper.make_node("Add", ["args_0", "f"], ["output_0"]),
        helper.make_node("Add", ["args_1", "args_1"], ["output_1"]),
    ]
    graph = graph_of(
        nodes,
        [("args_0", np.float32, (1, 6)), ("args_1", np.int32, (1, 1))],
        [("output_0", np.float32, (1, 6)), ("output_1", np.int32, (1, 1))],
    )
    return convert(graph, ROW)


def changed(content: bytes, change: Any) -> bytes:
    """The file after a change of its model."""
    model = read_model(content)
    change(model)
    return to_bytes(model)


def opened(content: bytes, folder: Path) -> Session:
    """The file, loaded as the device does."""
    place = folder / "adopted.tflite"
    place.write_bytes(content)
    return TfliteBackend().load(LoadRequest(model_file=place))


def test_names_and_integers_become_those_of_the_graph(foreign: bytes, tmp_path: Path) -> None:
    """The engine sees the graph's names in the graph's order, and 64 bits where the converter made 32; values stay."""
    session = opened(adopt(foreign, INPUTS, OUTPUTS, "another 1.0"), tmp_path)
    outputs = session.run({"wave": ROW["args_0"], "output_0": np.array([[3]], np.int64)})

    assert {"wave", "output_0"} == {spec.name for spec in session.inputs}
    assert TensorSpec(name="n", dtype="int64", shape=(1, 1)) in session.outputs
    np.testing.assert_array_equal(ROW["args_0"] + 3, outputs["y.1"])
    np.testing.assert_array_equal([[6]], outputs["n"])


def test_tensors_are_found_by_name_not_by_place(foreign: bytes, tmp_path: Path) -> None:
    """Signatures are sorted as texts, ``args_10`` before ``args_2``: another order of theirs changes nothing."""

    def turn(model: Any) -> None:
        signature = model.signatureDefs[0]
        signature.inputs, signature.outputs = list(signature.inputs)[::-1], list(signature.outputs)[::-1]

    turned = opened(adopt(changed(foreign, turn), INPUTS, OUTPUTS, "another 1.0"), tmp_path)
    outputs = turned.run({"wave": ROW["args_0"], "output_0": np.array([[3]], np.int64)})

    np.testing.assert_array_equal(ROW["args_0"] + 3, outputs["y.1"])


def test_file_says_who_wrote_it(foreign: bytes) -> None:
    """Every tensor keeps a name of its own, and the description names the writer."""
    model = read_model(adopt(foreign, INPUTS, OUTPUTS, "another 1.0"))
    names = [tensor.name for tensor in model.subgraphs[0].tensors]

    assert b"edgehybrid, written by another 1.0" == model.description
    assert len(names) == len(set(names))


@pytest.mark.parametrize("number", [0, 1])
def test_outputs_that_share_a_tensor_are_told_apart(foreign: bytes, tmp_path: Path, number: int) -> None:
    """A tensor that is given twice, or given as it came in, is written once more: each output has its own name."""

    def share(model: Any) -> None:
        signature = model.signatureDefs[0]
        shared = (signature.outputs[0], signature.inputs[0])[number].tensorIndex
        signature.outputs[1].tensorIndex = shared
        model.subgraphs[0].outputs = [model.subgraphs[0].outputs[0], shared]

    both = (OUTPUTS[0], Face(theirs="output_1", name="again", dtype="float32"))
    session = opened(adopt(changed(foreign, share), INPUTS, both, "another 1.0"), tmp_path)
    outputs = session.run({"wave": ROW["args_0"], "output_0": np.array([[3]], np.int64)})

    np.testing.assert_array_equal(ROW["args_0"] + (3 if number == 0 else 0), outputs["again"])


def test_what_no_engine_can_run_is_refused(foreign: bytes) -> None:
    """Custom operators, missing tensors and other dtypes are named, with who wrote the file."""

    def custom(model: Any) -> None:
        code = operator_code(schema.BuiltinOperator.CUSTOM, 1)
        code.customCode = "FlexSort"
        model.operatorCodes.append(code)

    with pytest.raises(ModelError, match=r"another 1.0: its file needs FlexSort"):
        adopt(changed(foreign, custom), INPUTS, OUTPUTS, "another 1.0")
    with pytest.raises(ModelError, match="lacks z"):
        adopt(foreign, (*INPUTS, Face(theirs="args_2", name="z", dtype="float32")), OUTPUTS, "another 1.0")
    with pytest.raises(ModelError, match="has 'n' as int32, not float32"):
        adopt(foreign, INPUTS, (OUTPUTS[0], Face(theirs="output_1", name="n", dtype="float32")), "another 1.0")


@pytest.mark.parametrize(
    "content", [b"", b"no file", b"\x1c\x00\x00\x00TFL3" + b"\xff" * 40], ids=["empty", "text", "torn"]
)
def test_garbage_is_refused(content: bytes) -> None:
    """What is no TFLite file is said to be none."""
    with pytest.raises(ModelError, match=r"no TFLite file|damaged file"):
        adopt(content, INPUTS, OUTPUTS, "another 1.0")
