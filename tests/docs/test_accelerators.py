from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgehybrid.bundle import Bundle
from edgehybrid.runtime.backends import BACKENDS, MAX_CPU_SHARE, MAX_ISLANDS, survey_backends
from edgehybrid.runtime.engine import Engine
from edgehybrid.tensors import TensorSpec
from edgehybrid.testing import make_bundle, make_point

PAGE = Path(__file__).parents[2] / "docs/how-to/accelerators.md"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plug-in of the page, laid out as pip would."""
    text = PAGE.read_text(encoding="utf-8").partition("<!-- plug-in -->")[2]
    module, toml = re.findall(r"```(?:python|toml)\n(.*?)```", text, re.DOTALL)[:2]
    (tmp_path / "slate_backend.py").write_text(module)
    info = tmp_path / "slate_backend-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: slate-backend\nVersion: 1.0\n")
    entry = re.search(r'slate = "(.+)"', toml)
    assert entry is not None
    (info / "entry_points.txt").write_text(f"[edgehybrid.backends]\nslate = {entry[1]}\n")
    monkeypatch.syspath_prepend(tmp_path)  # the only way to install without installing


@pytest.mark.usefixtures("installed")
def test_the_plug_in_of_the_page_serves(tmp_path: Path, adds: Callable[[float], bytes]) -> None:
    """As written there, some thirty lines: found by its entry point, listed by doctor, and a point runs on it."""
    x = np.ones((1, 4), np.float32)
    bundle = make_bundle(
        tmp_path / "slate.bundle",
        points=(make_point("fp32", energy_mj=2), make_point("max", energy_mj=1)),
        inputs=(TensorSpec(name="x", dtype="float32", shape=("batch", 4)),),
        outputs=(TensorSpec(name="y", dtype="float32", shape=("batch", 4)),),
        golden_inputs={"x": x},
        golden_outputs={"fp32": {"y": x}, "max": {"y": x + 1}},
        models={"fp32": adds(0.0), "max": adds(1.0)},
    )
    points = (bundle.points[0], replace(bundle.point("max"), placement={"main": "slate"}))
    with Engine(Bundle(bundle.path, replace(bundle.doc, points=points)), start="max", background=False) as engine:
        np.testing.assert_array_equal(x + 1, engine.run({"x": x}).outputs["y"])
        assert {"main": "slate"} == engine.status().placement
        assert "fp32" == engine.status().stand_by
    assert {report.name: report.problem for report in survey_backends()}["slate"] is None


def test_the_page_names_what_there_is() -> None:
    """Every back end of the table, and the limits, as the code has them."""
    text = PAGE.read_text(encoding="utf-8")

    assert [] == [key for key in BACKENDS if f"`{key}`" not in text]
    assert f"More than {MAX_ISLANDS} islands, or more than {MAX_CPU_SHARE:.0%}".replace("%", " %") in text
