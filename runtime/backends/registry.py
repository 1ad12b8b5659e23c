"""Which back ends there are: one visible table, and the entry points of other packages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points

from edgehybrid.errors import BackendError
from edgehybrid.runtime.backends.onnx import OnnxBackend
from edgehybrid.runtime.backends.protocol import Backend
from edgehybrid.runtime.backends.tflite import TfliteBackend

ENTRY_POINTS = "edgehybrid.backends"
"""Entry point group through which other packages add a back end: name = "module:factory"."""

BACKENDS: Mapping[str, Callable[[], Backend]] = {"onnx": OnnxBackend, "tflite": TfliteBackend}
"""Back ends of this package by the key that variants name."""


def make_backend(name: str) -> Backend:
    """Make the back end that variants call ``name``.

    Raises:
        BackendError: There is none of that name, or it cannot be used on this device.
    """
    factory = BACKENDS.get(name) or _outside(name)
    backend = factory()
    if reason := backend.unavailable():
        raise BackendError(f"Back end {name!r} cannot be used here: {reason}.", "Install it, or choose another point.")
    return backend


def _outside(name: str) -> Callable[[], Backend]:
    found = entry_points(group=ENTRY_POINTS)
    if name not in found.names:
        known = ", ".join(sorted({*BACKENDS, *found.names}))
        raise BackendError(
            f"There is no back end {name!r} (there are: {known}).", f"Install the package that provides {name!r}."
        )
    factory: Callable[[], Backend] = found[name].load()
    return factory
