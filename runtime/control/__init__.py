"""The controller: what the device and the app say becomes a point, with its reason."""

from edgehybrid.runtime.control.controller import Controller
from edgehybrid.runtime.control.mission import Until, seconds_until
from edgehybrid.runtime.control.state import State, lasting, load_state, renewed, save_state
from edgehybrid.runtime.control.values import Context, Decision, Observation

__all__ = [
    "Context",
    "Controller",
    "Decision",
    "Observation",
    "State",
    "Until",
    "lasting",
    "load_state",
    "renewed",
    "save_state",
    "seconds_until",
]
