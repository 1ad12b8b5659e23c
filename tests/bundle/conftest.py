"""Drafts of small bundles with real ONNX models, their weights in a shared file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgehybrid.bundle import (
    BundleDraft,
    BundleInfo,
    ComponentInfo,
    Dropped,
    MeasuredOn,
    ModelInfo,
    StageDraft,
    Untouched,
    VariantDraft,
)
from edgehybrid.points import EnergyMj, LatencyMs, OperatingPoint, Quality
from edgehybrid.tensors import TensorSpec

X = TensorSpec(name="x", dtype="float32", shape=("batch", 4))
Y = TensorSpec(name="y", dtype="float32", shape=("batch", 300))
WEIGHTS: NDArray[np.float32] = (np.arange(1200).reshape(4, 300) % 17 / 16).astype(np.float32)  # exact in binary
GOLDEN_X: NDArray[np.float32] = np.array([[1, 2, 3, 4], [0, -1, 0.5, 2]], dtype=np.float32)


def matmul_model(factor: float) -> bytes:
    """``y = factor * (x @ w)``, with ``w`` external in ``weights.bin``."""
    weight = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=WEIGHTS.shape)
    weight.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "weights.bin"), ("offset", "0"), ("length", str(WEIGHTS.nbytes))):
        weight.external_data.add(key=key, value=value)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["xw"]), helper.make_node("Mul", ["xw", "f"], ["y"])],
        "matmul",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 300])],
        [weight, helper.make_tensor("f", TensorProto.FLOAT, [], [factor])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def variant_draft(name: str, factor: float) -> VariantDraft:
    """A variant that multiplies by ``factor``."""
    model = matmul_model(factor)
    return VariantDraft(
        name=name,
        format="onnx",
        schemes={"dense_0": name},
        files={"model.onnx": model},
        model_file="model.onnx",
        golden_outputs={"y": np.float32(factor) * (GOLDEN_X @ WEIGHTS)},
        golden_atol={"y": 1e-4},
        size_bytes=len(model) + WEIGHTS.nbytes,
    )


def make_point(name: str, variants: dict[str, str]) -> OperatingPoint:
    """A point with plausible figures."""
    return OperatingPoint(
        name=name,
        variants=variants,
        quality=Quality(metric="accuracy", value=0.9, ci95=(0.85, 0.94), drop=0.01, n=200, drop_ci95=(-0.01, 0.03)),
        latency_ms=LatencyMs(p50=1.5, p95=2.0),
        cpu_ms=1.5,
        energy_mj=EnergyMj(value=4.5, method="model", uncertainty=0.9),
        size_bytes=5000,
        resident_bytes=100_000,
    )


def make_draft() -> BundleDraft:
    """One stage, two variants; the reference is *not* first among them, and ``aaa`` sorts before it."""
    stage = StageDraft(
        name="main",
        inputs=(X,),
        outputs=(Y,),
        golden_inputs={"x": GOLDEN_X},
        variants=(variant_draft("aaa", 2.0), variant_draft("fp32", 1.0)),
        shared={"weights.bin": WEIGHTS.tobytes()},
    )
    component = ComponentInfo(name="dense_0", family="dense", nodes=2, params=1200, macs=1200, time_share=1.0)
    return BundleDraft(
        bundle=BundleInfo(name="tiny", version="1.2.0", created="2026-01-02T03:04:05Z"),
        model=ModelInfo(inputs=(X,), outputs=(Y,), components=(component,)),
        stages=(stage,),
        points=(make_point("fp32", {"main": "fp32"}), make_point("max", {"main": "aaa"})),
        measured_on=MeasuredOn(
            cpu="a processor", isa=("avx2",), cores=2, runtime="onnxruntime 1.32.0", profile="generic-linux", seed=3
        ),
        untouched=(Untouched(component="dense_0", scheme="w8a8", reason="slower than float"),),
        dropped=(Dropped(name="w8-dyn", reason="dominated by max"),),
    )


@pytest.fixture(scope="session")
def draft() -> BundleDraft:
    """A small draft; frozen, so every test may share it."""
    return make_draft()


@pytest.fixture(scope="session")
def renamed(draft: BundleDraft) -> BundleDraft:
    """The same draft under another name."""
    return replace(draft, bundle=replace(draft.bundle, name="other"))
