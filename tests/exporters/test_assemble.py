from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from edgehybrid.bundle import Bundle
from edgehybrid.errors import ExportError
from edgehybrid.exporters import ExportOptions, export
from edgehybrid.exporters.assemble import Chosen, golden_atol, reload_check
from edgehybrid.runtime.backends import LoadRequest, OnnxBackend


def test_tolerance_follows_the_arithmetic() -> None:
    """Floats may differ by the order of sums, integers by a step; what int8 is off anyway widens it."""
    outputs = {"y": np.array([1.0, -4.0], dtype=np.float32)}

    assert {"y": pytest.approx(4e-4)} == golden_atol(outputs, {"a": "fp32", "b": "w8"}, {"y": 1.0})
    assert {"y": pytest.approx(8e-2)} == golden_atol(outputs, {"a": "fp32", "b": "w8a8"}, {"y": 0.1})
    assert {"y": pytest.approx(0.5)} == golden_atol(outputs, {"a": "w8-dyn"}, {"y": 1.0})


def test_written_file_that_computes_something_else_stops_the_export(zoo: Any, tmp_path: Path) -> None:
    """The last check loads what was written and compares it with the candidate; a difference names the variant."""
    zoo.save(zoo.hybrid(0), tmp_path / "m.onnx")
    zoo.save(zoo.hybrid(1), tmp_path / "other.onnx")
    feeds = zoo.feeds(zoo.hybrid(0), 4)
    np.savez(tmp_path / "d.npz", x=zoo.feeds(zoo.hybrid(0), 20)["x"])
    options = ExportOptions(effort="quick", cache=False, budget_s=0.05, levels=1)
    export(tmp_path / "m.onnx", tmp_path / "out", data=tmp_path / "d.npz", options=options)
    names = [variant.name for variant in Bundle.open(tmp_path / "out").doc.stages[0].variants]

    def chosen(file: str) -> Chosen:
        session = OnnxBackend().load(LoadRequest(model_file=tmp_path / file))
        trial = SimpleNamespace(sessions=dict.fromkeys(names, session), candidate=lambda _: SimpleNamespace(threads=1))
        return cast(Chosen, SimpleNamespace(trial=trial))

    with pytest.raises(ExportError, match="'fp32' differs"):
        reload_check(chosen("other.onnx"), feeds)(tmp_path / "out")
