"""Which back ends there are: one visible table, and the entry points of other packages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import entry_points

from edgehybrid.errors import BackendError
from edgehybrid.runtime.backends.delegates import DELEGATES
from edgehybrid.runtime.backends.onnx import OnnxBackend
from edgehybrid.runtime.backends.protocol import Backend
from edgehybrid.runtime.backends.providers import PROVIDERS
from edgehybrid.runtime.backends.tflite import TfliteBackend

ENTRY_POINTS = "edgehybrid.backends"
"""Entry point group through which other packages add a back end: name = "module:factory"."""

BACKENDS: Mapping[str, Callable[[], Backend]] = {
    "onnx": OnnxBackend,
    **{key: partial(OnnxBackend, provider) for key, provider in PROVIDERS.items()},
    "tflite": TfliteBackend,
    **{key: partial(TfliteBackend, delegate) for key, delegate in DELEGATES.items()},
}
"""Back ends of this package by the key that variants and placements name; most are offered on few devices."""


def make_backend(name: str) -> Backend:
    """Make the back end that variants and placements call ``name``.

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
        known = ", ".join([*BACKENDS, *sorted(found.names)])
        raise BackendError(
            f"There is no back end {name!r} (there are: {known}).", f"Install the package that provides {name!r}."
        )
    factory: Callable[[], Backend] = found[name].load()
    return factory
