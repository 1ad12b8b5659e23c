"""Plans and their activation: what runs, and how the next one takes its place."""

from edgehybrid.runtime.execution.activation import Activator, Request, Switch
from edgehybrid.runtime.execution.dial import Dial, Setting
from edgehybrid.runtime.execution.frames import LoadedStage
from edgehybrid.runtime.execution.gate import Gate, gate_distance, make_gate, sketch
from edgehybrid.runtime.execution.goldens import Goldens
from edgehybrid.runtime.execution.guarded import GuardedPlan
from edgehybrid.runtime.execution.ledger import LatencyStats, Ledger, Note
from edgehybrid.runtime.execution.loading import audit_plan, backend_of, load_plan, load_request, self_test
from edgehybrid.runtime.execution.losses import exit_losses
from edgehybrid.runtime.execution.plan import Plan, alone
from edgehybrid.runtime.execution.traces import Seen, Trace
from edgehybrid.runtime.execution.watch import ExitReport, ExitWatch

__all__ = [
    "Activator",
    "Dial",
    "ExitReport",
    "ExitWatch",
    "Gate",
    "Goldens",
    "GuardedPlan",
    "LatencyStats",
    "Ledger",
    "LoadedStage",
    "Note",
    "Plan",
    "Request",
    "Seen",
    "Setting",
    "Switch",
    "Trace",
    "alone",
    "audit_plan",
    "backend_of",
    "exit_losses",
    "gate_distance",
    "load_plan",
    "load_request",
    "make_gate",
    "self_test",
    "sketch",
]
