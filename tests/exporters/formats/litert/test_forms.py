from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_quantizer", reason="the extra export-tflite is not installed")

import onnx
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper

from benchmarks.hardware.operators import weights
from edgehybrid.errors import ModelError
from edgehybrid.exporters.formats.litert import convert
from edgehybrid.exporters.formats.litert.flat import read_model
from edgehybrid.exporters.formats.litert.gate import FLOAT_PARITY, measure_parity, require_parity
from edgehybrid.exporters.formats.litert.recipes import LEAST_LITERT, RECIPES, calibrate, quantize
from edgehybrid.exporters.formats.litert.versions import versions
from edgehybrid.exporters.model import Graph, open_session
from edgehybrid.runtime.backends import LITERT, TFLITE_RUNTIME, LoadRequest, Session

FLOAT = TensorProto.FLOAT


def small_hybrid() -> onnx.ModelProto:
    """Convolution, ReLU, a GRU over its columns, a dense layer."""
    nodes = [
        helper.make_node("Conv", ["x", "cw", "cb"], ["c"], pads=[1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Transpose", ["r"], ["s"], perm=[2, 0, 1]),
        helper.make_node("GRU", ["s", "w", "u", "b"], ["", "h"], hidden_size=16, linear_before_reset=1),
        helper.make_node("Squeeze", ["h", "zero"], ["q"]),
        helper.make_node("Gemm", ["q", "dw", "db"], ["y"], transB=1),
    ]
    known = {"cw": weights(16, 8, 3), "cb": weights(16), "w": weights(1, 48, 16), "u": weights(1, 48, 16)}
    known |= {"b": weights(1, 96), "dw": weights(5, 16), "db": weights(5)}
    held = [numpy_helper.from_array(array, name) for name, array in known.items()]
    held.append(numpy_helper.from_array(np.array([0], np.int64), "zero"))
    graph = helper.make_graph(
        nodes,
        "hybrid",
        [helper.make_tensor_value_info("x", FLOAT, (1, 8, 10))],
        [helper.make_tensor_value_info("y", FLOAT, (1, 5))],
        held,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


MODEL = small_hybrid()
ROWS = [{"x": np.random.default_rng(seed).standard_normal((1, 8, 10)).astype(np.float32)} for seed in range(12)]


@pytest.fixture(scope="module")
def floats() -> bytes:
    return convert(Graph(proto=MODEL), ROWS[0])


def run_float(feeds: object) -> dict[str, np.ndarray]:
    return {"y": open_session(MODEL).run(None, feeds)[0]}


@pytest.mark.parametrize("form", list(RECIPES))
def test_every_form_passes_its_gate(form: str, floats: bytes, load: Callable[[bytes], Session]) -> None:
    """Each recipe quantizes a hybrid to a file that LiteRT runs, and that comes near enough to float."""
    recipe = RECIPES[form]
    content = quantize(floats, recipe, calibrate(floats, ROWS) if recipe.calibrated else None)

    assert measure_parity(load(content), run_float, ROWS).sqnr_db >= recipe.least_db


def test_scales_per_channel_are_marked_for_engines_that_know_them(floats: bytes) -> None:
    """The first silent trap: dense weights with a scale per channel are noise in tflite-runtime 2.14.

    The operator is written at version 12, which that engine refuses to load, and the file names LiteRT only.
    """
    content = quantize(floats, RECIPES["w8-dyn-channels"])

    assert {12} == versions(content)["FULLY_CONNECTED"]
    assert {LITERT: LEAST_LITERT} == RECIPES["w8-dyn-channels"].needs


def test_the_mixture_stays_readable_for_every_engine(floats: bytes) -> None:
    """The default dynamic form has one scale for a dense layer, so that both engines compute it right."""
    content = quantize(floats, RECIPES["w8-dyn"])

    assert max(versions(content)["FULLY_CONNECTED"]) < 12
    assert set(RECIPES["w8-dyn"].needs) == {LITERT, TFLITE_RUNTIME}


def test_static_files_name_an_engine_without_the_fault() -> None:
    """The second silent trap: LiteRT 2.0.3 to 2.1.2 lose 20 dB on static int8 with norms; no form allows them."""
    assert (2, 1, 6) == tuple(map(int, LEAST_LITERT.split(".")))
    assert all(recipe.needs[LITERT] == LEAST_LITERT for recipe in RECIPES.values())


def test_the_gate_stops_what_computes_something_else(floats: bytes, tmp_path: Path) -> None:
    """A file with other weights loads and runs; the gate refuses it, as float and as quantized, and without inputs."""
    model = read_model(floats)
    largest = max(model.buffers, key=lambda buffer: 0 if buffer.data is None else len(buffer.data))
    largest.data = np.zeros_like(largest.data)
    from edgehybrid.exporters.formats.litert.flat import to_bytes

    place = tmp_path / "broken.tflite"
    place.write_bytes(to_bytes(model))
    request = LoadRequest(model_file=place)
    with pytest.raises(ModelError, match="differs by"):
        require_parity(request, run_float, ROWS)
    with pytest.raises(ModelError, match="garbage"):
        require_parity(request, run_float, ROWS, least_db=30.0)
    with pytest.raises(ModelError, match="no input"):
        require_parity(request, run_float, [])


def test_activations_are_built_in_and_weights_shared(floats: bytes) -> None:
    """A convolution's ReLU is gone, only the input is transposed, and the steps of the GRU read the same weights."""
    model = read_model(floats)
    codes = [int(code.builtinCode) for code in model.operatorCodes]
    turned = [o for o in model.subgraphs[0].operators if codes[o.opcodeIndex] == schema.BuiltinOperator.TRANSPOSE]

    assert "RELU" not in versions(floats)
    assert len(turned) == 1
    assert len(floats) < 4 * sum(int(np.prod(t.dims)) for t in MODEL.graph.initializer) + 30_000


def test_an_activation_is_not_built_in_where_the_value_is_read_elsewhere(load: Callable[[bytes], Session]) -> None:
    """The last state of an LSTM goes, reshaped, through a ReLU and out of the graph: the state itself stays."""
    nodes = [
        helper.make_node("LSTM", ["x", "w", "u"], ["", "h", ""], hidden_size=4),
        helper.make_node("Squeeze", ["h", "zero"], ["s"]),
        helper.make_node("Unsqueeze", ["s", "two"], ["t"]),
        helper.make_node("Relu", ["t"], ["y"]),
        helper.make_node("Unsqueeze", ["s", "zero"], ["state"]),
    ]
    known = {"w": weights(1, 16, 3), "u": weights(1, 16, 4), "zero": np.array([0]), "two": np.array([2])}
    graph = helper.make_graph(
        nodes,
        "state",
        [helper.make_tensor_value_info("x", FLOAT, (1, 1, 3))],
        [
            helper.make_tensor_value_info("y", FLOAT, (1, 4, 1)),
            helper.make_tensor_value_info("state", FLOAT, (1, 1, 4)),
        ],
        [numpy_helper.from_array(array, name) for name, array in known.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    x = {"x": np.array([[[1.0, -2.0, 3.0]]], np.float32)}
    session = open_session(model)
    expected = dict(zip(("y", "state"), session.run(["y", "state"], x), strict=True))

    found = measure_parity(load(convert(Graph(proto=model), x)), lambda _: expected, [x])

    assert expected["state"].min() < 0.0
    assert found.difference <= FLOAT_PARITY


@pytest.mark.parametrize("mode", ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT"])
def test_trees_reach_the_leaves_that_onnx_reaches(mode: str, load: Callable[[bytes], Session]) -> None:
    """Features that stand on a threshold, beside it, or are no number take ONNX Runtime's branch, in every mode."""
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=[0] * 5,
        nodes_nodeids=[0, 1, 2, 3, 4],
        nodes_featureids=[0, 1, 0, 0, 0],
        nodes_modes=[mode, mode, "LEAF", "LEAF", "LEAF"],
        nodes_values=[0.5, -0.25, 0.0, 0.0, 0.0],
        nodes_truenodeids=[1, 2, 0, 0, 0],
        nodes_falsenodeids=[4, 3, 0, 0, 0],
        target_treeids=[0, 0, 0],
        target_nodeids=[2, 3, 4],
        target_ids=[0, 0, 0],
        target_weights=[1.0, 2.0, 4.0],
        base_values=[0.125],
    )
    graph = helper.make_graph(
        [node],
        "trees",
        [helper.make_tensor_value_info("x", FLOAT, (1, 2))],
        [helper.make_tensor_value_info("y", FLOAT, (1, 1))],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    session, lite = open_session(model), load(convert(Graph(proto=model), {"x": np.zeros((1, 2), np.float32)}))
    near = [np.float32(0.5), np.nextafter(np.float32(0.5), np.float32(1)), np.float32(-0.25), np.float32(0.0), np.nan]
    for a in near:
        for b in near:
            x = {"x": np.array([[a, b]], np.float32)}
            np.testing.assert_array_equal(session.run(None, x)[0], lite.run(x)["y"])
