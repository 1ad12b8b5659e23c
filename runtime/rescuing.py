"""What an engine does so that an accelerator that fails loses no input."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping

from edgehybrid.bundle import Bundle
from edgehybrid.errors import BackendError
from edgehybrid.profiles import Policy
from edgehybrid.runtime.availability import Availability, Hooks
from edgehybrid.runtime.backends import Array
from edgehybrid.runtime.books import Books
from edgehybrid.runtime.control import Context
from edgehybrid.runtime.execution import Activator, Part, Plan, Switch, Trace
from edgehybrid.runtime.plans import Plans
from edgehybrid.runtime.results import Result
from edgehybrid.runtime.telemetry import Snapshot

_now = time.monotonic  # of latencies; the engine's own clock may be a simulator's


class Rescuing:
    """The half of an engine between its plans and what knows which accelerators are well."""

    _bundle: Bundle
    _policy: Policy
    _context: Context
    _snapshot: Snapshot
    _excluded: Mapping[str, str]
    _plans: Plans
    _books: Books
    _activator: Activator
    _availability: Availability
    _journal: deque[Switch]
    _wake: threading.Event
    _clock: Callable[[], float]

    def _rescue(self, plan: Plan, feeds: Mapping[str, Array], error: BackendError, started: float) -> Result:
        """Answer an input that an accelerator failed on; what that took is no figure of the point that answers."""
        failed = _now()
        plan, trace = self._answer(plan, feeds, error)
        ended, (outputs, depth, confidence, seen), point = _now(), trace, plan.point
        self._books.note((ended, point.name, depth, ended - failed, seen, point.threads, 0.0))
        return Result(outputs, point.name, depth, confidence, (ended - started) * 1e3)

    def _answer(self, plan: Plan, feeds: Mapping[str, Array], error: BackendError) -> tuple[Plan, Trace]:
        return self._availability.rescue(plan, self._activator.plan, feeds, error)

    def _load(self, part: Part) -> Plan:
        """Load a plan; for one on an accelerator, see to it that one on the CPU stands by."""
        plan = self._plans.load(part)
        self._availability.prepare(
            plan.point,
            self._excluded,
            self._snapshot,
            deadline_s=self._context.deadline_s,
            keep_mib=self._policy.min_memory_mib,
        )
        return plan

    def _gone(self) -> Mapping[str, str]:
        """Points that may not serve, with the reason; where none is left, those that an accelerator may bring back."""
        gone = {**self._availability.excluded, **self._excluded}
        return gone if len(gone) < len(self._bundle.points) else self._excluded

    def _hooks(self) -> Hooks:
        return Hooks(
            load=lambda name: self._plans.load(Part(name), anew=True),
            audit=self._plans.audit,
            fall_back=self._fall_back,
            note=self._note_event,
            wake=self._wake.set,
            clock=self._clock,
        )

    def _fall_back(self, plan: Plan, why: str) -> None:
        self._plans.drop_accelerated(plan)
        self._activator.fall_back(plan, why)

    def _note_event(self, key: str, reason: str) -> None:
        self._journal.append(Switch(at_s=self._clock(), source=key, target=key, reason=reason, ready_s=0.0))
