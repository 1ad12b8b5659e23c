"""Plans and their activation: what runs, and how the next one takes its place."""

from edgehybrid.runtime.execution.activation import Activator, Part, Request, Switch
from edgehybrid.runtime.execution.arrangement import MODES, Arrangement, Mode, balance
from edgehybrid.runtime.execution.dial import Dial, Setting
from edgehybrid.runtime.execution.frames import LoadedStage
from edgehybrid.runtime.execution.gate import Gate, gate_distance, make_gate, sketch
from edgehybrid.runtime.execution.goldens import Goldens
from edgehybrid.runtime.execution.guarded import GuardedPlan
from edgehybrid.runtime.execution.ledger import LatencyStats, Ledger, Note
from edgehybrid.runtime.execution.line import Line
from edgehybrid.runtime.execution.loading import audit_plan, backend_of, load_plan, load_request, self_test
from edgehybrid.runtime.execution.losses import exit_losses
from edgehybrid.runtime.execution.memory import WORTH_BYTES, find_trim
from edgehybrid.runtime.execution.parcels import Job, placed
from edgehybrid.runtime.execution.plan import Plan, alone, falls_to
from edgehybrid.runtime.execution.times import Times
from edgehybrid.runtime.execution.traces import Seen, Trace
from edgehybrid.runtime.execution.watch import ExitReport, ExitWatch

__all__ = [
    "MODES",
    "WORTH_BYTES",
    "Activator",
    "Arrangement",
    "Dial",
    "ExitReport",
    "ExitWatch",
    "Gate",
    "Goldens",
    "GuardedPlan",
    "Job",
    "LatencyStats",
    "Ledger",
    "Line",
    "LoadedStage",
    "Mode",
    "Note",
    "Part",
    "Plan",
    "Request",
    "Seen",
    "Setting",
    "Switch",
    "Times",
    "Trace",
    "alone",
    "audit_plan",
    "backend_of",
    "balance",
    "exit_losses",
    "falls_to",
    "find_trim",
    "gate_distance",
    "load_plan",
    "load_request",
    "make_gate",
    "placed",
    "self_test",
    "sketch",
]
