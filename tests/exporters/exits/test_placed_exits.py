"""Exits over several back ends, from the export to the engine: stages in LiteRT, heads in ONNX Runtime."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgehybrid import Bundle, Engine
from edgehybrid.exporters import ExportOptions, ExportResult, export
from edgehybrid.points import OperatingPoint
from edgehybrid.runtime.backends import TfliteBackend
from edgehybrid.runtime.verification import verify
from edgehybrid.testing import Accelerator

PLACED = "placed*-exits~0.1"


@pytest.fixture(scope="module")
def data(zoo: Any, early_answers: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model that knows easy inputs early, and inputs with its answers."""
    folder = tmp_path_factory.mktemp("exits")
    graph = early_answers.model(zoo, heads=())
    zoo.save(graph, folder / "model.onnx")
    early_answers.data(zoo, graph, folder / "data.npz")
    return folder


@pytest.fixture(scope="module")
def result(data: Path) -> ExportResult:
    """It with placed exits, kept whatever they take here."""
    if find_spec("ai_edge_quantizer") is None:
        pytest.skip("the extra export-tflite is not installed")
    options = ExportOptions(
        effort="quick", budget_s=0.5, exits="auto", exit_losses=(0.1,), cache=False, levels=1, gate=False,
        backends=("onnx", "tflite"), keep=(PLACED,), max_drop=0.2,
    )  # fmt: skip
    inputs = data / "data.npz"
    return export(data / "model.onnx", data / "early.bundle", data=inputs, eval_data=inputs, options=options)


def _placed(result: ExportResult) -> OperatingPoint:
    return next(p for p in result.points if p.exits and "tflite" in p.placement.values())


def test_a_chain_with_exits_is_placed(result: ExportResult) -> None:
    """Stages on LiteRT, a head in floats behind each; its promise holds for what these files answered."""
    assert result.bundle is not None
    point, bundle = _placed(result), Bundle.open(result.bundle.path)
    heads = [stage for stage in point.variants if stage in point.exits]

    assert all(point.placement[stage] == "onnx" for stage in heads)
    assert point.risk is not None
    assert 0.1 == point.risk.epsilon
    assert len(point.depths) == len(point.variants)
    assert 1.0 == pytest.approx(sum(depth.share for depth in point.depths))
    assert point.depths[-1].share < 1.0
    assert all(check.problem is None for check in verify(bundle))


def test_the_engine_answers_as_was_measured(result: ExportResult, data: Path) -> None:
    """Inputs leave behind heads only, at several depths; the engine is right as often as the bundle says."""
    assert result.bundle is not None
    point = _placed(result)
    stages = list(point.variants)
    with np.load(data / "data.npz") as arrays:
        x, labels = arrays["x"], arrays["labels"]
    with Engine(result.bundle, background=False) as engine:
        engine.pin(point.name, exit_scalar=0.0)
        engine.step(wait=True)
        answers = [engine.run({"x": row[None]}) for row in x]
        streamed = list(engine.stream({"x": row[None]} for row in x[:20]))
    right = np.mean([a.outputs["y"].argmax() == label for a, label in zip(answers, labels, strict=True)])

    assert {point.name} == {a.point for a in answers}
    assert len({a.depth for a in answers}) > 1
    assert all(stages[a.depth - 1] in point.exits or a.depth == len(stages) for a in answers)
    assert abs(right - point.quality.value) < 0.03
    alike = [(a, b) for a, b in zip(streamed, answers, strict=False) if a.depth == b.depth]  # the others were audited
    assert len(alike) > 10
    for one, other in alike:
        np.testing.assert_allclose(one.outputs["y"], other.outputs["y"], atol=1e-5)


def test_nothing_is_lost_when_its_back_end_goes(result: ExportResult, data: Path) -> None:
    """The files of a chain with exits on something that can be unplugged: the next input is answered all the same."""
    assert result.bundle is not None
    point, whole = _placed(result), Bundle.open(result.bundle.path)
    moved = {stage: "npu" if key == "tflite" else key for stage, key in point.placement.items()}
    points = tuple(replace(p, placement=moved, carried="") if p.name == point.name else p for p in whole.points)
    bundle, npu = Bundle(whole.path, replace(whole.doc, points=points)), Accelerator(backend=TfliteBackend())
    with np.load(data / "data.npz") as arrays:
        x = arrays["x"]
    with Engine(bundle, background=False, start=point.name, backends={"npu": npu}) as engine:
        before = [engine.run({"x": row[None]}) for row in x[:4]]
        npu.unplug()
        after = [engine.run({"x": row[None]}) for row in x]

    assert {point.name} == {answer.point for answer in before}
    assert point.name != after[-1].point  # at the latest the first input that reached that stage
    assert len(x) == len(after)
    assert all(np.isfinite(answer.outputs["y"]).all() for answer in after)
