"""What an engine does between runs: look at the device, decide, ask for the point."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace

from edgehybrid.profiles import DeviceProfile
from edgehybrid.runtime.arranging import FreeCores, arrange, spread, stream_figures
from edgehybrid.runtime.bench import Figures
from edgehybrid.runtime.control import Controller, Decision, renewed
from edgehybrid.runtime.duty import Duty
from edgehybrid.runtime.execution import Arrangement, Dial
from edgehybrid.runtime.memory import Memory
from edgehybrid.runtime.options import Pin, as_request, words
from edgehybrid.runtime.rescuing import Rescuing
from edgehybrid.runtime.streaming import Streams
from edgehybrid.runtime.telemetry import Snapshot, Telemetry

_log = logging.getLogger("edgehybrid")


class Choosing(Rescuing):
    """The half of an engine that watches and chooses, every few seconds and when it is woken."""

    _device: DeviceProfile
    _controller: Controller
    _decision: Decision
    _figures: Figures
    _telemetry: Telemetry
    _memory: Memory
    _duty: Duty
    _pin: Pin
    _dial: Dial
    _free: FreeCores
    _streams: Streams
    _lock: threading.Lock
    _closed: bool
    _faults: int
    _last_fault: str | None

    def _renew(self) -> None:
        """Choose by new figures: what the controller learnt of the old ones does not hold for them."""
        with self._lock:
            known = renewed(self._controller.state)
            self._controller = Controller(self._figures.points, self._device, self._policy, state=known)

    def _watch(self) -> None:
        """Do a round every few seconds, or at once when woken; nothing in between."""
        while True:
            self._wake.wait(self._availability.wait_s(self._policy.switching.interval_s))
            self._wake.clear()
            if self._closed:
                return
            try:
                self._activator.settle(0)  # raises what stopped the worker
                self._round()
            except Exception as error:  # noqa: BLE001  # the loop's last guard: the app must go on
                _log.exception("the engine could not look at the device; it serves on at its point")
                self._faults += 1
                self._last_fault = words(error)

    def _round(self) -> Decision:
        with self._lock:
            self._books.count()
            self._duty.tell(self._controller)
            self._snapshot = self._telemetry.read()
            self._availability.look(self._snapshot, self._activator.plan)
            self._free.look(self._snapshot)
            if self._plans.look(self._snapshot, self._policy.min_memory_mib):
                self._activator.tidy()
            self._books.accounts.look(self._snapshot)
            self._memory.keep(self._controller.state, self._clock())
            return self._choose()

    def _choose(self) -> Decision:
        """Decide on the last snapshot and ask for the point; under the lock, so that requests come in their order."""
        decision = self._decide(self._snapshot)
        self._streams.arrangement = how = self._arrange(decision)
        self._decision = decision = spread(decision, how)
        self._dial.turn(decision.exit_scalar)
        self._activator.request(as_request(decision))
        return decision

    def _begin_stream(self) -> None:
        if not self._closed:
            with self._lock:
                self._choose()

    def _arrange(self, decision: Decision) -> Arrangement:
        """Say how a stream that is under way spreads its inputs; where none is, nothing needs to be spread."""
        pace, asked = self._streams.pace(), self._streams.asked
        if asked is not None or not self._streams.active:
            return asked or Arrangement()
        cores = min(self._free.count, self._policy.execution.max_threads or self._free.count)
        known = stream_figures(self._figures.point(decision.point), self._figures.table, cores)
        return arrange(known, cores=cores, pace=pace, deadline_s=self._context.deadline_s)

    def _decide(self, snapshot: Snapshot) -> Decision:
        gone = self._gone()
        decision = self._controller.decide(snapshot, self._context, excluded=gone)
        decision = replace(decision, exit_scalar=self._pin.scalar(self._policy.exits, decision))
        return self._pin.settle(decision, gone, lambda: self._activator.plan.point.name)
