"""Points cut in pieces: even, equal in their answers, and beside the uncut form."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgehybrid import Arrangement, Engine
from edgehybrid.bundle import Bundle
from edgehybrid.errors import RequestError
from edgehybrid.exporters import ExportOptions, ExportResult, export

OPTIONS = ExportOptions(effort="quick", cache=False, max_drop=1.0, budget_s=0.5, levels=1, stages=2, gate=False)


@pytest.fixture(scope="module")
def exported(zoo: Any, tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    """An even chain of six convolutions, cut in two."""
    folder = tmp_path_factory.mktemp("pieces")
    sketch, value, before = zoo.sketch(), "x", 3
    for _ in range(6):
        value = sketch.op("Relu", sketch.op("Conv", value, sketch.weight(16, before, 3, 3, scale=0.1), pads=[1] * 4))
        before = 16
    pooled = sketch.op("Flatten", sketch.op("GlobalAveragePool", value))
    graph = sketch.close(sketch.op("MatMul", pooled, sketch.weight(16, 4)), ["batch", 3, 48, 48], ["batch", 4])
    zoo.save(graph, folder / "model.onnx")
    rows = np.random.default_rng(0).standard_normal((24, 3, 48, 48)).astype(np.float32)
    np.savez(folder / "data.npz", x=rows)
    return export(folder / "model.onnx", folder / "out.bundle", data=folder / "data.npz", options=OPTIONS)


def test_a_point_is_there_whole_and_in_pieces(exported: ExportResult) -> None:
    """The uncut form stays; the pieces are its stages, and share its weights on disk."""
    bundle = exported.bundle
    assert bundle is not None
    reference, best = bundle.points
    assert not reference.pieces
    assert ["main"] == list(best.variants)
    assert 2 == len(best.pieces)
    assert set(best.pieces) <= {stage.name for stage in bundle.stages}
    weights = sum(file.stat().st_size for file in bundle.path.glob("shared_assets/**/*") if file.is_file())
    assert weights < 2 * exported.points[0].size_bytes + exported.points[1].size_bytes


def test_pieces_answer_as_the_whole(exported: ExportResult, tmp_path: Path) -> None:
    """In a pipeline over real sessions, in order, to the last bit of a float's tolerance."""
    assert exported.bundle is not None
    rows = [{"x": row[None]} for row in np.random.default_rng(1).standard_normal((20, 3, 48, 48)).astype(np.float32)]
    with Engine(Bundle.open(exported.bundle.path), root=tmp_path, background=False, start="max") as engine:
        whole = [engine.run(feeds).outputs["y"] for feeds in rows]
        stream = engine.stream(rows, arrangement=Arrangement(mode="pipeline", workers=2, ahead=0))
        results = [next(stream)]
        engine.step(wait=True)  # with the next look the pieces are there
        assert engine._activator.plan.in_pieces
        results += stream
    for want, got in zip(whole, results, strict=True):
        np.testing.assert_allclose(got.outputs["y"], want, rtol=1e-4, atol=1e-5)
    assert 2 == results[-1].depth


def test_more_pieces_than_can_be_are_refused() -> None:
    """The error says how many there may be."""
    with pytest.raises(RequestError, match="1 to 4"):
        replace(OPTIONS, stages=9)
