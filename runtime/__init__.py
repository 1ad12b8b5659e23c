"""The device half: watch the device, choose a point, run it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgehybrid.runtime.control import Context as Context
    from edgehybrid.runtime.control import Controller as Controller
    from edgehybrid.runtime.control import Decision as Decision
    from edgehybrid.runtime.control import Observation as Observation
    from edgehybrid.runtime.engine import Engine as Engine
    from edgehybrid.runtime.execution import Switch as Switch
    from edgehybrid.runtime.results import Result as Result
    from edgehybrid.runtime.results import Status as Status
    from edgehybrid.runtime.telemetry import Snapshot as Snapshot

_HOME = {
    "Context": "edgehybrid.runtime.control",
    "Controller": "edgehybrid.runtime.control",
    "Decision": "edgehybrid.runtime.control",
    "Engine": "edgehybrid.runtime.engine",
    "Observation": "edgehybrid.runtime.control",
    "Result": "edgehybrid.runtime.results",
    "Snapshot": "edgehybrid.runtime.telemetry",
    "Status": "edgehybrid.runtime.results",
    "Switch": "edgehybrid.runtime.execution",
}

__all__ = ["Context", "Controller", "Decision", "Engine", "Observation", "Result", "Snapshot", "Status", "Switch"]


def __getattr__(name: str) -> object:
    """Load a part when it is first asked for: a back end alone must not cost the whole engine."""
    if name not in _HOME:
        raise AttributeError(f"module 'edgehybrid.runtime' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value
