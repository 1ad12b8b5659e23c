"""Switching: the next plan is made ready beside the one that serves, then takes its place between two inferences."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import NamedTuple

from edgehybrid.errors import EdgeHybridError
from edgehybrid.runtime.execution.memory import WORTH_BYTES, WORTH_RELEASES, find_trim
from edgehybrid.runtime.execution.plan import ClosedPlan, Plan, alone, shared

_GRACE_LATENCIES = 4.0
_MAX_GRACE_S = 0.25
_POLL_S = 2e-5

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """A switch that took place; ``ready_s`` is how long the new plan took to load, warm up and pass its test.

    Of the same ``source`` and ``target``: its exits were switched off or on, or are audited more or less; where both
    are a back end, it is out, or back.
    """

    at_s: float
    source: str
    target: str
    reason: str
    ready_s: float


class Part(NamedTuple):
    """What a plan is made of: a point, its threads (``None``: as it was measured), and whether it is cut in pieces."""

    point: str
    threads: int | None = None
    pieces: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A wish to run another point, or a time-share of two.

    Attributes:
        point: The point.
        reason: In words.
        threads: Its threads; ``None``: as it was measured.
        alternate: Second point of a time-share.
        alternate_threads: Its threads.
        share: Share of the runs that ``point`` gets, 0 to 1.
        pieces: Whether points are wanted in their pieces, where they have some.
    """

    point: str
    reason: str
    threads: int | None = None
    alternate: str | None = None
    alternate_threads: int | None = None
    share: float = 1.0
    pieces: bool = False

    @property
    def parts(self) -> tuple[Part, ...]:
        """The point, or both."""
        first = Part(self.point, self.threads, self.pieces)
        if self.alternate is None:
            return (first,)
        return first, Part(self.alternate, self.alternate_threads, self.pieces)


