"""Exits that the model was trained with, from the export to the engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgehybrid import Engine
from edgehybrid.errors import RequestError
from edgehybrid.exporters import ExportOptions, ExportResult, export

OPTIONS = ExportOptions(
    effort="quick", budget_s=1.0, cache=False, levels=5, exits=("first", "second"), exit_losses=(0.1,), max_drop=0.2
)


@pytest.fixture(scope="module")
def folder(zoo: Any, early_answers: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model with its heads, and data."""
    folder = tmp_path_factory.mktemp("own")
    graph = early_answers.model(zoo)
    zoo.save(graph, folder / "model.onnx")
    early_answers.data(zoo, graph, folder / "data.npz")
    return folder


@pytest.fixture(scope="module")
def result(folder: Path) -> ExportResult:
    """Exported with both heads as exits."""
    return export(folder / "model.onnx", folder / "own.bundle", data=folder / "data.npz", options=OPTIONS)


def test_the_contract_is_the_final_output(result: ExportResult) -> None:
    """The model of the bundle has one output; the heads are exits of a point, and are called the model's own."""
    assert result.bundle is not None
    point = next(p for p in result.points if p.exits)
    exits = [stage.exit for stage in result.bundle.stages if stage.exit is not None]

    assert ["y"] == [spec.name for spec in result.bundle.doc.model.outputs]
    assert {"own"} == {exit_.head for exit_ in exits}
    assert ["output first of the model", "output second of the model"] == [exit_.made_of for exit_ in exits]
    assert point.risk is not None
    assert "error" == point.risk.loss
    assert point.depths[0].latency_ms < 0.6 * point.depths[-1].latency_ms


def test_the_engine_takes_them(folder: Path, result: ExportResult) -> None:
    """Inputs leave at the heads, and are answered as the full model answers within the promise, up to chance."""
    assert result.bundle is not None
    point = next(p for p in result.points if p.exits)
    with np.load(folder / "data.npz") as data:
        x, labels = data["x"], data["labels"]
    with Engine(result.bundle, start=point.name, background=False) as engine:
        answers = [engine.run({"x": row[None]}) for row in x]
    wrong = np.mean([a.outputs["y"].argmax() != label for a, label in zip(answers, labels, strict=True)])

    assert 1 in {a.depth for a in answers}
    assert wrong <= 0.1 + 0.05


@pytest.mark.parametrize(
    ("exits", "says"),
    [
        (("third",), r"The model has no output 'third'. Its outputs: y, first, second."),
        (("first",), r"Besides its exits the model has 2 outputs: y, second."),
    ],
)
def test_wrong_names_are_said_at_once(folder: Path, tmp_path: Path, exits: tuple[str, ...], says: str) -> None:
    """Before anything is measured, and nothing is written."""
    with pytest.raises(RequestError, match=says):
        export(
            folder / "model.onnx",
            tmp_path / "none",
            data=folder / "data.npz",
            options=ExportOptions(effort="quick", exits=exits),
        )
    assert not (tmp_path / "none").exists()
