from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgehybrid.runtime.backends import LoadRequest, OnnxBackend, Session, TfliteBackend
from edgehybrid.runtime.execution import LoadedStage, Plan
from edgehybrid.runtime.execution.frames import bind_frame
from edgehybrid.tensors import TensorSpec
from edgehybrid.testing.bundles import make_point

pytest.importorskip("ai_edge_litert", reason="the extra tflite is not installed")
pytest.importorskip("flatbuffers", reason="the extra export-tflite is not installed")

WIDE = 8
WEIGHT = np.random.default_rng(0).standard_normal((WIDE, WIDE)).astype(np.float32) / 3


def tensor(name: str) -> TensorSpec:
    return TensorSpec(name=name, dtype="float32", shape=("batch", WIDE))


def dense_onnx(folder: Path, source: str, target: str) -> Session:
    """``target = source · Wᵀ`` in ONNX Runtime."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", WIDE]) for name in (source, target)]
    node = helper.make_node("Gemm", [source, "w"], [target], transB=1)
    graph = helper.make_graph([node], "dense", values[:1], values[1:], [numpy_helper.from_array(WEIGHT, "w")])
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    place = folder / f"{source}-{target}.onnx"
    place.write_bytes(model.SerializeToString())
    return OnnxBackend().load(LoadRequest(model_file=place))


def dense_tflite(folder: Path, source: str, target: str) -> Session:
    """The same in LiteRT, whose file has one row."""
    from ai_edge_litert import schema_py_generated as schema

    from edgehybrid.exporters.formats.litert.flat import Flat

    flat = Flat()
    x, y = flat.tensor("a", (1, WIDE), "float32"), flat.tensor("b", (1, WIDE), "float32")
    code, options = schema.BuiltinOperator.FULLY_CONNECTED, schema.FullyConnectedOptionsT()
    zeros = flat.constant(np.zeros(WIDE, np.float32), "bias")
    flat.add(code, (x, flat.constant(WEIGHT, "w"), zeros), (y,), options)
    place = folder / f"{source}-{target}.tflite"
    place.write_bytes(flat.finish({source: x}, {target: y}))
    request = LoadRequest(model_file=place, inputs=(tensor(source),), outputs=(tensor(target),))
    return TfliteBackend().load(request)


MAKERS: dict[str, Any] = {"o": dense_onnx, "t": dense_tflite}


def stages_of(folder: Path, kinds: str) -> tuple[LoadedStage, ...]:
    names = ["x", *(f"h{k}" for k in range(1, len(kinds))), "y"]
    return tuple(
        LoadedStage(name=f"s{k}", session=MAKERS[kind](folder, names[k], names[k + 1])) for k, kind in enumerate(kinds)
    )


def plan_of(folder: Path, kinds: str) -> Plan:
    stages = stages_of(folder, kinds)
    point = make_point("max", energy_mj=1)
    return Plan(point=point, stages=stages, inputs=(tensor("x"),), outputs=("y",))


def truth(x: np.ndarray, depth: int) -> np.ndarray:
    for _ in range(depth):
        x = x @ WEIGHT.T
    return x


@pytest.mark.parametrize("kinds", ["ot", "to", "oto", "tot", "tt", "ott"])
def test_stages_of_both_engines_give_what_they_give_apart(tmp_path: Path, kinds: str) -> None:
    """In any order, for single inputs and batches, also from several threads at once."""
    plan = plan_of(tmp_path, kinds)
    rng = np.random.default_rng(1)
    for rows in (1, 1, 3, 1):
        x = rng.standard_normal((rows, WIDE)).astype(np.float32)
        np.testing.assert_allclose(truth(x, len(kinds)), plan.run({"x": x})[0]["y"], rtol=1e-4, atol=1e-5)

    wrong: list[int] = []

    def serve(seed: int) -> None:
        mine = np.random.default_rng(seed)
        for _ in range(200):
            x = mine.standard_normal((1, WIDE)).astype(np.float32)
            if not np.allclose(truth(x, len(kinds)), plan.run({"x": x})[0]["y"], rtol=1e-4, atol=1e-5):
                wrong.append(seed)

    threads = [threading.Thread(target=serve, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == wrong


@pytest.mark.parametrize(("kinds", "copies"), [("ot", 0), ("to", 0), ("oto", 0), ("tt", 1), ("oo", 0)])
def test_nothing_is_copied_between_engines(tmp_path: Path, kinds: str, copies: int) -> None:
    """A stage writes where the next one reads; only two engines that both own their memory need a copy."""
    stages = stages_of(tmp_path, kinds)
    frame = bind_frame(stages, (tensor("x"),), ("y",), ((1, WIDE),))
    assert frame is not None

    steps = [*(run for _, run, _ in frame.early), frame.last]
    assert copies == sum(getattr(step, "__qualname__", "").endswith("_tie.<locals>.run") for step in steps)
    assert bind_frame(stages, (tensor("x"),), ("y",), ((2, WIDE),)) is None or "t" not in kinds
