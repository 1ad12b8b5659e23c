"""PyTorch models as a source. What needs PyTorch is skipped without it."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from edgehybrid.errors import MissingExtraError, ModelError, RequestError
from edgehybrid.exporters import inspect_model, load_model
from edgehybrid.exporters.model import open_session

HAS_TORCH = find_spec("torch") is not None
with_torch = pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed")

NETS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv1d(8, 12, 3, padding=1)
        self.gru = nn.GRU(12, 16, batch_first=True)
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        y = torch.relu(self.conv(x)).transpose(1, 2)
        return self.head(self.gru(y)[0][:, -1])

class Odd(nn.Module):
    def forward(self, x):
        return torch.linalg.eigvals(x)

class OneByOne(nn.Module):
    def forward(self, x):
        return x.reshape(1, 8).relu()

def one_by_one():
    return OneByOne(), torch.zeros(1, 2, 4)

def good():
    return Net(), (torch.zeros(1, 8, 10),)

def named():
    return Net(), {"x": torch.zeros(1, 8, 10)}

def wrong_inputs():
    return Net(), (torch.zeros(1, 9, 10),)

def no_tensors():
    return Net(), ([1, 2],)

def no_module():
    return 3, (torch.zeros(1),)

def no_pair():
    return Net()

def odd():
    return Odd(), (torch.zeros(1, 4, 4),)
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a module with factories, in the current folder."""
    name = f"nets_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(NETS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return name


@pytest.mark.skipif(HAS_TORCH, reason="PyTorch is installed")
@pytest.mark.parametrize("source", ["net.pt2", "nets:good"])
def test_without_torch_the_extra_is_named(source: str) -> None:
    """A PyTorch model without PyTorch says what to install."""
    with pytest.raises(MissingExtraError, match=r"edgehybrid\[torch\]"):
        load_model(source)


@with_torch
@pytest.mark.parametrize("factory", ["good", "named"])
def test_factory_gives_a_model_with_a_free_batch(nets: str, factory: str) -> None:
    """A module becomes a model that computes the same, for any number of samples, with its families found."""
    import torch

    model = load_model(f"{nets}:{factory}")
    module, _ = getattr(sys.modules[nets], factory)()
    x = np.random.default_rng(0).standard_normal((3, 8, 10), dtype=np.float32)
    (spec,) = model.inputs
    (y,) = open_session(model.graph.proto).run(None, {spec.name: x})
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).numpy()

    assert factory == model.name
    assert isinstance(spec.shape[0], str)
    np.testing.assert_allclose(expected, np.asarray(y), atol=1e-5)


@with_torch
def test_batch_that_the_module_fixes_stays(nets: str) -> None:
    """A module for one sample at a time becomes a model for one; a tensor alone is an example, too."""
    assert (1, 2, 4) == load_model(f"{nets}:one_by_one").inputs[0].shape


@with_torch
@pytest.mark.filterwarnings("ignore:The tensor attribute")  # torch about its own GRU
def test_exported_program_is_read(nets: str, tmp_path: Path) -> None:
    """A ``.pt2`` file is inspected as an ONNX file is; parameters and multiply-accumulates are those of the module."""
    import importlib

    import torch

    sys.path.insert(0, str(tmp_path))
    module, inputs = importlib.import_module(nets).good()
    sys.path.remove(str(tmp_path))
    torch.export.save(torch.export.export(module.eval(), inputs), tmp_path / "net.pt2")
    report = inspect_model(tmp_path / "net.pt2", runs=2)

    assert "net" == report.name
    assert sum(parameter.numel() for parameter in module.parameters()) + 16 == report.params  # the state it starts from
    assert 10 * 12 * 8 * 3 + 10 * 3 * 16 * (12 + 16) + 16 * 4 == report.macs
    assert {"convolution", "recurrent", "dense"} == {c.family for c in report.components} - {"glue"}


@with_torch
@pytest.mark.parametrize(
    ("factory", "words"),
    [("no_pair", "returned a Net"), ("no_module", "where a module belongs"), ("no_tensors", "no tensors")],
)
def test_factory_that_returns_something_else_is_refused(nets: str, factory: str, words: str) -> None:
    """The message says what came, and what should have come."""
    with pytest.raises(RequestError, match=words) as caught:
        load_model(f"{nets}:{factory}")

    assert "(module, example inputs)" in caught.value.fix


@with_torch
@pytest.mark.parametrize(
    ("factory", "words", "fix"),
    [("wrong_inputs", "does not run on its example inputs", "example inputs"), ("odd", "cannot convert", "Replace")],
)
def test_module_that_cannot_be_used_is_refused(nets: str, factory: str, words: str, fix: str) -> None:
    """Wrong example inputs are told from an operation that ONNX lacks."""
    with pytest.raises(ModelError, match=words) as caught:
        load_model(f"{nets}:{factory}")

    assert fix in caught.value.fix


@with_torch
def test_file_that_is_no_program_is_refused(tmp_path: Path) -> None:
    """A missing ``.pt2`` file is told from a damaged one."""
    with pytest.raises(ModelError, match="no model file"):
        load_model(tmp_path / "none.pt2")
    (tmp_path / "bad.pt2").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(ModelError, match="no exported program"):
        load_model(tmp_path / "bad.pt2")
