"""Which TFLite engine this device has: ``ai-edge-litert``, or ``tflite-runtime`` on boards that have nothing newer."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from edgehybrid.errors import BackendError

LITERT, TFLITE_RUNTIME = "ai-edge-litert", "tflite-runtime"
_MODULES: Mapping[str, str] = {LITERT: "ai_edge_litert", TFLITE_RUNTIME: "tflite_runtime"}  # in order of preference
_INSTALL = "Run: pip install 'edgehybrid[tflite]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """An installed engine: the package and its version."""

    package: str
    version: str

    @property
    def module(self) -> Any:
        """Its module with ``Interpreter`` and ``load_delegate``."""
        return importlib.import_module(f"{_MODULES[self.package]}.interpreter")

    def interpreter(self, **options: Any) -> Any:
        """Make an ``Interpreter``."""
        return self.module.Interpreter(**options)


def missing_engine() -> str | None:
    """Say why no engine can be used here; ``None`` when one can."""
    package = next((name for name, module in _MODULES.items() if importlib.util.find_spec(module)), None)
    if package is None:
        return f"neither {LITERT} nor {TFLITE_RUNTIME} is installed: pip install 'edgehybrid[tflite]'"
    return unfit(package, _version("numpy"))


def unfit(package: str, numpy: str) -> str | None:
    """Say why an engine cannot work beside this numpy: ``tflite-runtime`` imports, but fails in its constructor."""
    if package == TFLITE_RUNTIME and numbers(numpy) >= (2,):
        return f"{TFLITE_RUNTIME} cannot work with numpy {numpy}; it needs numpy < 2 (pip install 'numpy<2')"
    return None


def find_engine() -> Engine:
    """Return the engine of this device.

    Raises:
        BackendError: There is none that can be used.
    """
    if reason := missing_engine():
        raise BackendError(f"TFLite files cannot run here: {reason}.", _INSTALL)
    package = next(name for name, module in _MODULES.items() if importlib.util.find_spec(module))
    return Engine(package=package, version=_version(package))


def require_engine(engine: Engine, needs: Mapping[str, str], label: str) -> None:
    """Refuse an engine that would compute a file wrongly without saying so.

    Args:
        engine: The engine.
        needs: Package to least version; a package that is not named cannot run the file. Empty: nothing is asked.
        label: The file, for messages.

    Raises:
        BackendError: It is too old, or of another kind.
    """
    if not needs:
        return
    wanted = " or ".join(f"{package} >= {least}" for package, least in needs.items())
    least = needs.get(engine.package)
    if least is None or numbers(engine.version) < numbers(least):
        raise BackendError(
            f"{label} needs {wanted}; here is {engine.package} {engine.version}, which may give wrong numbers.",
            f"Run: pip install '{next(iter(needs))}>={next(iter(needs.values()))}', or use another point.",
        )


def numbers(text: str) -> tuple[int, ...]:
    """Leading numbers of a version: ``2.1.6rc1`` gives ``(2, 1, 6)``."""
    found = []
    for part in text.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        found.append(int(digits))
    return tuple(found)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "0"  # laid there without metadata: no promise about it
