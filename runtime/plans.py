"""Where an engine gets its plans from, and which of them stay loaded, within the memory that the owner allows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from edgehybrid.bundle import Bundle
from edgehybrid.points import OperatingPoint
from edgehybrid.profiles import ExecutionPolicy, MemoryPolicy
from edgehybrid.runtime.backends import Backend, make_backend
from edgehybrid.runtime.execution import (
    WORTH_BYTES,
    Dial,
    Goldens,
    GuardedPlan,
    Part,
    Plan,
    audit_plan,
    find_trim,
    load_plan,
)
from edgehybrid.runtime.telemetry import Snapshot
from edgehybrid.units import MIB

USUAL_SHARE = 1.5
"""Without a budget in the policy: so many times what the largest point takes alone."""

PRESSED_PCT = 10.0
"""From this share of the time on that some process waits for memory, nothing is kept that does not serve."""


class Plans:
    """Loads the points of a bundle, and keeps those that served last.

    Each counts for what it takes alone, by the bundle: beside others it takes less, since they share mapped weights.

    Args:
        bundle: The bundle.
        execution: Spinning and the ceiling for threads.
        memory: How much loaded points may take together.
        dial: Moves the thresholds of exits.
        backends: Back ends by the key that variants name; others come from the registry.
        patience: How long a run of a point on an accelerator is waited for, in seconds; ``None``: without end.
    """

    def __init__(
        self,
        bundle: Bundle,
        execution: ExecutionPolicy,
        memory: MemoryPolicy,
        dial: Dial,
        backends: Mapping[str, Backend],
        patience: Callable[[OperatingPoint], float] | None = None,
    ) -> None:
        self._bundle, self._execution, self._dial, self._patience = bundle, execution, dial, patience
        self._goldens = Goldens(bundle)
        self._budget = budget_bytes(memory, bundle.points)
        self._room = self._budget
        self._kept: dict[Part, tuple[Plan, int]] = {}  # those that served longest ago first; with their bytes
        self._serving: tuple[Plan, ...] = ()  # in memory whatever is kept
        self._lock = threading.Lock()  # of what is kept; never held while a model loads or runs
        self._trim = find_trim()
        self.backends = dict(backends)

    def load(self, part: Part, *, anew: bool = False) -> Plan:
        """Return a plan of a point: one that was kept, or a new one, for which others make room.

        Args:
            part: The point, its threads, and whether in pieces.
            anew: Load a point on accelerators even if it is kept: that it loads and passes its test is the question.

        Raises:
            BackendError: It does not run here.
            ModelError: A model file cannot be used here.
            BundleError: A golden file is damaged.
        """
        point = self._bundle.point(part.point)
        part = Part(point.name, part.threads or point.threads, part.pieces and bool(point.pieces))
        anew = anew and bool(point.accelerators)
        with self._lock:
            if part in self._kept and not anew:
                self._kept[part] = self._kept.pop(part)  # the latest now
                return self._kept[part][0]
            gone = self._evict(self._room - point.resident_bytes, self._serving)
        worth = sum(plan.point.resident_bytes for plan in gone) >= WORTH_BYTES
        gone.clear()
        if worth:
            self._trim()
        form = point.on_threads(part.threads or 1)
        point = replace(form, variants=form.pieces if part.pieces else form.variants)
        plan = load_plan(self._bundle, point, self._execution, self._backend, self._goldens, self._dial)
        if isinstance(plan, GuardedPlan) and (patience := self._patience) is not None:
            plan.allow(lambda: patience(point))
        with self._lock:
            self._kept[part] = (plan, point.resident_bytes)
            self._serving = self._serving or (plan,)
        return plan

    def retire(self, serving: Sequence[Plan], before: Sequence[Plan]) -> list[Plan]:
        """Return what is to be released now that ``serving`` serve in the place of ``before``.

        That is what is beyond the budget, of those that served longest ago, and what is kept no more already.
        """
        with self._lock:
            self._serving = tuple(serving)
            for part, (plan, took) in list(self._kept.items()):
                if plan in serving:
                    del self._kept[part]
                    self._kept[part] = (plan, took)
            kept = [plan for plan, _ in self._kept.values()]
            return [*(plan for plan in before if plan not in kept), *self._evict(self._room, serving)]

    def look(self, snapshot: Snapshot, min_free_mib: float) -> bool:
        """Take in how much memory the device has left; tell whether what is kept is too much now."""
        with self._lock:
            held = sum(took for _, took in self._kept.values())
            room = float(self._budget)
            if snapshot.memory_free_mib is not None:
                room = min(room, held + (snapshot.memory_free_mib - 2 * min_free_mib) * MIB)
            if (snapshot.memory_pressure_pct or 0.0) >= PRESSED_PCT:
                room = 0.0
            self._room = int(max(room, 0.0))
            return held > self._room and len(self._kept) > 1

    def audit(self, plan: Plan) -> None:
        """Replay the golden vectors on a plan that serves.

        Raises:
            BackendError: A stage fails, or no longer gives what it gave.
        """
        audit_plan(self._bundle, plan, self._goldens)

    def drop_accelerated(self, but: Plan) -> None:
        """Keep no point on an accelerator, except ``but``: one is out."""
        with self._lock:
            kept = self._kept.items()
            self._kept = {part: (plan, n) for part, (plan, n) in kept if plan is but or not plan.point.accelerators}

    @property
    def loaded(self) -> tuple[str, ...]:
        """Points that are loaded, the latest last; one that is loaded in several forms, several times."""
        with self._lock:
            return tuple(part.point for part in self._kept)

    def close(self) -> None:
        """Keep nothing any more."""
        with self._lock:
            self._kept.clear()
            self._serving = ()

    def _evict(self, room: int, serving: Sequence[Plan]) -> list[Plan]:
        """Let go of what served longest ago until the rest fits; what serves stays. Under the lock."""
        gone = []
        held = sum(took for _, took in self._kept.values())
        for part, (plan, took) in list(self._kept.items()):
            if held <= room:
                break
            if plan not in serving:
                del self._kept[part]
                gone.append(plan)
                held -= took
        return gone

    def _backend(self, name: str) -> Backend:
        if name not in self.backends:
            self.backends[name] = make_backend(name)
        return self.backends[name]


def budget_bytes(memory: MemoryPolicy, points: Sequence[OperatingPoint]) -> int:
    """Return what loaded points may take together."""
    if memory.resident_mib is not None:
        return int(memory.resident_mib * MIB)
    return int(USUAL_SHARE * max(point.resident_bytes for point in points))