class Activator:
    """Holds the plan that serves, and replaces it on request.

    ``plan`` is one reference, assigned whole: a run that read it before a switch finishes on the old plan, the next one
    starts on the new. The old plan is released by the worker, a little after its last run, not by a serving thread.

    Args:
        first: The plan that serves at the start.
        load: Makes a plan.
        clock: Monotonic clock of the journal.
        switched: Called after every switch, on the worker thread.
        failed: Called with the request and the error when a plan could not be made ready; the present one serves on.
        last_run: Returns another object after every run.
        retire: Told which plans serve after a switch and which did before; returns those that are to be released.
            ``None``: all that did before.
    """

    def __init__(
        self,
        first: Plan,
        load: Callable[[Part], Plan],
        clock: Clock,
        *,
        switched: Callable[[Switch], None],
        failed: Callable[[Request, Exception], None],
        last_run: Callable[[], object] = lambda: None,
        retire: Callable[[Sequence[Plan], Sequence[Plan]], list[Plan]] | None = None,
    ) -> None:
        self.plan = first
        self._load, self._clock, self._switched, self._failed = load, clock, switched, failed
        self._trim, self._last_run, self._retire = find_trim(), last_run, retire
        self._small_releases = 0  # since memory was last handed back
        self._lock = threading.Lock()  # of the fields below; never held while a model loads or runs
        self._closed = False
        self._pending: Request | None = None
        self._work: Future[None] | None = None
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="edgehybrid-switch")

    def request(self, request: Request) -> None:
        """Ask for a point; the newest request wins over those that still wait. After closing, nothing happens.

        Where the same points serve already, only their shares change, at once.
        """
        with self._lock:
            if self._closed:
                return
            if (self._work is None or self._work.done()) and self._serves(request):
                self._deal(request.share)
                return
            self._pending = request
            if self._work is None or self._work.done():
                self._work = self._worker.submit(self._serve)

    def fall_back(self, plan: Plan, reason: str) -> None:
        """Let a plan that is loaded serve at once, in the place of one that failed; the worker releases that."""
        with self._lock:
            if self._closed or self.plan is plan:
                return
            old, self.plan = self.plan, plan
            leaving = [part for part in alone(old) if part is not plan]
            self._worker.submit(self._release, leaving)
        self._switched(Switch(at_s=self._clock(), source=_label(old), target=_label(plan), reason=reason, ready_s=0.0))

    def tidy(self) -> None:
        """Release what is to be released although no switch is asked for."""
        with self._lock:
            if not self._closed and (self._work is None or self._work.done()):
                self._work = self._worker.submit(self._tidy)

    @property
    def busy(self) -> bool:
        """Whether a request is waiting or at work."""
        with self._lock:
            return self._work is not None and not self._work.done()

    def settle(self, timeout_s: float | None = None) -> bool:
        """Wait until no request is waiting or at work; tell whether that came in time.

        Raises:
            Exception: Whatever unforeseen stopped the worker.
        """
        with self._lock:
            work = self._work
        if work is None:
            return True
        if work not in wait([work], timeout_s).done:
            return False
        with self._lock:
            self._work = None if self._work is work else self._work  # an error is told once
        work.result()
        return True

    def close(self) -> None:
        """Finish the request at work, if there is one, and release the plan; runs from now on raise BackendError."""
        with self._lock:
            self._pending, self._closed = None, True
        self._worker.shutdown(wait=True)
        point = self.plan.point
        self.plan = ClosedPlan(point=point, stages=(), inputs=(), outputs=())
        self._trim()

    def _serve(self) -> None:
        """Serve requests until none is left."""
        while True:
            with self._lock:
                request, self._pending = self._pending, None
                if request is None:
                    self._work = None
                    return
            self._switch(request)

    def _serves(self, request: Request) -> bool:
        """Tell whether just these points serve."""
        serving = alone(self.plan)
        return len(serving) == len(request.parts) and all(
            _is(plan, part) for plan, part in zip(serving, request.parts, strict=True)
        )

    def _deal(self, share: float) -> None:
        turns = self.plan.turns
        if turns is not None and turns.share != share:
            self.plan = shared(turns.high, turns.low, share)

    def _switch(self, request: Request) -> None:
        if self._serves(request):
            with self._lock:
                self._deal(request.share)
            return
        started, old = time.monotonic(), self.plan
        parts = self._make_ready(request, alone(old))
        if parts is None or self._outdated(request):
            return
        new = parts[0] if len(parts) == 1 else shared(parts[0], parts[1], request.share)
        self.plan = new
        ready_s = time.monotonic() - started
        self._switched(
            Switch(
                at_s=self._clock(),
                source=_label(old),
                target=_label(new),
                reason=request.reason,
                ready_s=ready_s,
            )
        )
        gone = [plan for plan in alone(old) if plan not in parts]
        leaving = gone if self._retire is None else self._retire(parts, gone)
        del gone, old, new, parts
        if leaving:
            self._release(leaving)

    def _tidy(self) -> None:
        if self._retire is not None and (leaving := self._retire(alone(self.plan), ())):
            self._release(leaving)
        self._serve()

    def _make_ready(self, request: Request, serving: tuple[Plan, ...]) -> tuple[Plan, ...] | None:
        """Return the plans of a request, those that serve already as they are; ``None`` when one cannot be."""
        parts: list[Plan] = []
        for part in request.parts:
            try:
                parts.append(next((plan for plan in serving if _is(plan, part)), None) or self._load(part))
            except EdgeHybridError as error:
                self._failed(replace(request, point=part.point), error)
                return None
            except Exception as error:
                self._failed(replace(request, point=part.point), error)
                raise  # nobody foresaw it: whoever settles is told
        return tuple(parts)

    def _release(self, leaving: list[Plan]) -> None:
        """Let go of plans: runs that began on them end meanwhile, so that this is paid for here and not by them."""
        slowest_s = max(plan.point.latency_ms.p95 for plan in leaving) / 1e3
        time.sleep(min(_GRACE_LATENCIES * slowest_s, _MAX_GRACE_S))
        self._small_releases += 1
        largest = max(plan.point.resident_bytes for plan in leaving)
        worth = largest >= WORTH_BYTES or self._small_releases >= WORTH_RELEASES
        self._await_end_of_a_run(slowest_s)
        leaving.clear()
        if worth:
            self._trim()
            self._small_releases = 0

    def _await_end_of_a_run(self, at_most_s: float) -> None:
        """Return just when the next run begins, or after ``at_most_s`` when none ends.

        Releasing a session holds the interpreter; a run computes outside of it, and so hides the release.
        """
        last, until_s = self._last_run(), time.monotonic() + min(at_most_s, _MAX_GRACE_S)
        while self._last_run() is last and time.monotonic() < until_s:
            time.sleep(_POLL_S)

    def _outdated(self, request: Request) -> bool:
        with self._lock:
            return self._closed or (self._pending is not None and self._pending.parts != request.parts)


def _is(plan: Plan, part: Part) -> bool:
    same = plan.point.name == part.point and part.threads in (None, plan.point.threads)
    return same and part.pieces == plan.in_pieces if plan.point.pieces else same


def _label(plan: Plan) -> str:
    """Name what serves: a point, or both of a time-share."""
    names = dict.fromkeys(part.point.name for part in alone(plan))
    return "+".join(names)
