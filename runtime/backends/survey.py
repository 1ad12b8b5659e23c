"""What each back end offers on this device, for ``edgehybrid doctor``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points

from edgehybrid.errors import EdgeHybridError
from edgehybrid.runtime.backends.onnx import OnnxBackend
from edgehybrid.runtime.backends.protocol import Backend
from edgehybrid.runtime.backends.registry import BACKENDS, ENTRY_POINTS
from edgehybrid.runtime.backends.tflite import TfliteBackend
from edgehybrid.runtime.backends.tflite_engine import find_engine


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendReport:
    """One back end; ``problem`` says why it cannot be used here, ``None`` when it can.

    Attributes:
        name: Key that placements name.
        version: Of its engine, or of its provider where that has one of its own.
        providers: What it computes with: of ``onnx``, all that this ONNX Runtime was built with or had plugged in.
        devices: Devices that it would use.
        problem: Why it is not offered.
    """

    name: str
    version: str | None
    providers: tuple[str, ...]
    problem: str | None
    devices: tuple[str, ...] = ()


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
        backend = factory()
        problem = backend.unavailable()
    except EdgeHybridError as error:
        return BackendReport(name=name, version=None, providers=(), problem=str(error))
    if problem is not None:
        return BackendReport(name=name, version=None, providers=(), problem=problem)
    if isinstance(backend, OnnxBackend):
        offer = backend.offer()
        providers = _onnxruntime() if name == "onnx" else (backend.title,)
        return BackendReport(name=name, version=offer.version, providers=providers, problem=None, devices=offer.names)
    if isinstance(backend, TfliteBackend):
        engine = find_engine()
        version = f"{engine.package} {engine.version}"
        return BackendReport(name=name, version=version, providers=(backend.title,), problem=None)
    return BackendReport(name=name, version=None, providers=(), problem=None)


def _onnxruntime() -> tuple[str, ...]:
    import onnxruntime

    return tuple(onnxruntime.get_available_providers())
