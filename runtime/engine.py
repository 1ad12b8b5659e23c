"""The door of the device half: an engine that runs a bundle at the point that the device and the app allow."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Self

from edgehybrid.bundle import Bundle
from edgehybrid.errors import BackendError, EdgeHybridError, RequestError
from edgehybrid.profiles import DeviceProfile, Policy, load_policy
from edgehybrid.runtime.accounts import Accounts
from edgehybrid.runtime.arranging import FreeCores
from edgehybrid.runtime.availability import Availability
from edgehybrid.runtime.backends import Array, Backend
from edgehybrid.runtime.bench import Figures
from edgehybrid.runtime.books import Books
from edgehybrid.runtime.choosing import Choosing
from edgehybrid.runtime.control import Controller, Decision, Until
from edgehybrid.runtime.duty import Duty
from edgehybrid.runtime.execution import (
    Activator,
    Dial,
    ExitWatch,
    Part,
    Plan,
    Request,
    Switch,
    make_gate,
)
from edgehybrid.runtime.memory import Memory
from edgehybrid.runtime.options import Keep, Pin, check_goals, find_device, first_context, make_pin, next_context, words
from edgehybrid.runtime.plans import Plans
from edgehybrid.runtime.results import Result, Status
from edgehybrid.runtime.streaming import Streaming, Streams
from edgehybrid.runtime.telemetry import Snapshot, Telemetry

_log = logging.getLogger("edgehybrid")
_JOURNAL = 256
_now = time.monotonic  # of latencies; the engine's own clock may be a simulator's
_KEEP = Keep.KEEP


class Engine(Streaming, Choosing):
    """Runs a bundle and keeps choosing its operating point.

    Use it in a ``with`` block, from as many threads as you like. A run reads one reference to the active plan and holds
    no lock; telemetry, decisions and loading happen in two background threads that sleep in between.

    Args:
        bundle: A bundle, or the path of one.
        policy: A policy, or the name or path of one.
        device: A device profile, or the name or path of one; ``None`` recognises the board.
        deadline_ms: Time that one inference may take.
        until: End of the mission, so that the battery lasts: ``"18:00"``, seconds from now, or a datetime.
        root: Where the device's files lie; ``/`` but in tests and simulations.
        background: Watch the device from a thread of its own. Without, call ``step``.
        clock: Monotonic clock in seconds, for all but latencies.
        backends: Back ends by the key that variants name; others come from the registry.
        battery_wh: Energy of the full battery, for gauges that know only percent; needed for a plan until the end.
        start: Point to start with; ``None`` lets the controller choose.
        bench_joules: Measure every point beside the work for at most so many joules, unless that was done before.
        memory: File for what the controller learns, read at the start and kept up to date; without, it learns anew.

    Raises:
        BundleError: The bundle is damaged.
        ProfileError: The policy or the device profile does not validate.
        RequestError: ``start``, ``until`` or ``deadline_ms`` cannot be.
        BackendError: No point of the bundle runs on this device; says why for each.
    """

    def __init__(
        self,
        bundle: Bundle | str | os.PathLike[str],
        *,
        policy: Policy | str | os.PathLike[str] = "balanced",
        device: DeviceProfile | str | os.PathLike[str] | None = None,
        deadline_ms: float | None = None,
        until: Until | None = None,
        root: str | os.PathLike[str] = "/",
        background: bool = True,
        clock: Callable[[], float] = time.monotonic,
        backends: Mapping[str, Backend] | None = None,
        battery_wh: float | None = None,
        start: str | None = None,
        bench_joules: float | None = None,
        memory: str | os.PathLike[str] | None = None,
    ) -> None:
        self._bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
        self._policy = policy if isinstance(policy, Policy) else load_policy(policy)
        self._device = find_device(device, root)
        self._clock = clock
        self._context = first_context(deadline_ms, until, clock)
        self._telemetry = Telemetry(root, device=self._device, clock=clock, pack_wh=battery_wh)
        self._snapshot = self._telemetry.read()
        self._figures = Figures(self._bundle, self._device, self._snapshot.on_mains)
        self._memory = Memory(memory, clock())
        self._controller = Controller(self._figures.points, self._device, self._policy, state=self._memory.recall())
        accounts = Accounts(self._figures.points, self._device, lambda seen: self._controller.observe(seen))
        self._duty = Duty(clock)
        self._lock = threading.Lock()  # of everything that a round changes; a run never waits for it
        self._pin = Pin()
        self._dial = Dial(audit_share=self._policy.exits.audit_share)
        self._plans = Plans(
            self._bundle,
            self._policy.execution,
            self._policy.memory,
            self._dial,
            backends or {},
            patience=lambda point: self._availability.patience_s(point, self._context.deadline_s),
        )
        self._books = Books(
            accounts, ExitWatch(self._bundle.points, self._dial), clock, self._lock, self._note_switch_of_exits
        )
        self._gate = make_gate(self._bundle, self._policy.gate, self._dial, clock)
        self._excluded: Mapping[str, str] = {}
        self._journal: deque[Switch] = deque(maxlen=_JOURNAL)
        self._switches = self._faults = 0
        self._last_fault: str | None = None
        self._wake, self._closed = threading.Event(), False
        self._availability = Availability(self._bundle.points, self._hooks(), background=background)
        self._decision, first = self._first_plan(start)
        self._dial.turn(self._decision.exit_scalar)
        self._activator = Activator(
            first,
            self._load,
            clock,
            switched=self._note_switch,
            failed=self._note_failure,
            last_run=self._books.last,
            retire=self._plans.retire,
        )
        self._free = FreeCores(self._device.cpu.cores)
        self._free.look(self._snapshot)
        self._streams = Streams(self.run, self._activator, self._books, self._gate, self._begin_stream, self._answer)
        self._watcher = threading.Thread(target=self._watch, name="edgehybrid-watch", daemon=True)
        if background:
            self._watcher.start()
        self._figures.measure_beside(bench_joules, lambda: self._snapshot, self._renew, self._plans.backends)

    def run(self, feeds: Mapping[str, Array]) -> Result:
        """Run one input.

        Args:
            feeds: Input name to array, dtype and shape as the model declares them.

        Raises:
            DataError: An input is missing, unknown, or has a wrong dtype or shape.
            BackendError: The inference failed, or the engine is closed.
        """
        plan, gate = self._activator.plan, self._gate
        plan = plan if plan.turns is None else plan.turns.next()
        started = _now()
        try:
            outputs, depth, confidence, seen = plan.trace(feeds) if gate is None else gate.trace(plan, feeds)
        except BackendError as error:
            return self._rescue(plan, feeds, error, started)
        ended = _now()
        latency_s = ended - started
        point = plan.point.name
        self._books.note((ended, point, depth, latency_s, seen, plan.point.threads, 0.0))
        return Result(outputs, point, depth, confidence, latency_s * 1e3)

    def due(self) -> bool:
        """Tell whether to take and run the next input; ask once for each, before it is recorded.

        Always, unless the policy's ``duty`` lets inputs be left out and the energy does not last for all of them.
        """
        return self._duty.due(self._decision.duty)

    def __call__(self, value: Array) -> Result:
        """Run one input of a model that has a single input.

        Raises:
            RequestError: The model has several inputs.
        """
        inputs = self._bundle.doc.model.inputs
        if len(inputs) != 1:
            names = ", ".join(spec.name for spec in inputs)
            raise RequestError(f"The model has {len(inputs)} inputs.", f"Call run with a dict of {names}.")
        return self.run({inputs[0].name: value})

    def pin(self, point: str | None, *, exit_scalar: float | Keep | None = _KEEP) -> None:
        """Run ``point`` from now on, whatever the controller thinks; ``None`` gives it back the choice.

        The switch happens in the background, as every other; thresholds move at once.

        Args:
            point: The point.
            exit_scalar: 0 keeps the promise of its exits, 1 saves most, ``None`` lets nothing leave early; not given,
                the controller and the policy choose.

        Raises:
            RequestError: There is no such point, it does not work on this device, or ``exit_scalar`` is out of range.
            BackendError: The engine is closed.
        """
        self._require_open()
        wish = make_pin(point, exit_scalar, self._bundle, self._gone())
        with self._lock:
            self._pin = wish
            self._choose()

    def context(
        self,
        *,
        foreground: bool | Keep | None = _KEEP,
        user_waiting: bool | Keep | None = _KEEP,
        importance: float | Keep | None = _KEEP,
        deadline_ms: float | Keep | None = _KEEP,
        until: Until | Keep | None = _KEEP,
        **hints: float | str | bool,
    ) -> None:
        """Say what the app knows; what is not given stays as it was, ``None`` takes it back.

        Args:
            foreground: Whether somebody looks at the app.
            user_waiting: Whether somebody waits for the answer.
            importance: Of the inputs to come, 0 to 1.
            deadline_ms: Time that one inference may take from now on.
            until: End of the mission: ``"18:00"``, seconds from now, or a datetime.
            hints: Anything else, kept for policies that ask for it.

        Raises:
            RequestError: A value is out of its range.
        """
        check_goals(hints, self._bundle.points[0].quality.metric)
        self._context = next_context(
            self._context,
            self._clock,
            foreground=foreground,
            user_waiting=user_waiting,
            importance=importance,
            deadline_ms=deadline_ms,
            until=until,
            hints=hints,
        )
        self._wake.set()

    def step(self, *, wait: bool = False) -> Decision:
        """Look at the device, decide, and start the switch; what the background does every few seconds.

        Args:
            wait: Return only when the chosen point serves. If it does not work here, the next choice is waited for.

        Raises:
            BackendError: The engine is closed.
        """
        self._require_open()
        decision = self._round()
        while wait:
            self._activator.settle()
            if decision.point == self._activator.plan.point.name or decision.point not in self._gone():
                break
            decision = self._round()
        return decision

    def status(self) -> Status:
        """Say what the engine does and why, and what it has done so far."""
        with self._lock:
            self._books.count()
            accounts = self._books.accounts
            return Status(
                at_s=self._clock(),
                point=self._activator.plan.point.name,
                decision=self._decision,
                pinned=self._pin.point,
                snapshot=self._snapshot,
                context=self._context,
                inferences=accounts.inferences,
                points=accounts.points,
                depths=accounts.depths,
                exits=self._books.exits.reports(),
                switches=self._switches,
                loaded=self._plans.loaded,
                excluded=self._gone(),
                joules=accounts.joules,
                latency=accounts.latency,
                waits=accounts.waits,
                arrangement=self._streams.arrangement,
                faults=self._faults,
                last_fault=self._last_fault,
                device=self._device.name,
                policy=self._policy.name,
                figures=self._figures.table,
                placement=self._activator.plan.placed(),
                accelerators=self._availability.words(),
                stand_by=self._availability.spare,
            )

    @property
    def bundle(self) -> Bundle:
        """The bundle that it runs."""
        return self._bundle

    @property
    def device(self) -> DeviceProfile:
        """The board that it runs on."""
        return self._device

    @property
    def snapshot(self) -> Snapshot:
        """What the device said last; costs nothing, unlike ``status``."""
        return self._snapshot

    @property
    def journal(self) -> tuple[Switch, ...]:
        """The last switches, oldest first."""
        return tuple(self._journal)

    def close(self) -> None:
        """Stop watching, finish a switch that is under way, release the models. May be called twice."""
        if self._closed:
            return
        self._closed, self._gate = True, None
        self._streams.close()
        self._wake.set()
        if self._watcher.is_alive():
            self._watcher.join()
        self._figures.close()
        with self._lock:
            self._books.count()  # also an engine that lived for one input has learnt
        self._memory.keep(self._controller.state, self._clock(), last=True)
        self._plans.close()
        self._activator.close()
        self._telemetry.close()

    def __enter__(self) -> Self:
        self._require_open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _require_open(self) -> None:
        if self._closed:
            raise BackendError("The engine is closed.", "Use it inside its `with` block, or open a new engine.")

    def _first_plan(self, start: str | None) -> tuple[Decision, Plan]:
        if start is not None:
            plan = self._load(Part(self._bundle.point(start).name))
            begun = Decision(at_s=self._snapshot.at_s, point=start, reason=f"started at {start} by the app")
            return replace(begun, exit_scalar=self._pin.scalar(self._policy.exits, begun)), plan
        tried: dict[str, str] = {}
        while len(tried) < len(self._bundle.points):
            decision = self._decide(self._snapshot)
            try:
                return decision, self._load(Part(decision.point, decision.threads))
            except EdgeHybridError as error:
                if decision.point in tried or not self._availability.refuse(decision.point, str(error)):
                    self._excluded = {**self._excluded, decision.point: str(error)}
                tried[decision.point] = str(error)
        reasons = " ".join(f"{name}: {why}" for name, why in tried.items())
        raise BackendError(f"No point of {self._bundle.path.name} runs here. {reasons}", "Export it for this device.")

    def _note_switch_of_exits(self, switch: Switch) -> None:
        self._journal.append(switch)
        _log.warning("%s: %s", switch.target, switch.reason)

    def _note_switch(self, switch: Switch) -> None:
        self._switches += 1
        self._journal.append(switch)
        self._availability.served(self._activator.plan)
        _log.info("%s -> %s: %s", switch.source, switch.target, switch.reason)

    def _note_failure(self, request: Request, error: Exception) -> None:
        if not self._availability.refuse(request.point, words(error)):
            self._excluded = {**self._excluded, request.point: words(error)}
        _log.warning("%s is excluded: %s", request.point, words(error))
        self._wake.set()  # choose again at once
