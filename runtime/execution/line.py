"""A line: inputs of a stream on their way over several workers, taken in and given out in order.

A few workers run models, and one thread more does what the app wants done with each result. Where the source answers at
once, whoever is free asks it and runs what it gets; where it makes one wait, a thread of its own does, the scout. Each
worker has a queue for stages that are its alone, and all share one for inputs that any of them may run whole. A stage
that is handed over is not copied: the frame that it works in goes on to the next worker.

No lock is held while a model runs. Queues are deques, whose ``append`` and ``popleft`` are atomic. Results carry
numbers; whoever needs them in order puts aside those that come too early.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from functools import partial
from queue import SimpleQueue
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from edgehybrid.runtime.backends import Array
from edgehybrid.runtime.execution.arrangement import Arrangement, Borders
from edgehybrid.runtime.execution.bell import Bell
from edgehybrid.runtime.execution.intake import Intake
from edgehybrid.runtime.execution.parcels import NOTHING, Job, Parcel, finish, in_order, placed
from edgehybrid.runtime.execution.places import Places, popped
from edgehybrid.runtime.execution.plan import Plan
from edgehybrid.runtime.execution.taker import Taker
from edgehybrid.runtime.execution.times import Times
from edgehybrid.runtime.execution.traces import Trace

T = TypeVar("T")
R = TypeVar("R")

SOURCE_GRACE_S = 1.0
"""How long the end of a line waits for its source to answer."""

_SPARE = 2  # inputs that wait where the taker helps: for it, and for the worker that asks
_SOURCE = object()  # found by a worker: it may ask the source

_log = logging.getLogger("edgehybrid")
_now = time.monotonic


class Line(Generic[T, R]):
    """Runs the inputs of a source over workers.

    Args:
        source: Where inputs come from; one thread at a time asks it, never for more than the arrangement allows.
        before: What the app does with an input, in that same thread and in order.
        start: Makes a job of an input, there too.
        finish: Makes a result of a job that has run; in any worker.
        after: What the app does with an input and its result, in order, in a thread of its own; ``None``: nothing.
        arranged: The present arrangement. The line ends without another input when it is ``single``.
        first: Number of the first input, for what errors say.
        times: Where its time goes.
    """

    def __init__(
        self,
        source: Iterator[T],
        *,
        before: Callable[[T], Mapping[str, Array]],
        start: Callable[[Mapping[str, Array]], Job],
        finish: Callable[[Job, Trace], R],
        after: Callable[[T, R], Any] | None,
        arranged: Callable[[], Arrangement],
        first: int = 0,
        times: Times | None = None,
    ) -> None:
        self._start, self._finish, self._after = start, finish, after
        self._first, self._times = first, times or Times()
        self._intake: Intake[T] = Intake(
            source, before=before, start=self._begin, arranged=arranged, first=first, times=self._times
        )
        self._given, self._stopped = 0, False
        self._failure: BaseException | None = None
        self._divided, self._last = False, 0  # whether the last input goes from worker to worker; the last place then
        self._scout_bell, self._scouted = Bell(), False
        self._taker = Taker()
        self._places: Places[T] = Places()
        self._shared: deque[Parcel[T]] = deque()
        self._done: SimpleQueue[Parcel[T]] = SimpleQueue()
        self._out: SimpleQueue[Parcel[T]] = self._done if after is None else SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._borders: WeakKeyDictionary[Plan, Borders] = WeakKeyDictionary()

    @property
    def taken(self) -> int:
        """Inputs that came from the source."""
        return self._intake.taken

    @property
    def exhausted(self) -> bool:
        """Whether the source has ended."""
        return self._intake.exhausted

    def results(self) -> Generator[Any, None, None]:
        """Start, and yield the results in order; closing this ends the line.

        Raises:
            Exception: What the source, the app's own work or a stage raised, in its place in the order.
        """
        self._hire(1)  # who asks the source hires the others
        if self._after is not None:
            self._spawn("out", partial(self._give_out, self._after))
        times = self._times
        times.wait()
        try:
            for parcel in in_order(self._out, self._help):
                times.came()
                if self._failure is not None:
                    raise self._failure
                if parcel.error is not None:
                    raise parcel.error
                if parcel.ends:
                    return
                self._given += 1
                times.given += 1
                if self._has_room(1 + self._intake.how.ahead // 2):
                    self._call()  # for several inputs, since waking a thread takes tens of microseconds from this one
                self._taker.leave()
                yield parcel.value
                took_s, changed = self._taker.come_back()
                times.taker_s += took_s
                if changed:
                    self._call()
                times.wait()
        finally:
            times.came()
            self.stop()

    def stop(self, failure: BaseException | None = None) -> None:
        """End: what is at work is finished, what waits is dropped, and the threads are gone on return.

        A source that does not answer within a second is left to itself: its thread ends when it does.

        Args:
            failure: Raised to whoever takes the results.
        """
        self._failure, self._stopped = self._failure or failure, True
        for bell in (self._scout_bell, *self._places.bells):
            bell.ring()
        self._done.put(Parcel(number=-1))
        if self._out is not self._done:
            self._out.put(Parcel(number=-1))
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(SOURCE_GRACE_S if thread is self._intake.asker else None)
                if thread.is_alive():
                    _log.warning("the source of a stream does not answer; its thread ends when it does")

    def _spawn(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=f"edgehybrid-stream-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _hire(self, lanes: int) -> None:
        """Have a worker for each lane."""
        while len(self._places) < lanes:
            worker, bell = self._places.add()
            self._spawn(str(worker + 1), partial(self._work, worker, bell))

    def _has_room(self, inputs: int = 1) -> bool:
        return not self._intake.over and self._intake.taken - self._given + inputs <= self._intake.how.in_flight

    def _call(self) -> None:
        """Wake one who may ask the source, if any such one sleeps."""
        if self._intake.pace.slow:
            self._scout_bell.ring()
        elif not self._intake.over:
            any(bell.ring() for bell in self._places.bells[: 1 if self._divided else self._crew()])

    def _helps(self) -> bool:
        """Whether who takes the results runs inputs too, which is a switch of threads less an input.

        As one of the replicas, or as the last worker of a pipeline, whose results are then where they are wanted.
        """
        how = self._intake.how
        return how.lanes > 1 and how.mode != "threads" and not (self._intake.pace.slow or self._taker.away)

    def _crew(self) -> int:
        """How many workers may run something."""
        return self._intake.how.lanes - (self._helps() and not self._taker.naps)

    def _help(self, given: Parcel[T] | None = None) -> Parcel[T] | None:
        """Run an input in the thread that takes the results, never ask the source; ``None`` where there was none."""
        if given is not None:
            return self._run_for_taker(given)
        taker = self._taker
        taker.naps, taker.helps = False, not self._stopped and self._helps()
        if not taker.helps:
            if self._last and self._places.own[self._last]:  # left for it until now
                self._places.bells[self._last].ring()
            return None
        while (parcel := self._left_for_taker()) is None:
            if taker.naps:
                self._call()  # one worker more, until there is something to run again
                return None
            taker.naps = True  # and look once more
        taker.naps = False
        return self._run_for_taker(parcel)

    def _run_for_taker(self, parcel: Parcel[T]) -> Parcel[T]:
        self._run(parcel, None)
        if self._out is self._done:
            return parcel
        self._done.put(parcel)
        return NOTHING

    def _left_for_taker(self) -> Parcel[T] | None:
        if self._last and (parcel := self._places.next(self._last)) is not None:
            return parcel
        return popped(self._shared)

    def _wake_taker(self, parcel: Parcel[T]) -> bool:
        """Give an input to whoever takes the results, if it sleeps and would run one; tell whether it is so."""
        if not self._taker.naps:
            return False
        self._taker.naps = False
        self._out.put(parcel)
        return True

    def _take(self) -> Parcel[T] | None:
        """Ask the source, which has been claimed, if there is still room."""
        try:
            parcel = None if self._stopped or not self._has_room() else self._intake.ask()
        finally:
            self._intake.release()
        if parcel is not None and parcel.job is None:
            self._done.put(parcel)
            return None
        return parcel

    def _begin(self, feeds: Mapping[str, Array]) -> Job:
        """Make a job of an input, and say where it is handed over, if it is."""
        job = self._start(feeds)
        if self._intake.pace.slow and not self._scouted:
            self._scouted = True
            self._spawn("in", self._scout)
        self._divide(job, self._intake.how)
        return job

    def _divide(self, job: Job, how: Arrangement) -> None:
        """Say where an input is handed over, if it is."""
        lanes = how.lanes
        self._hire(lanes)
        self._divided = how.mode == "pipeline" and lanes > 1 and len(job.plan.stages) > 1
        if self._divided:
            job.division = self._borders.get(job.plan) or self._borders.setdefault(
                job.plan, Borders(len(job.plan.stages))
            )
            job.borders = job.division.of(lanes)
            if self._last != (last := len(job.borders)):
                self._last = last
                for bell in self._places.bells:  # what was left to the taker at another place
                    bell.ring()

    def _scout(self) -> None:
        """Take inputs of a slow source while there is room for them."""
        while self._scout_bell.wait(self._scouts):
            self._intake.claim()
            if (parcel := self._take()) is not None:
                self._queue(parcel)
            if not self._intake.pace.slow:
                self._call()

    def _scouts(self) -> bool | None:
        if self._stopped or self._intake.over:
            return False
        return True if self._intake.pace.slow and self._has_room() else None

    def _queue(self, parcel: Parcel[T]) -> None:
        """Give an input to the first worker of a pipeline, or to any that is free."""
        if parcel.job is not None and parcel.job.borders:
            self._hand_over(parcel, 0)
            return
        if self._wake_taker(parcel):
            return
        self._shared.append(parcel)
        if self._taker.naps:  # since just now: it has looked before
            self._wake_taker(NOTHING)
        any(bell.ring() for bell in self._places.bells[: self._crew()])  # the first that sleeps

    def _hand_over(self, parcel: Parcel[T], place: int) -> None:
        """Leave an input to whoever works at ``place``; nothing is copied."""
        mine = place > 0 and place == self._last
        if mine and self._wake_taker(parcel):
            return
        self._places.own[place].append(parcel)
        if not (mine and self._taker.serves):
            self._places.bells[place].ring()
        elif self._taker.naps:  # since just now: it has looked before
            self._wake_taker(NOTHING)

    def _left_to_taker(self, place: int) -> bool:
        """Whether who takes the results is the worker at ``place``."""
        return place > 0 and place == self._last and (self._taker.naps or self._taker.serves)

    def _work(self, worker: int, bell: Bell) -> None:
        """Run what comes to a worker, and what it takes from the source itself."""
        look = partial(self._find, worker)
        while (found := bell.wait(look)) is not False:
            if found is not _SOURCE:
                self._run_here(found, worker)
            elif (parcel := self._take()) is not None:
                if not self._divided and self._has_room():
                    self._call()
                divided = parcel.job is not None and bool(parcel.job.borders)
                if self._places.of[worker] if divided else self._helps():
                    self._queue(parcel)  # for the first, since it is divided since just now; or for whoever is free
                else:
                    self._run_here(parcel, worker)

    def _run_here(self, parcel: Parcel[T], worker: int) -> None:
        if self._run(parcel, worker):
            self._done.put(parcel)

    def _find(self, worker: int) -> Parcel[T] | Any:
        """Return what a worker may do next, ``None`` for nothing yet, ``False`` for never again."""
        if self._stopped:
            return False
        place = self._places.of[worker]
        if not self._left_to_taker(place) and (parcel := self._places.next(place)) is not None:
            return parcel
        if place and place >= self._crew():  # too many by now: leave it to the first
            if self._shared or self._may_ask(0):
                self._places.bells[0].ring()
            return None
        if self._may_ask(place) and self._few_wait() and self._intake.claim(blocking=False):
            return _SOURCE
        return popped(self._shared)

    def _may_ask(self, place: int) -> bool:
        """Whether the worker at ``place`` should ask the source, if nobody else does."""
        return not (self._intake.pace.slow or (place and self._divided)) and self._has_room()

    def _few_wait(self) -> bool:
        """Whether so few inputs wait for any worker that the source should be asked before they are run."""
        waiting = len(self._shared)
        return not waiting or (waiting < _SPARE and self._helps())

    def _stays(self, worker: int) -> bool:
        """Go on to the next place if nothing waits at this one and who works there sleeps; tell whether it is so.

        The two change places, and the input does not wait for a thread to wake up, which takes tens of microseconds.
        Not while inputs wait: each worker keeps the weights of its own stages in its core's cache then, which measured
        better by a tenth and more. Whoever rings a bell has filled a queue before, so what came meanwhile is seen.
        """
        places = self._places
        place, bells, own = places.of[worker], places.bells, places.own
        if own[place] or own[place + 1] or (place == 0 and self._may_ask(0)):  # as good as waiting
            return False
        if not (self._taker.naps if self._left_to_taker(place + 1) else bells[place + 1].sleeps):
            return False
        if not places.advance(worker, place):
            return False
        if own[place] or (place == 0 and self._may_ask(0)):
            bells[place].ring()
        return True

    def _run(self, parcel: Parcel[T], worker: int | None) -> bool:
        """Run stages until the next worker's turn, or to the end, as ``None`` does; tell whether it is the end."""
        job = parcel.job
        assert job is not None
        try:
            while True:
                started_s = _now()
                try:
                    next(job.steps)
                except StopIteration as end:
                    job.busy_s.append(_now() - started_s)
                    parcel.value = self._finish(job, end.value)
                    break
                job.busy_s.append(_now() - started_s)
                if worker is not None and len(job.busy_s) in job.borders and not self._stays(worker):
                    self._hand_over(parcel, self._places.of[worker] + 1)
                    return False
            if job.division is not None:
                job.division.learn(job.busy_s)
        except BaseException as error:  # noqa: BLE001  # carried to whoever takes the results
            parcel.error = placed(error, self._first + parcel.number, "the model")
        parcel.job = None  # and with it the plan
        return True

    def _give_out(self, after: Callable[[T, R], Any]) -> None:
        """Do the app's work with each result, in order, until one fails."""
        for parcel in in_order(self._done):
            if self._stopped:
                return
            finish(parcel, after, self._first, self._times)
            self._out.put(parcel)
            if parcel.error is not None or parcel.ends:
                return
