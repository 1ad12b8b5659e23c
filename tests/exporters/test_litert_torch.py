"""litert-torch itself, where it is installed (``make test-litert-torch``): real modules through the real converter."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("litert_torch", reason="the extra export-litert-torch is not installed", exc_type=ImportError)

from edgehybrid.bundle import Bundle
from edgehybrid.data import npz_bytes
from edgehybrid.exporters import ExportOptions, Silent, export
from edgehybrid.exporters.formats import TfliteFile
from edgehybrid.exporters.measure import Cache, local_pool
from edgehybrid.exporters.prepare import Prepared, prepare
from edgehybrid.exporters.search import Built
from edgehybrid.exporters.tflite_candidates import tflite_plans, write_tflite
from edgehybrid.exporters.trial import Tools
from edgehybrid.runtime import Engine
from edgehybrid.runtime.verification import verify

OPTIONS = ExportOptions(effort="quick", budget_s=0.5, max_drop=1.0, formats=("onnx", "tflite"), keep=("tflite-fp32",))
FORMS = ("tflite-fp32", "tflite-w8")
NETS = """
import torch
from torch import nn
from torch.nn import functional

class Clip(nn.Module):
    "Convolutions over time and place: our own writer has none of three axes."
    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv3d(1, 8, 3, padding=1), nn.Linear(8, 4)
        self.wide = nn.Linear(4, 4 * 400)
    def forward(self, clip):
        y = self.head(torch.relu(self.conv(clip)).mean((2, 3, 4)))
        return y, self.wide(y).reshape(-1, 400, 4).mean(1)

class Warp(nn.Module):
    "Looks at a moved image."
    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 4)
    def forward(self, image):
        theta = torch.tensor([[0.9, 0.1, 0.1], [-0.1, 0.9, 0.0]]).expand(image.shape[0], 2, 3)
        grid = functional.affine_grid(theta, image.shape, align_corners=False)
        seen = functional.grid_sample(image, grid, align_corners=False)
        return self.head(torch.relu(self.conv(seen)).mean((2, 3)))

class Spectrum(nn.Module):
    "Magnitudes of a spectrum, and a place of 64 bits in and out."
    def __init__(self):
        super().__init__()
        self.dense, self.table = nn.Linear(17, 32), nn.Embedding(4, 32)
    def forward(self, wave, place):
        y = self.dense(torch.fft.rfft(wave).abs()) + self.table(place)[:, 0]
        return y, y.argmax(-1, keepdim=True)

class Places(nn.Module):
    "Where the largest of each window lies: litert-torch converts it, to something else."
    def forward(self, image):
        return functional.max_pool2d(image, 2, return_indices=True)[1].float()

class Buckets(nn.Module):
    "An operator that neither has."
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(5, 4)
    def forward(self, x):
        return self.table(torch.bucketize(x, torch.linspace(-1, 1, 4))).mean(1)

class Drawn(nn.Module):
    "Other weights each time."
    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(6, 6)
    def forward(self, x):
        return torch.sinh(self.dense(x))

def clip(): torch.manual_seed(0); return Clip(), (torch.zeros(1, 1, 4, 8, 8),)
def warp(): torch.manual_seed(0); return Warp(), (torch.zeros(1, 3, 16, 16),)
def spectrum(): torch.manual_seed(0); return Spectrum(), {"wave": torch.zeros(1, 32), "place": torch.zeros(1, 1).long()}
def places(): return Places(), (torch.zeros(1, 3, 8, 8),)
def buckets(): torch.manual_seed(0); return Buckets(), (torch.zeros(1, 6),)
def drawn(): return Drawn(), (torch.zeros(1, 6),)
"""
SHAPES = {"clip": (1, 4, 8, 8), "warp": (3, 16, 16), "places": (3, 8, 8), "buckets": (6,), "drawn": (6,)}
Make = Callable[[str], Prepared]


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the module of factories, and data for each."""
    folder = tmp_path_factory.mktemp("nets")
    (folder / "lite_nets.py").write_text(NETS, encoding="utf-8")
    rng = np.random.default_rng(0)
    names = {"clip": "clip", "warp": "image", "places": "image"}
    for name, shape in SHAPES.items():
        array = rng.standard_normal((24, *shape)).astype(np.float32)
        (folder / f"{name}.npz").write_bytes(npz_bytes({names.get(name, "x"): array}))
    wave = rng.standard_normal((24, 32)).astype(np.float32)
    np.savez(folder / "spectrum.npz", wave=wave, place=rng.integers(0, 4, (24, 1)))
    return folder


