"""psutil behind the kernel's files."""

from __future__ import annotations

from pathlib import Path

import psutil

from edgehybrid.runtime.telemetry import Telemetry
from edgehybrid.runtime.telemetry.fallback import Psutil


def test_psutil_answers_only_what_is_asked() -> None:
    """Total memory bounds what it says is free; fields that nobody asked for are left alone."""
    source = Psutil()
    source.discover()
    found = source.fill(0.0, ("memory_free_mib",))

    assert {"memory_free_mib"} == found.keys()
    free = found["memory_free_mib"].value
    assert free is not None
    assert 0 < free <= psutil.virtual_memory().total / 2**20
    assert "psutil" == found["memory_free_mib"].source


def test_psutil_is_silent_before_it_was_tried() -> None:
    """Without discovery nothing is asked, and the answer is missing."""
    assert {"missing"} == {r.trust for r in Psutil().read(0.0).values()}


def test_another_root_never_gets_this_machines_figures(tmp_path: Path) -> None:
    """A device tree in a folder is not filled up from the computer that reads it."""
    assert Telemetry(tmp_path).read().memory_free_mib is None
