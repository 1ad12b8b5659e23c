from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from edgehybrid.errors import ExportError
from edgehybrid.exporters.assemble import Chosen, golden_atol, golden_samples, reload_check
from edgehybrid.runtime.backends import LoadRequest, OnnxBackend
from edgehybrid.testing import make_bundle, make_point


def test_tolerance_follows_the_arithmetic() -> None:
    """Floats may differ by the order of sums, integers by a step; what int8 is off anyway widens it."""
    outputs = {"y": np.array([1.0, -4.0], dtype=np.float32)}

    assert {"y": pytest.approx(4e-4)} == golden_atol(outputs, {"a": "fp32", "b": "w8"}, {"y": 1.0})
    assert {"y": pytest.approx(8e-2)} == golden_atol(outputs, {"a": "fp32", "b": "w8a8"}, {"y": 0.1})
    assert {"y": pytest.approx(0.5)} == golden_atol(outputs, {"a": "w8-dyn"}, {"y": 1.0})


@pytest.mark.parametrize(
    ("sample_bytes", "most", "samples"),
    [(1_680, 4, 4), (1_680, 3, 2), (15_360, 4, 4), (20_000, 4, 2), (49_152, 4, 1), (10_000_000, 4, 1), (1_680, 1, 1)],
)
def test_large_inputs_have_few_golden_samples(sample_bytes: int, most: int, samples: int) -> None:
    """What the self-test needs stays with the engine: a picture is tried alone, some numbers four at a time."""
    assert samples == golden_samples(sample_bytes, most)


def test_written_file_that_computes_something_else_stops_the_export(zoo: Any, tmp_path: Path) -> None:
    """The last check loads what was written and compares it with what the candidate gave; a difference names it."""
    zoo.save(zoo.hybrid(0), tmp_path / "m.onnx")
    zoo.save(zoo.hybrid(1), tmp_path / "other.onnx")
    feeds = zoo.feeds(zoo.hybrid(0), 4)
    candidate = OnnxBackend().load(LoadRequest(model_file=tmp_path / "m.onnx"))
    for file in ("m.onnx", "other.onnx"):
        make_bundle(
            tmp_path / f"{file}.bundle",
            points=[make_point("fp32", energy_mj=1.0)],
            inputs=candidate.inputs,
            outputs=candidate.outputs,
            golden_inputs=feeds,
            golden_outputs={"fp32": candidate.run(feeds)},
            models={"fp32": (tmp_path / file).read_bytes()},
        )
    trial = SimpleNamespace(candidate=lambda _: SimpleNamespace(threads=1))
    check = reload_check(cast(Chosen, SimpleNamespace(trial=trial, uncut=("fp32",), chains=(), mixed=(), guests={})))
    check(tmp_path / "m.onnx.bundle")

    with pytest.raises(ExportError, match="'fp32' differs"):
        check(tmp_path / "other.onnx.bundle")