@pytest.fixture
def given(nets: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Prepare the export of a factory, or of a ``.pt2`` file in the same folder."""
    monkeypatch.chdir(nets)

    def make(source: str) -> Prepared:
        name = source.removesuffix(".pt2")
        return prepare(source if source != name else f"lite_nets:{name}", f"{name}.npz", None, OPTIONS)

    return make


def written(given: Prepared, cache: Path | None = None) -> Built:
    """The float file of it, and one that is quantized."""
    with local_pool() as pool:
        tools = Tools(cache=Cache(folder=cache), executor=pool, progress=Silent())
        todo = [plan for plan in tflite_plans(given.components) if plan.name in FORMS]
        return write_tflite(todo, given, OPTIONS, tools)


def file_of(built: Built, name: str = "tflite-fp32") -> TfliteFile:
    """A file that was made."""
    found = [candidate.file for candidate in built.candidates if candidate.name == name]
    assert found, [item.reason for item in built.dropped]
    assert isinstance(found[0], TfliteFile)
    return found[0]


def save_program(folder: Path, name: str) -> None:
    """Export a factory's module as ``NAME.pt2``, with a free batch."""
    import torch

    sys.path.insert(0, str(folder))
    module, inputs = getattr(importlib.import_module("lite_nets"), name)()
    sys.path.remove(str(folder))
    many = tuple(tensor.expand(2, *tensor.shape[1:]) for tensor in inputs)
    free = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(module.eval(), many, dynamic_shapes=free), folder / f"{name}.pt2")


@pytest.mark.parametrize("name", ["warp", "spectrum"])
def test_factory_becomes_files_that_pass_the_gate(given: Make, name: str) -> None:
    """What our own writer refuses passes its own gate, float and quantized; who wrote it and why is told."""
    built = written(given(name))

    assert file_of(built).writer.startswith("litert-torch 0.10")
    assert file_of(built, "tflite-w8").writer == file_of(built).writer
    assert "litert-torch 0.10" in built.untouched[0].reason
    assert {"warp": "GridSample", "spectrum": "DFT"}[name] in built.untouched[0].reason


@pytest.mark.filterwarnings("ignore")  # torch about its own export
def test_exported_program_becomes_files(given: Make, nets: Path) -> None:
    """A ``.pt2`` file with a free batch is asked about at one row."""
    save_program(nets, "warp")

    assert file_of(written(given("warp.pt2"))).writer.startswith("litert-torch")


def test_files_are_made_once(given: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repeated export takes them from the cache, and still tells who wrote them and why."""
    prepared = given("spectrum")
    first = written(prepared, tmp_path)
    stop = "edgehybrid.exporters.tflite_candidates.write_float_from_torch"
    monkeypatch.setattr(stop, lambda *_: pytest.fail("written again"))
    again = written(prepared, tmp_path)

    assert [c.file for c in first.candidates] == [c.file for c in again.candidates]
    assert first.untouched == again.untouched


def test_a_wrong_file_is_not_shipped(given: Make) -> None:
    """litert-torch gives other places of the largest than PyTorch and ONNX Runtime, and no error: the gate stops it."""
    built = written(given("places"))

    assert () == built.candidates
    assert "wrote a file that does not pass" in built.dropped[0].reason
    assert "MaxPool" in built.dropped[0].reason


def test_refusals_of_both_are_told(given: Make) -> None:
    """Our own writer's reason, then litert-torch's."""
    reason = written(given("buckets")).dropped[0].reason

    assert "GatherND" in reason
    assert "refuses the model: RuntimeError: Lowering not found: aten.bucketize" in reason


def test_a_factory_that_draws_anew_is_told(given: Make) -> None:
    """The module that the other process makes must be the one that ONNX was made of."""
    assert "makes another model each time; seed it" in written(given("drawn")).dropped[0].reason


def test_what_the_quantizer_leaves_in_float_is_called_float(given: Make) -> None:
    """It knows no convolution over three axes: that component is not said to be in int8, and its row says so."""
    built = written(given("clip"))
    (quantized,) = (c for c in built.candidates if c.name == "tflite-w8")

    assert {"fp32"} == {scheme for name, scheme in quantized.schemes.items() if name.startswith("convolution")}
    assert "w8" in quantized.schemes.values()
    left = [item for item in built.untouched if item.component.startswith("convolution") and "w8" in item.scheme]
    assert ["the quantizer does not know its operators"] == [item.reason for item in left]


def test_bundle_serves_them(given: Make, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A point of that file is exported, verified and run: several rows, under the names of the ONNX graph.

    Nothing of what the converter prints reaches the terminal.
    """
    given("warp")
    result = export("lite_nets:warp", tmp_path / "warp.bundle", data="warp.npz", options=OPTIONS)
    bundle = Bundle.open(tmp_path / "warp.bundle")
    variants = {variant.name: variant for variant in bundle.stages[0].variants}
    (point,) = (p for p in result.points if p.variants["main"] == "tflite-fp32")
    images = np.random.default_rng(1).standard_normal((3, 3, 16, 16)).astype(np.float32)

    assert variants["tflite-fp32"].writer.startswith("litert-torch")
    assert "" == variants["fp32"].writer
    assert all(check.problem is None for check in verify(bundle))
    answers = []
    with Engine(bundle.path) as engine:
        for name in (point.name, "fp32"):
            engine.pin(name)
            engine.step(wait=True)
            answers.append(next(iter(engine.run({"image": images}).outputs.values())))
    np.testing.assert_allclose(np.asarray(answers[0]), np.asarray(answers[1]), atol=1e-5)
    said = capfd.readouterr()
    assert "LiteRT-Torch" not in said.out + said.err
