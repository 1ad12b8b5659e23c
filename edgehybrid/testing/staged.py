"""A small bundle with exits, whose inputs say themselves how sure each exit is and what each depth answers.

Needs onnx, which comes with ``pip install 'edgehybrid[export]'``: its stages are real models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgehybrid.bundle import (
    Bundle,
    BundleDraft,
    BundleInfo,
    ExitInfo,
    GateInfo,
    MeasuredOn,
    ModelInfo,
    StageDraft,
    VariantDraft,
    write_bundle,
)
from edgehybrid.errors import MissingExtraError
from edgehybrid.points import DepthFigures, EnergyMj, Exit, LatencyMs, OperatingPoint, Quality, Risk
from edgehybrid.runtime.backends import Array
from edgehybrid.tensors import TensorSpec

if TYPE_CHECKING:
    import onnx

WIDTH = 6
"""Numbers in a row of ``x``: two confidences, the two logits of exits, the two logits of the full model."""

EXIT_MARK = 10.0
"""What stage ``k`` adds to both logits when its exit answers, times ``k``; the full model adds nothing."""

RISK = Risk(epsilon=0.01, relaxed_epsilon=0.05, delta=0.1, n=1000, loss="disagreement")
EXITS = (
    Exit(thresholds=(0.9, 0.8, 0.6, 0.5), quantiles=tuple(np.linspace(0, 1, 21).tolist())),
    Exit(thresholds=(0.8, 0.7, 0.5, 0.3)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    nodes: Sequence[tuple[str, Sequence[str], str, Mapping[str, object]]]
    exit: ExitInfo | None = None


def staged_input(
    *, sure: Sequence[float] = (0.0, 0.0), early: int = 0, full: int = 0, rows: int = 1
) -> dict[str, Array]:
    """Make an input for the bundle.

    Args:
        sure: Confidence of the first and of the second exit, 0 to 1.
        early: Class that exits answer, 0 or 1.
        full: Class that the full model answers, 0 or 1.
        rows: How often to repeat it.
    """
    row = [*sure, *(float(early == k) for k in (0, 1)), *(float(full == k) for k in (0, 1))]
    return {"x": np.repeat(np.asarray([row], np.float32), rows, axis=0)}


def make_staged_bundle(
    path: Path,
    *,
    exits: Sequence[Exit] = EXITS,
    risk: Risk = RISK,
    batch: int | str = "batch",
    cascade: bool = False,
    gate: GateInfo | None = None,
) -> Bundle:
    """Write a bundle with the points ``fp32`` (uncut), ``max`` (with exits) and ``min`` (uncut, cheap).

    The model takes ``x``, ``(batch, 6)``, and gives ``y``, ``(batch, 2)``: logits. ``staged_input`` makes inputs. The
    first cut carries its rows along the last axis, the second along the first.

    Args:
        path: Where.
        exits: One or two.
        risk: What they promise.
        batch: Length of the batch; a word leaves it free.
        cascade: One exit, which is a whole model that takes ``x``, and so does the stage behind it.
        gate: When the last answer holds; ``None`` for no gate.

    Raises:
        MissingExtraError: onnx is not installed.
    """
    stages = _cascade(batch) if cascade else _slices(len(exits), batch)
    names = [stage.name for stage in stages]
    main = _main(batch)
    drafts = {stage.name: _draft(stage, batch) for stage in (main, *stages)}
    used = dict(zip((name for name in names[:-1]), exits, strict=True))
    points = (
        _point("fp32", {"main": "v"}, latency_ms=8.0),
        _point("max", dict.fromkeys(names, "v"), latency_ms=4.0, exits=used, risk=risk),
        _point("min", {"main": "v"}, latency_ms=1.0, drop=0.05),
    )
    draft = BundleDraft(
        bundle=BundleInfo(name=path.stem, version="1", created="2026-01-01T00:00:00Z"),
        model=ModelInfo(inputs=main.inputs, outputs=main.outputs, components=()),
        stages=tuple(drafts.values()),
        points=points,
        measured_on=MeasuredOn(cpu="none", isa=(), cores=1, runtime="none", profile="generic-linux"),
        gate=gate,
    )
    return write_bundle(draft, path)


def _point(
    name: str,
    variants: Mapping[str, str],
    *,
    latency_ms: float,
    drop: float = 0.0,
    exits: Mapping[str, Exit] | None = None,
    risk: Risk | None = None,
) -> OperatingPoint:
    value, stages = 0.99 - drop, len(variants)
    parts = [latency_ms * (k + 1) / stages for k in range(stages)]
    return OperatingPoint(
        name=name,
        variants=variants,
        quality=Quality(metric="accuracy", value=value, ci95=(value - 0.01, value + 0.01), drop=drop, n=1000),
        latency_ms=LatencyMs(p50=latency_ms, p95=latency_ms * 1.2),
        cpu_ms=latency_ms,
        energy_mj=EnergyMj(value=latency_ms, method="model", uncertainty=latency_ms * 0.2),
        size_bytes=1000,
        resident_bytes=1000,
        expected_depth=(stages + 1) / 2,
        exits=exits or {},
        risk=risk,
        depths=_depths(parts) if exits else (),
    )


def _depths(latencies_ms: Sequence[float]) -> tuple[DepthFigures, ...]:
    share = 1 / len(latencies_ms)
    return tuple(DepthFigures(share=share, relaxed_share=share, latency_ms=ms, cpu_ms=ms) for ms in latencies_ms)


def _main(batch: int | str) -> _Stage:
    return _Stage(name="main", inputs=(_x(batch),), outputs=(_y(batch),), nodes=[_columns("x", 4, 6, "y", axis=1)])


def _slices(exits: int, batch: int | str) -> list[_Stage]:
    """``x`` crosses the first cut as columns, the second as rows."""
    cut1 = TensorSpec(name="cut1_0", dtype="float32", shape=(WIDTH, batch))
    cut2 = TensorSpec(name="cut2_0", dtype="float32", shape=(batch, WIDTH))
    turned = ("Transpose", ["x"], "cut1_0", {"perm": [1, 0]})
    back = ("Transpose", ["cut1_0"], "rows", {"perm": [1, 0]})
    first = _with_exit("part-1", (_x(batch),), (cut1,), [turned], "x", 1, batch)
    if exits == 1:
        last = _Stage(
            name="part-2", inputs=(cut1,), outputs=(_y(batch),), nodes=[back, _columns("rows", 4, 6, "y", axis=1)]
        )
        return [first, last]
    middle = _with_exit("part-2", (cut1,), (cut2,), [back, ("Identity", ["rows"], "cut2_0", {})], "rows", 2, batch)
    last = _Stage(name="part-3", inputs=(cut2,), outputs=(_y(batch),), nodes=[_columns("cut2_0", 4, 6, "y", axis=1)])
    return [first, middle, last]


def _cascade(batch: int | str) -> list[_Stage]:
    return [_with_exit("cascade-1", (_x(batch),), (), [], "x", 1, batch, head="cascade"), _main(batch)]


def _with_exit(
    name: str,
    inputs: tuple[TensorSpec, ...],
    crossing: tuple[TensorSpec, ...],
    nodes: Sequence[tuple[str, Sequence[str], str, Mapping[str, object]]],
    rows: str,
    k: int,
    batch: int | str,
    head: Any = "fitted",
) -> _Stage:
    answer, confidence = f"exit{k}_y", f"exit{k}_confidence"
    logits = TensorSpec(name=answer, dtype="float32", shape=(batch, 2))
    sure = TensorSpec(name=confidence, dtype="float32", shape=(batch,))
    head_nodes = [
        _columns(rows, 2, 4, "logits", axis=1),
        ("Add", ["logits", f"const:{EXIT_MARK * k}"], answer, {}),
        _columns(rows, k - 1, k, "column", axis=1),
        ("Squeeze", ["column", "ints:1"], confidence, {}),
    ]
    return _Stage(
        name=name,
        inputs=inputs,
        outputs=(*crossing, logits, sure),
        nodes=[*nodes, *head_nodes],
        exit=ExitInfo(outputs={"y": answer}, confidence=confidence, score="margin", head=head),
    )


def _x(batch: int | str) -> TensorSpec:
    return TensorSpec(name="x", dtype="float32", shape=(batch, WIDTH))


def _y(batch: int | str) -> TensorSpec:
    return TensorSpec(name="y", dtype="float32", shape=(batch, 2))


def _columns(
    source: str, start: int, end: int, target: str, *, axis: int
) -> tuple[str, Sequence[str], str, Mapping[str, object]]:
    return ("Slice", [source, f"ints:{start}", f"ints:{end}", f"ints:{axis}"], target, {})


def _draft(stage: _Stage, batch: int | str) -> StageDraft:
    x = staged_input(sure=(0.95, 0.2), early=1, full=1, rows=batch if isinstance(batch, int) else 1)["x"]
    values = {"x": x, "cut1_0": np.ascontiguousarray(x.T), "cut2_0": x, "y": x[:, 4:6]}
    for k in (1, 2):
        values |= {f"exit{k}_y": x[:, 2:4] + np.float32(EXIT_MARK * k), f"exit{k}_confidence": x[:, k - 1]}
    model = _model(stage)
    golden = {spec.name: values[spec.name] for spec in stage.outputs}
    variant = VariantDraft(
        name="v",
        format="onnx",
        schemes={},
        files={"model.onnx": model},
        model_file="model.onnx",
        golden_outputs=golden,
        golden_atol=dict.fromkeys(golden, 1e-5),
        size_bytes=len(model),
        uses_shared=False,
    )
    return StageDraft(
        name=stage.name,
        inputs=stage.inputs,
        outputs=stage.outputs,
        golden_inputs={spec.name: values[spec.name] for spec in stage.inputs},
        variants=(variant,),
        exit=stage.exit,
    )


def _model(stage: _Stage) -> bytes:
    """Build the stage. ``const:V`` and ``ints:V`` among the inputs of a node are constants."""
    helper, numpy_helper = _onnx().helper, _onnx().numpy_helper
    constants = {name for _, inputs, _, _ in stage.nodes for name in inputs if ":" in name}
    graph = helper.make_graph(
        [helper.make_node(op, list(inputs), [output], **attributes) for op, inputs, output, attributes in stage.nodes],
        stage.name,
        [helper.make_tensor_value_info(spec.name, 1, list(spec.shape)) for spec in stage.inputs],
        [helper.make_tensor_value_info(spec.name, 1, list(spec.shape)) for spec in stage.outputs],
        [numpy_helper.from_array(_constant(name), name) for name in sorted(constants)],
    )
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


def _constant(name: str) -> Array:
    kind, _, value = name.partition(":")
    return np.asarray([int(value)], np.int64) if kind == "ints" else np.asarray([float(value)], np.float32)


def _onnx() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError("onnx", "export") from error
    return onnx
