"""Plans and their activation: what runs, and how the next one takes its place."""

from edgehybrid.runtime.execution.activation import Activator, Request, Switch
from edgehybrid.runtime.execution.goldens import Goldens
from edgehybrid.runtime.execution.ledger import LatencyStats, Ledger, Note
from edgehybrid.runtime.execution.loading import load_plan, self_test
from edgehybrid.runtime.execution.plan import LoadedStage, Plan

__all__ = [
    "Activator",
    "Goldens",
    "LatencyStats",
    "Ledger",
    "LoadedStage",
    "Note",
    "Plan",
    "Request",
    "Switch",
    "load_plan",
    "self_test",
]
