"""What each back end offers on this device, for ``edgehybrid doctor``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points

from edgehybrid.errors import EdgeHybridError
from edgehybrid.runtime.backends.protocol import Backend
from edgehybrid.runtime.backends.registry import BACKENDS, ENTRY_POINTS
from edgehybrid.runtime.backends.tflite_engine import find_engine


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendReport:
    """One back end; ``problem`` says why it cannot be used here, ``None`` when it can."""

    name: str
    version: str | None
    providers: tuple[str, ...]
    problem: str | None


def survey_backends() -> tuple[BackendReport, ...]:
    """Ask every back end of the table and of other packages whether it can be used here."""
    reports = [_report(name, factory) for name, factory in BACKENDS.items()]
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            reports.append(_report(entry.name, entry.load()))
        except (ImportError, AttributeError) as error:
            reports.append(BackendReport(name=entry.name, version=None, providers=(), problem=str(error)))
    return tuple(reports)


def _report(name: str, factory: Callable[[], Backend]) -> BackendReport:
    try:
        problem = factory().unavailable()
    except EdgeHybridError as error:
        problem = str(error)
    version, providers = _VERSIONS[name]() if name in _VERSIONS and problem is None else (None, ())
    return BackendReport(name=name, version=version, providers=providers, problem=problem)


def _onnxruntime() -> tuple[str, tuple[str, ...]]:
    import onnxruntime

    return onnxruntime.__version__, tuple(onnxruntime.get_available_providers())


def _litert() -> tuple[str, tuple[str, ...]]:
    engine = find_engine()
    return f"{engine.package} {engine.version}", ("XNNPACK",)  # built in, and on unless it is switched off


_VERSIONS: Mapping[str, Callable[[], tuple[str, tuple[str, ...]]]] = {"onnx": _onnxruntime, "tflite": _litert}
