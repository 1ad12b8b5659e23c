from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgehybrid.bundle import Bundle
from edgehybrid.errors import BackendError
from edgehybrid.profiles import ExecutionPolicy
from edgehybrid.runtime.backends import (
    BACKENDS,
    LoadRequest,
    Session,
    assignment_of,
    make_backend,
    survey_backends,
)
from edgehybrid.runtime.backends.onnx import OnnxBackend
from edgehybrid.runtime.backends.onnx_errors import ORT_ERRORS
from edgehybrid.runtime.engine import Engine
from edgehybrid.runtime.execution import load_plan
from edgehybrid.runtime.verification import verify
from edgehybrid.testing.bundles import make_bundle, make_point

KWS = Path(__file__).parents[3] / "samples/keyword_spotter"
OPENVINO = "onnx-openvino"
X = np.ones((1, 4), np.float32)


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    pytest.importorskip("onnxruntime_ep_openvino", reason="the extra openvino is not installed")


def load(path: Path, *, threads: int = 1, backend: str = OPENVINO) -> Session:
    return make_backend(backend).load(LoadRequest(model_file=path, threads=threads))


def write(folder: Path, nodes: list[onnx.NodeProto], initializers: list[onnx.TensorProto]) -> Path:
    shape: list[str | int | None] = ["batch", 4]
    graph = helper.make_graph(
        nodes,
        "pieces",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        initializers,
        value_info=[helper.make_tensor_value_info(n.output[0], TensorProto.FLOAT, shape) for n in nodes[:-1]],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    path = folder / "pieces.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
    return path


def alternating(folder: Path, pieces: int) -> Path:
    """Dense layers, with a scaler in between that only ONNX Runtime itself computes."""
    weight = numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")
    nodes, last = [], "x"
    for k in range(pieces):
        for name in (f"m{k}a", f"m{k}b", f"m{k}c"):
            nodes.append(helper.make_node("MatMul", [last, "w"], [name]))
            last = name
        if k < pieces - 1:
            scale = helper.make_node(
                "Scaler", [last], [f"s{k}"], domain="ai.onnx.ml", offset=[0.0] * 4, scale=[1.0] * 4
            )
            nodes.append(scale)
            last = f"s{k}"
    nodes.append(helper.make_node("Identity", [last], ["y"]))
    return write(folder, nodes, [weight])


def test_a_second_provider_computes_the_same_and_proves_it() -> None:
    """OpenVINO beside ONNX Runtime: every node of the keyword spotter in one island, the same answer in float32."""
    model, x = KWS / "model.onnx", np.load(KWS / "test.npz")
    placed, own = load(model), load(model, backend="onnx")
    found = assignment_of(placed)

    assert found is not None
    assert ({"OpenVINO CPU"}, 1, 2) == (set(found.nodes), found.islands, found.transfers)
    for row in (0, 1, 0):  # another input each time, in memory that is bound once
        feeds = {spec.name: x[spec.name][row : row + 1] for spec in own.inputs}
        for name, expected in own.run(feeds).items():
            np.testing.assert_allclose(expected, placed.run(feeds)[name], atol=1e-4)
    at_home = assignment_of(own)
    assert at_home is not None
    assert {"CPU": found.total} == at_home.nodes


def test_threads_of_a_point_hold(tmp_path: Path) -> None:
    """The provider is told its threads, a single stream, and to stay in float32 where the CPU has bfloat16."""
    session = load(alternating(tmp_path, 1), threads=2)
    told = session._session.get_provider_options()["OpenVINOExecutionProvider"]  # type: ignore[attr-defined]  # ORT's

    expected = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": "2", "NUM_STREAMS": "1"}
    assert {"CPU": expected} == json.loads(told["load_config"])


def test_a_file_that_falls_apart_is_refused(tmp_path: Path) -> None:
    """Two islands are let through and named, seven are refused, with what stayed behind."""
    two = assignment_of(load(alternating(tmp_path, 2)))
    assert two is not None
    assert (2, ("Scaler",)) == (two.islands, two.left)

    with pytest.raises(BackendError, match=r"it falls apart: OpenVINO CPU .* in 7 islands; on the CPU: Scaler"):
        load(alternating(tmp_path, 7))


def test_without_a_record_nothing_may_stay_on_the_cpu(tmp_path: Path) -> None:
    """An ONNX Runtime that keeps no record of what went where: a single node on the CPU is one too many."""
    backend = make_backend(OPENVINO)
    assert isinstance(backend, OnnxBackend)
    older = SimpleNamespace(
        **{**vars(ort), "InferenceSession": lambda *given, **named: ort.InferenceSession(*given, **named)}
    )

    with pytest.raises(ORT_ERRORS, match="fallback"):
        backend._open(older, LoadRequest(model_file=alternating(tmp_path, 2)))
    assert backend._open(older, LoadRequest(model_file=alternating(tmp_path, 1)))


def test_the_survey_names_every_back_end_with_its_reason() -> None:
    """What is offered has a version and devices; what is not says why, and how to get it."""
    reports = {report.name: report for report in survey_backends()}

    assert set(BACKENDS) <= set(reports)
    assert reports[OPENVINO].problem is None
    assert reports[OPENVINO].devices
    for name in ("onnx-qnn", "onnx-hailo", "tflite-edgetpu"):
        assert "it comes with" in (reports[name].problem or "")
    assert "no such device here (it shows: " in (reports["onnx-openvino-npu"].problem or "")


def test_a_back_end_that_is_not_here_excludes_its_points(write_marks: Callable[..., Bundle]) -> None:
    """The engine serves by another point, and says which library is missing."""
    bundle = write_marks()
    points = tuple(replace(p, placement={"main": "tflite-edgetpu"}) if p.name == "max" else p for p in bundle.points)
    placed = Bundle(bundle.path, replace(bundle.doc, points=points))
    with Engine(placed, background=False) as engine:
        assert "max" != engine.run({"x": X}).point
        assert "libedgetpu" in engine.status().excluded["max"]


def test_one_file_on_two_back_ends(tmp_path: Path) -> None:
    """A point places the file of its variant on another back end, with its own tolerance, and verify tries both."""
    content = alternating(tmp_path, 1).read_bytes()
    points = (make_point("fp32", energy_mj=2), make_point("max", energy_mj=1, backend=OPENVINO))
    spec = {name: load(tmp_path / "pieces.onnx", backend="onnx") for name in ("s",)}["s"]
    bundle = make_bundle(
        tmp_path / "two.bundle",
        points=points,
        inputs=spec.inputs,
        outputs=spec.outputs,
        golden_inputs={"x": X},
        golden_outputs={p.name: {"y": X} for p in points},
        models={p.name: content for p in points},
    )
    shared = replace(bundle.point("max"), variants={"main": "fp32"})
    both = Bundle(bundle.path, replace(bundle.doc, points=(bundle.point("fp32"), shared)))
    plan = load_plan(both, shared, ExecutionPolicy(), make_backend)

    assert {"main": f"{OPENVINO}: OpenVINO CPU 3 of 3 nodes in 1 island"} == plan.placed()
    checks = {(check.variant, check.backend): check for check in verify(both)}
    assert checks["fp32", "onnx"].points == ("fp32",)
    assert checks["fp32", OPENVINO].points == ("max",)
    assert all(check.problem is None for check in checks.values())
    with Engine(both, start="max", background=False) as engine:
        assert "max" == engine.run({"x": X}).point
        assert "in 1 island" in engine.status().placement["main"]
