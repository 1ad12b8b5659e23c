"""What the tests of the samples share: where a sample lies, and how to import its scripts."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture(scope="session")
def keyword_spotter() -> Path:
    """The folder of the sample."""
    return SAMPLES / "keyword_spotter"


@pytest.fixture(scope="session")
def import_sample() -> Callable[[str, str], ModuleType]:
    """Import a sample's script by path, as ``import_sample("keyword_spotter", "features")``.

    The samples are no part of the installed package, and the tests do not put the repository on ``sys.path``.
    """

    def load(sample: str, script: str) -> ModuleType:
        name = f"samples.{sample}.{script}"
        if name not in sys.modules:
            spec = importlib.util.spec_from_file_location(name, SAMPLES / sample / f"{script}.py")
            if spec is None or spec.loader is None:
                pytest.fail(f"samples/{sample}/{script}.py cannot be imported")
            sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses look their module up here
            spec.loader.exec_module(sys.modules[name])
        return sys.modules[name]

    return load
