"""What the tests of the samples share: where a sample lies, how to import its scripts, bundles of the real models."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import onnxruntime
import pytest

from edgehybrid.bundle import Bundle
from edgehybrid.tensors import TensorSpec
from edgehybrid.testing import make_bundle, make_point

ROOT = Path(__file__).parents[2]
SHAPES = {"keyword_spotter": (96, 40), "camera_classifier": (3, 64, 64), "vibration_monitor": (30, 14)}


@pytest.fixture(scope="session")
def keyword_spotter() -> Path:
    """The folder of the sample."""
    return ROOT / "samples" / "keyword_spotter"


@pytest.fixture(scope="session")
def import_sample() -> Callable[[str, str], ModuleType]:
    """Import a sample's script as a user at the root does, as ``import_sample("keyword_spotter", "features")``.

    The root is on ``sys.path`` for that moment only: there, ``runtime`` and ``exporters`` would be importable too.
    """

    def load(sample: str, script: str) -> ModuleType:
        sys.path.insert(0, str(ROOT))
        try:
            return importlib.import_module(f"samples.{sample}.{script}")
        finally:
            sys.path.remove(str(ROOT))

    return load


@pytest.fixture(scope="session")
def bundle_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Bundle]:
    """Return a bundle of a sample's own float model, with the reference alone: quick to make, exact to compare."""
    made: dict[str, Bundle] = {}

    def make(name: str) -> Bundle:
        if name not in made:
            model = (ROOT / "samples" / name / "model.onnx").read_bytes()
            session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
            x = np.random.default_rng(7).random((1, *SHAPES[name]), dtype=np.float32)
            output = session.get_outputs()[0]
            answers = dict(zip([output.name], session.run(None, {"x": x}), strict=True))
            made[name] = make_bundle(
                tmp_path_factory.mktemp("bundles") / f"{name}.bundle",
                points=(make_point("fp32", energy_mj=1.0),),
                inputs=(TensorSpec(name="x", dtype="float32", shape=("batch", *SHAPES[name])),),
                outputs=(TensorSpec(name=output.name, dtype="float32", shape=tuple(output.shape)),),
                golden_inputs={"x": x},
                golden_outputs={"fp32": answers},
                models={"fp32": model},
            )
        return made[name]

    return make
