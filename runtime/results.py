"""What the engine gives back: a result for every run, a status for whoever asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from edgehybrid.runtime.backends import Array
from edgehybrid.runtime.bench import Table
from edgehybrid.runtime.control import Context, Decision
from edgehybrid.runtime.energy import Joules
from edgehybrid.runtime.execution import Arrangement, ExitReport, LatencyStats
from edgehybrid.runtime.telemetry import Snapshot


class Result(NamedTuple):
    """One inference. A tuple, since a frozen dataclass would take half a microsecond longer on every run.

    Attributes:
        outputs: Output name to array; they belong to the caller.
        point: The operating point that ran.
        depth: How many stages the answer took: of a batch, the most that a row took; 0 if the last one was given again.
        confidence: Score of the exit that answered, 0 to 1: of a batch, the lowest of those rows that left by an exit.
            ``None`` where the full model answered: how sure it is, no exit can tell.
        latency_ms: From taking the inputs to having the outputs, in milliseconds; in a stream, the time in its stages.
        waited_ms: Time in the queues of a stream besides, but for that in which the app had not taken the result yet.
    """

    outputs: dict[str, Array]
    point: str
    depth: int
    confidence: float | None
    latency_ms: float
    waited_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The engine at one moment.

    Attributes:
        at_s: When, on the engine's clock.
        point: The point that serves now.
        decision: The last decision; while its point is being made ready, ``point`` is still the old one.
        pinned: The point that the app pinned; ``None`` when the controller chooses.
        snapshot: What the device said last.
        context: What the app said.
        inferences: Finished runs.
        points: Runs by point.
        depths: Inputs by depth: every row of a batch on its own where a point has exits.
        exits: Of each point with exits, whether they answer and why, and what audits have shown.
        switches: Switches that took place.
        loaded: Points in memory, the one that was wanted last at the end.
        excluded: Points that do not work on this device, and why.
        joules: Energy of all runs so far, with its method.
        latency: Latency of the most recent runs.
        waits: How long they waited in the queues of a stream besides.
        arrangement: How a stream spreads its inputs over cores now.
        faults: Rounds of the background loop that ended in an error that nobody foresaw.
        last_fault: The last such error, in words.
        device: Name of the device profile.
        policy: Name of the policy.
        placement: Of each stage of the point that serves, its back end and which nodes that took, in words.
        accelerators: How each back end that is not the CPU's does, in words.
        stand_by: The point that is kept loaded for when an accelerator fails; ``None`` while none serves.
        figures: The table, measured on this device, by which points are chosen; ``None``: the figures of the bundle.
    """

    at_s: float
    point: str
    decision: Decision
    pinned: str | None
    snapshot: Snapshot
    context: Context
    inferences: int
    points: Mapping[str, int]
    depths: Mapping[int, int]
    exits: Mapping[str, ExitReport]
    switches: int
    loaded: tuple[str, ...]
    excluded: Mapping[str, str]
    joules: Joules
    latency: LatencyStats
    waits: LatencyStats
    arrangement: Arrangement
    faults: int
    last_fault: str | None
    device: str
    policy: str
    figures: Table | None = None
    placement: Mapping[str, str] = field(default_factory=dict)
    accelerators: Mapping[str, str] = field(default_factory=dict)
    stand_by: str | None = None

    @property
    def reason(self) -> str:
        """Why the decision was taken."""
        return self.decision.reason
