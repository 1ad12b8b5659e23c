from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgehybrid.cli import main
from edgehybrid.data import npz_bytes
from edgehybrid.tensors import TensorSpec
from edgehybrid.testing import make_bundle, make_point

SAMPLES, CLASSES = 48, 4


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., CompletedProcess[str]]:
    """Call the command line in this process, as the console script does."""

    def call(*words: object) -> CompletedProcess[str]:
        args = [str(word) for word in words]
        with pytest.raises(SystemExit) as left:
            main(args)
        caught = capsys.readouterr()
        code = left.value.code
        return CompletedProcess(args, code if isinstance(code, int) else 0, caught.out, caught.err)

    return call


def make_model() -> onnx.ModelProto:
    """Build a small convolution + dense classifier, float32 [batch, 3, 16, 16] to [batch, 4]."""
    rng = np.random.default_rng(0)

    def weights(name: str, *shape: int) -> TensorProto:
        return numpy_helper.from_array((rng.standard_normal(shape) * 0.2).astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["x", "cw", "cb"], ["c"], name="conv", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "gw", "gb"], ["y"], name="head"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", CLASSES])],
        [weights("cw", 32, 3, 3, 3), weights("cb", 32), weights("gw", 32, CLASSES), weights("gb", CLASSES)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def make_arrays() -> dict[str, NDArray[np.generic]]:
    """Make samples that fit ``make_model``."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((SAMPLES, 3, 16, 16)).astype(np.float32)
    return {"x": x, "labels": rng.integers(0, CLASSES, SAMPLES)}


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of the small model."""
    path = tmp_path_factory.mktemp("model") / "small.onnx"
    onnx.save(make_model(), path)
    return path


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of samples for it."""
    path = tmp_path_factory.mktemp("data") / "small.npz"
    path.write_bytes(npz_bytes(make_arrays()))
    return path


@pytest.fixture(scope="session")
def bundle(model: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of its bundle, exported once on the command line."""
    path = tmp_path_factory.mktemp("bundle") / "small.bundle"
    with pytest.raises(SystemExit) as left:
        main(["export", str(model), "-o", str(path), "--data", str(data), "--effort", "quick"])
    assert not left.value.code
    return path


@pytest.fixture(scope="session")
def levels_bundle(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of four points with given figures, so that nothing in it depends on how fast this machine was."""
    names = {"fp32": 20.0, "max": 10.0, "balanced": 5.0, "min": 2.0}
    x = make_arrays()["x"][:2]
    y = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"]).run(["y"], {"x": x})[0]
    path = tmp_path_factory.mktemp("levels") / "levels.bundle"
    make_bundle(
        path,
        points=tuple(make_point(name, energy_mj=mj, latency_ms=mj / 10) for name, mj in names.items()),
        inputs=(TensorSpec(name="x", dtype="float32", shape=("batch", 3, 16, 16)),),
        outputs=(TensorSpec(name="y", dtype="float32", shape=("batch", CLASSES)),),
        golden_inputs={"x": x},
        golden_outputs={name: {"y": y} for name in names},
        models={name: model.read_bytes() for name in names},
    )
    return path
