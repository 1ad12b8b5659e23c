"""Small bundles written to disk, real in every respect but their size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from edgehybrid.bundle import (
    Bundle,
    BundleDraft,
    BundleInfo,
    MeasuredOn,
    ModelInfo,
    StageDraft,
    VariantDraft,
    write_bundle,
)
from edgehybrid.points import EnergyMj, LatencyMs, OperatingPoint, Quality
from edgehybrid.runtime.backends import Array
from edgehybrid.tensors import TensorSpec

STAGE = "main"
"""Name of the only stage of these bundles."""


def make_point(
    name: str,
    *,
    energy_mj: float,
    latency_ms: float = 1.0,
    drop: float = 0.0,
    threads: int = 1,
    backend: str | None = None,
) -> OperatingPoint:
    """Make an operating point whose variant has its own name; ``backend`` places it there."""
    value = 0.9 - drop
    return OperatingPoint(
        name=name,
        variants={STAGE: name},
        quality=Quality(metric="accuracy", value=value, ci95=(value - 0.01, value + 0.01), drop=drop, n=1000),
        latency_ms=LatencyMs(p50=latency_ms, p95=latency_ms * 1.2),
        cpu_ms=latency_ms * threads,
        energy_mj=EnergyMj(value=energy_mj, method="model", uncertainty=energy_mj * 0.2),
        size_bytes=1000,
        resident_bytes=1000,
        threads=threads,
        placement={} if backend is None else {STAGE: backend},
    )


def make_bundle(
    path: Path,
    *,
    points: Sequence[OperatingPoint],
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    golden_inputs: Mapping[str, Array],
    golden_outputs: Mapping[str, Mapping[str, Array]],
    models: Mapping[str, bytes] | None = None,
    atol: float = 1e-4,
) -> Bundle:
    """Write a bundle of one stage, with a variant for every point.

    Args:
        path: Where.
        points: The points, the reference first; see ``make_point``.
        inputs: Inputs of the model.
        outputs: Outputs of the model.
        golden_inputs: Inputs of the self-test.
        golden_outputs: Point name to the outputs that its self-test must give.
        models: Point name to the bytes of its ONNX file; those absent get a file that only ``FakeBackend`` loads.
        atol: Largest difference that the self-test allows.
    """
    contents = models or {}
    variants = tuple(
        VariantDraft(
            name=point.name,
            format="onnx",
            schemes={},
            files={f"{point.name}.onnx": contents.get(point.name, b"for FakeBackend only")},
            model_file=f"{point.name}.onnx",
            golden_outputs=golden_outputs[point.name],
            golden_atol=dict.fromkeys(golden_outputs[point.name], atol),
            size_bytes=len(contents.get(point.name, b"")),
            uses_shared=False,
        )
        for point in points
    )
    stage = StageDraft(
        name=STAGE, inputs=tuple(inputs), outputs=tuple(outputs), golden_inputs=golden_inputs, variants=variants
    )
    draft = BundleDraft(
        bundle=BundleInfo(name=path.stem, version="1", created="2026-01-01T00:00:00Z"),
        model=ModelInfo(inputs=tuple(inputs), outputs=tuple(outputs), components=()),
        stages=(stage,),
        points=tuple(points),
        measured_on=MeasuredOn(cpu="none", isa=(), cores=1, runtime="none", profile="generic-linux"),
    )
    return write_bundle(draft, path)
