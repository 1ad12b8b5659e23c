"""What the tests of the samples share: where a sample lies, and how to import its scripts."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


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
