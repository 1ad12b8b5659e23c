"""The device half: watch the device, choose a point, run it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgehybrid.lazy import lazily

if TYPE_CHECKING:
    from edgehybrid.runtime.control import Context as Context
    from edgehybrid.runtime.control import Controller as Controller
    from edgehybrid.runtime.control import Decision as Decision
    from edgehybrid.runtime.control import Observation as Observation
    from edgehybrid.runtime.engine import Engine as Engine
    from edgehybrid.runtime.execution import Arrangement as Arrangement
    from edgehybrid.runtime.execution import Switch as Switch
    from edgehybrid.runtime.results import Result as Result
    from edgehybrid.runtime.results import Status as Status
    from edgehybrid.runtime.telemetry import Snapshot as Snapshot

__all__ = [
    "Arrangement",
    "Context",
    "Controller",
    "Decision",
    "Engine",
    "Observation",
    "Result",
    "Snapshot",
    "Status",
    "Switch",
]

__getattr__ = lazily(
    __name__,
    {
        "Arrangement": "edgehybrid.runtime.execution",
        "Context": "edgehybrid.runtime.control",
        "Controller": "edgehybrid.runtime.control",
        "Decision": "edgehybrid.runtime.control",
        "Engine": "edgehybrid.runtime.engine",
        "Observation": "edgehybrid.runtime.control",
        "Result": "edgehybrid.runtime.results",
        "Snapshot": "edgehybrid.runtime.telemetry",
        "Status": "edgehybrid.runtime.results",
        "Switch": "edgehybrid.runtime.execution",
    },
)
