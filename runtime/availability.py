"""Accelerators that come and go: a point on the CPU stands by, failures switch to it at once, probes lead back."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from edgehybrid.errors import BackendError, EdgeHybridError
from edgehybrid.points import REFERENCE, OperatingPoint
from edgehybrid.runtime.backends import Array
from edgehybrid.runtime.execution import Plan, Trace, alone
from edgehybrid.runtime.execution.guarded import SuspectError
from edgehybrid.runtime.execution.probation import (
    Health,
    Out,
    Well,
    describe,
    fail,
    fail_probe,
    free,
    hold_reason,
    is_due,
    pass_probe,
)
from edgehybrid.runtime.telemetry import Snapshot
from edgehybrid.units import MIB

_log = logging.getLogger("edgehybrid")

AUDIT_S = 10.0
"""How often the golden vectors are replayed on an accelerator that serves: garbage that looks like an answer."""

PATIENCE_S, PATIENCE_LATENCIES = 1.0, 20.0
"""How long a run on an accelerator is waited for where there is no deadline: a second, or so many times its latency."""

_IN_TIME = 0.8  # of the deadline: the failed run has taken some of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """What the engine lends.

    Attributes:
        load: Loads and self-tests a plan by the name of its point.
        audit: Replays the golden vectors on a loaded plan; raises when it does not pass.
        fall_back: Lets a plan serve at once in the place of those that need some back ends; the reason is the second.
        note: Writes an event of an accelerator into the journal: its key, and what happened.
        wake: Makes the engine decide anew.
        clock: The engine's.
    """

    load: Callable[[str], Plan]
    audit: Callable[[Plan], None]
    fall_back: Callable[[Plan, str], None]
    note: Callable[[str, str], None]
    wake: Callable[[], None]
    clock: Callable[[], float]


class Availability:
    """Knows which accelerators are well. Without accelerated points it does nothing.

    Args:
        points: Points of the bundle, best quality first.
        hooks: What the engine lends.
        background: Probe in a thread of its own; without, ``look`` does it.
    """

    def __init__(self, points: Iterable[OperatingPoint], hooks: Hooks, *, background: bool) -> None:
        self._points = {point.name: point for point in points}
        self._hooks, self._background = hooks, background
        keys = sorted({key for point in self._points.values() for key in point.accelerators})
        self._health: Mapping[str, Health] = dict.fromkeys(keys, Well())
        self._lock = threading.Lock()  # of the health; never held while anything loads or runs
        self._spare: Plan | None = None
        self._dead = False  # what serves failed, and nothing stood by
        self._last = {  # back end to the point that is probed: the last one that was to serve on it
            key: next(name for name, point in self._points.items() if key in point.accelerators) for key in keys
        }
        self._probe: threading.Thread | None = None
        self._audited_s = hooks.clock()

    @property
    def excluded(self) -> Mapping[str, str]:
        """Points that need an accelerator that is out, with the reason."""
        out = {key: health for key, health in self._health.items() if isinstance(health, Out)}
        if not out:
            return {}
        return {
            name: "; ".join(f"{key}: {out[key].why}" for key in sorted(point.accelerators & out.keys()))
            for name, point in self._points.items()
            if point.accelerators & out.keys()
        }

    @property
    def health(self) -> Mapping[str, Health]:
        """Back end to how it is."""
        return self._health

    @property
    def spare(self) -> str | None:
        """Name of the point that stands by."""
        return None if self._spare is None else self._spare.point.name

    def words(self) -> Mapping[str, str]:
        """Say of each accelerator how it is."""
        now_s = self._hooks.clock()
        return {key: describe(health, now_s) for key, health in self._health.items()}

    def wait_s(self, longest_s: float) -> float:
        """How long nothing needs to be looked at."""
        now_s = self._hooks.clock()
        dues = [h.due_s - now_s for h in self._health.values() if isinstance(h, Out) and not h.held]
        return max(min([longest_s, *dues]), 0.02)

    def prepare(
        self, point: OperatingPoint, excluded: Mapping[str, str], snapshot: Snapshot, **limits: float | None
    ) -> None:
        """Before a point on an accelerator serves: see to it that one on the CPU stands by."""
        if not point.accelerators:
            return
        for key in point.accelerators:
            self._last[key] = point.name
        here = [p for p in self._points.values() if not (p.accelerators or p.carried or p.name in excluded)]
        for name in stand_ins(here, snapshot.memory_free_mib, **limits):
            if self.spare == name:
                return
            try:
                self._spare = self._hooks.load(name)
            except EdgeHybridError as error:
                _log.warning("%s cannot stand by: %s", name, error)
                continue
            return

    def patience_s(self, point: OperatingPoint, deadline_s: float | None) -> float:
        """How long to wait for a run of ``point``: so that the point that stands by can still answer in time.

        Never less than twice the latency that the point is known for.
        """
        own_s = point.latency_ms.p95 / 1e3
        if deadline_s is None:
            return max(PATIENCE_LATENCIES * own_s, PATIENCE_S)
        spare_s = 0.0 if self._spare is None else self._spare.point.latency_ms.p95 / 1e3
        return max(deadline_s - 1.5 * spare_s, 2.0 * own_s)

    def served(self, plan: Plan) -> None:
        """A switch took place: what serves on the CPU needs nobody to stand by."""
        if not any(part.point.accelerators for part in alone(plan)):
            self._spare = None

    def rescue(self, plan: Plan, present: Plan, feeds: Mapping[str, Array], error: BackendError) -> tuple[Plan, Trace]:
        """Answer an input that ``plan`` failed on.

        Args:
            plan: What failed.
            present: What serves now; perhaps another thread was quicker.
            feeds: The input.
            error: How it failed.

        Raises:
            BackendError: The same, where nothing on the CPU stands by.
        """
        keys = plan.point.accelerators
        spare = next((part for part in (*alone(present), self._spare) if part and not part.point.accelerators), None)
        if not keys or not plan.stages:  # of the CPU, or closed
            raise error
        if spare is None:
            self._dead = True
            self.lose(keys, error.what)
            raise error
        trace = spare.trace(feeds)
        if isinstance(error, SuspectError) and error.is_right(trace[0]):
            return plan, error.trace  # the CPU says so too
        self.lose(keys, error.what, spare)
        return spare, trace

    def lose(self, keys: Iterable[str], why: str, spare: Plan | None = None, *, held: str = "") -> None:
        """Take accelerators out, and let the spare serve."""
        now_s = self._hooks.clock()
        with self._lock:
            fresh = [key for key in keys if isinstance(self._health.get(key), Well)]
            changed = {key: fail(self._health[key], now_s, why, held=held) for key in keys if key in self._health}
            self._health = {**self._health, **changed}
        if not fresh:
            return
        reason = f"{', '.join(fresh)} is out: {why}"
        _log.warning("%s", reason)
        spare = spare or self._spare
        if spare is not None:
            self._hooks.fall_back(spare, reason)
        else:
            self._hooks.note(fresh[0], reason)
        self._hooks.wake()

    def refuse(self, name: str, why: str) -> bool:
        """A point could not be made ready; tell whether that is for its accelerators to be blamed."""
        keys = self._points[name].accelerators
        for key in keys:
            self._last[key] = name
        self.lose(keys, why)
        return bool(keys)

    def look(self, snapshot: Snapshot, serving: Plan) -> None:
        """Once in a while: believe telemetry, probe what is due, audit what serves."""
        if not self._health:
            return
        self._heed(snapshot)
        now_s = self._hooks.clock()
        due = [key for key, health in self._health.items() if is_due(health, now_s)]
        if due:
            self._start(lambda: self._try(due[0]))
            return
        accelerated = [part for part in alone(serving) if part.point.accelerators]
        if accelerated:
            self._served(accelerated)
            if now_s - self._audited_s >= AUDIT_S:
                self._audited_s = now_s
                self._start(lambda: self._audit(accelerated[0]))

    def _served(self, plans: list[Plan]) -> None:
        with self._lock:
            fresh = {
                key: Well(wait_s=health.wait_s, calm_s=health.calm_s, served=True)
                for plan in plans
                for key in plan.point.accelerators
                if isinstance(health := self._health[key], Well) and not health.served
            }
            self._health = {**self._health, **fresh}

    def _heed(self, snapshot: Snapshot) -> None:
        now_s = self._hooks.clock()
        held_back = any(isinstance(health, Out) and health.held for health in self._health.values())
        if held := hold_reason(snapshot.npu_present, snapshot.npu_temp_c, held=held_back):
            self.lose(tuple(self._health), held, held=held)
            return
        with self._lock:
            self._health = {key: free(h, now_s) if isinstance(h, Out) else h for key, h in self._health.items()}

    def _start(self, work: Callable[[], None]) -> None:
        """Do it beside the watch: a device that hangs must not stop the engine. One at a time."""
        if not self._background:
            work()
            return
        if self._probe is None or not self._probe.is_alive():
            self._probe = threading.Thread(target=work, name="edgehybrid-probe", daemon=True)
            self._probe.start()

    def _try(self, key: str) -> None:
        """Probe: load a point and replay its golden vectors."""
        name, before = self._last[key], self._health[key]
        try:
            plan = self._hooks.load(name)
        except EdgeHybridError as error:
            with self._lock:
                now = self._health[key]
                if isinstance(now, Out):
                    self._health = {**self._health, key: fail_probe(now, self._hooks.clock(), error.what)}
            self._hooks.wake()
            return
        with self._lock:
            now = self._health[key]
            if isinstance(now, Out) and not now.held:
                self._health = {**self._health, key: pass_probe(now, self._hooks.clock())}
        probes = before.probes + 1 if isinstance(before, Out) else 1
        reason = f"{key} is back: probe {probes} passed, loaded and self-tested"
        self._hooks.note(key, reason)
        if self._dead:
            self._dead = False
            self._hooks.fall_back(plan, reason)
        self._hooks.wake()

    def _audit(self, plan: Plan) -> None:
        try:
            self._hooks.audit(plan)
        except EdgeHybridError as error:
            self.lose(plan.point.accelerators, error.what)


def stand_ins(
    points: Iterable[OperatingPoint],
    free_mib: float | None,
    *,
    deadline_s: float | None = None,
    keep_mib: float | None = None,
) -> list[str]:
    """Return which points may stand by, the first choice first.

    In time before late, then what fits into memory, then the better one; the reference last of all. Where nothing fits
    into memory, the smallest comes first.

    Args:
        points: Points on the CPU, best quality first.
        free_mib: Free memory; ``None`` when nobody knows.
        deadline_s: Time for one inference.
        keep_mib: Memory that has to stay free.
    """

    def order(place: tuple[int, OperatingPoint]) -> tuple[bool, float, bool, int]:
        rank, point = place
        late = deadline_s is not None and point.latency_ms.p95 / 1e3 > _IN_TIME * deadline_s
        needs_mib = point.resident_bytes / MIB
        tight = free_mib is not None and needs_mib > free_mib - (keep_mib or 0.0)
        return late, needs_mib if tight else 0.0, point.name == REFERENCE, rank

    return [point.name for _, point in sorted(enumerate(points), key=order)]
