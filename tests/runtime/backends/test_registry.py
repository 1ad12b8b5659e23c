from __future__ import annotations

from pathlib import Path

import pytest

from edgehybrid.errors import BackendError
from edgehybrid.runtime.backends import BACKENDS, make_backend

PLUGIN = """
class Backend:
    name = "{name}"

    def unavailable(self):
        return {reason!r}

    def load(self, request, /):
        raise AssertionError
"""


def install(folder: Path, name: str, reason: str | None) -> None:
    """Lay out a package as pip would: a module, and metadata with an entry point."""
    (folder / f"{name}_plugin.py").write_text(PLUGIN.format(name=name, reason=reason))
    info = folder / f"{name}_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[edgehybrid.backends]\n{name} = {name}_plugin:Backend\n")


def test_another_package_can_add_a_back_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package with an entry point is found by the name that variants use."""
    install(tmp_path, "abacus", None)
    monkeypatch.syspath_prepend(tmp_path)  # the only way to install without installing
    assert "abacus" == make_backend("abacus").name
    assert "abacus" not in BACKENDS


def test_a_back_end_that_cannot_be_used_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A back end that is there but not usable on this device gives its reason."""
    install(tmp_path, "sundial", "the sun is down")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BackendError, match="the sun is down"):
        make_backend("sundial")


def test_unknown_back_end_names_those_there_are() -> None:
    """A variant for an engine that is not there says which there are."""
    assert "onnx" == make_backend("onnx").name
    with pytest.raises(BackendError, match="there are: onnx"):
        make_backend("hourglass")
