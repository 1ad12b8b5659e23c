"""Whether litert-torch is there, which one, and what it is asked about; nothing of it is imported here."""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

_PACKAGE, _MODULES = "litert-torch", ("litert_torch", "torch")
_HAS_WHEELS = frozenset({("linux", "x86_64"), ("darwin", "arm64")})
HINT = "litert-torch may write it from the PyTorch model: pip install 'edgehybrid[export-litert-torch]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The PyTorch model that a graph was made of.

    Attributes:
        source: Path of a ``.pt2`` file, or ``module:factory``.
        outputs: All outputs of the ONNX graph, in its order; a source may want fewer.
    """

    source: str
    outputs: Sequence[str]


def is_installed() -> bool:
    """Whether litert-torch can be asked."""
    return all(find_spec(module) is not None for module in _MODULES)


def can_be_installed() -> bool:
    """Whether there are wheels for this machine."""
    return (sys.platform, platform.machine()) in _HAS_WHEELS


def writer() -> str:
    """Its name and version."""
    return f"{_PACKAGE} {version(_PACKAGE)}"


@cache
def maker() -> str:
    """What writes a file here besides the quantizer: the packages, and this folder by its digest."""
    own = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    return f"{writer()}, torch {version('torch')}, fallback {hashlib.sha256(own).hexdigest()}"
