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
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from edgehybrid.runtime.backends import Array
from edgehybrid.runtime.execution.arrangement import Arrangement, Borders
from edgehybrid.runtime.execution.bell import Bell
from edgehybrid.runtime.execution.parcels import NUDGE, Job, Parcel, finish, in_order, placed
from edgehybrid.runtime.execution.plan import Plan
from edgehybrid.runtime.execution.times import Times
from edgehybrid.runtime.execution.traces import Trace

T = TypeVar("T")
R = TypeVar("R")

SOURCE_GRACE_S = 1.0
"""How long the end of a line waits for its source to answer."""

SLOW_S = 1e-4
"""A source that takes longer, the app's work before a run included, has a thread of its own, which costs about as much:
two switches of threads an input."""

_RECENT, _MOST_S = 8, 2 * SLOW_S  # inputs that means go over, about; and the most that one input counts for
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

    Attributes:
        taken: Inputs that came from the source.
        exhausted: Whether the source has ended.
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
        self._source, self._before, self._start, self._finish, self._after = source, before, start, finish, after
        self._arranged, self._first, self._times = arranged, first, times or Times()
        self.taken, self.exhausted = 0, False
        self._given, self._stopped = 0, False
        self._failure: BaseException | None = None
        self._asking, self._swap = threading.Lock(), threading.Lock()  # the first is held by whoever asks the source
        self._asker: threading.Thread | None = None
        self._mean_s, self._slow, self._over = 0.0, False, False  # over: the source is not asked again
        self._divided = False  # whether the last input goes from worker to worker
        self._scout_bell, self._scouted = Bell(), False
        self._away_s, self._away, self._naps = 0.0, False, False  # of the taker: between results; would run an input
        self._bells: list[Bell] = []  # of whoever works at each place
        self._places: list[int] = []  # by worker
        self._own: list[deque[Parcel[T]]] = []
        self._shared: deque[Parcel[T]] = deque()
        self._done: SimpleQueue[Parcel[T]] = SimpleQueue()
        self._out: SimpleQueue[Parcel[T]] = self._done if after is None else SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._borders: WeakKeyDictionary[Plan, Borders] = WeakKeyDictionary()

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
                self._call()
                came_s = _now()
                yield parcel.value
                took_s = _now() - came_s
                times.taker_s += took_s
                self._notice(took_s)
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
        for bell in (self._scout_bell, *self._bells):
            bell.ring()
        self._done.put(Parcel(number=-1))
        if self._out is not self._done:
            self._out.put(Parcel(number=-1))
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(SOURCE_GRACE_S if thread is self._asker else None)
                if thread.is_alive():
                    _log.warning("the source of a stream does not answer; its thread ends when it does")

    def _spawn(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=f"edgehybrid-stream-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _hire(self, lanes: int) -> None:
        """Have a worker for each lane."""
        while len(self._bells) < lanes:
            self._bells.append(Bell())
            self._own.append(deque())
            self._places.append(len(self._places))
            self._spawn(str(len(self._bells)), partial(self._work, len(self._places) - 1, self._bells[-1]))

    def _has_room(self) -> bool:
        return not self._over and self.taken - self._given < self._arranged().in_flight

    def _call(self) -> None:
        """Wake one who may ask the source, if any such one sleeps."""
        if self._slow:
            self._scout_bell.ring()
        elif not self._over:
            any(bell.ring() for bell in self._bells[: 1 if self._divided else self._crew()])

    def _notice(self, took_s: float) -> None:
        """Take in how long the taker was away, and find out whether a lane may be its own."""
        self._away_s += (min(took_s, _MOST_S) - self._away_s) / _RECENT
        away = self._away_s > (SLOW_S / 2 if self._away else SLOW_S)
        if away != self._away:
            self._away = away
            self._call()

    def _helps(self, how: Arrangement) -> bool:
        """Whether who takes the results runs inputs too, as one of the replicas: a switch of threads less an input."""
        return how.mode == "replicas" and how.workers > 1 and not self._slow and not self._away

    def _crew(self) -> int:
        """How many workers may run something."""
        how = self._arranged()
        return how.lanes - (self._helps(how) and not self._naps)

    def _help(self) -> bool:
        """Run an input in the thread that takes the results, never ask the source; tell whether there was one."""
        self._naps = False
        if self._stopped or not self._helps(self._arranged()):
            return False
        while not self._shared:
            if self._naps:
                self._call()  # one worker more, until there is something to run again
                return False
            self._naps = True  # and look once more
        try:
            parcel = self._shared.popleft()
        except IndexError:
            return True  # a worker was quicker: look again
        self._naps = False
        self._run(parcel, 0)
        return True

    def _take(self) -> Parcel[T] | None:
        """Ask the source, if there is still room; ``_asking`` is held, and released here."""
        try:
            self._asker = threading.current_thread()
            if self._stopped or not self._has_room():
                return None
            parcel = self._next()
        finally:
            self._asker = None
            self._asking.release()
        if parcel.job is None:
            self._done.put(parcel)
            return None
        return parcel

    def _next(self) -> Parcel[T]:
        """Make a job of the next input, or an error or the end, after which the source is not asked again."""
        if self._arranged().mode == "single":
            self._over = True
            return Parcel(number=self.taken, ends=True)
        parcel: Parcel[T] = Parcel(number=self.taken)
        where, times, asked_s = "the source", self._times, _now()
        times.ask()
        try:
            parcel.item = next(self._source)
            times.answered()
            where, came_s = "the work before it", _now()
            feeds = self._before(parcel.item)
            ended_s = _now()
            times.before_s += ended_s - came_s
            where = "the model"
            parcel.job = self._start(feeds)
            self._learn(ended_s - asked_s)
            self._divide(parcel.job)
        except StopIteration as end:
            self._over = True
            if where == "the source":
                self.exhausted = parcel.ends = True
                return parcel
            parcel.error = placed(RuntimeError("StopIteration was raised"), self._first + parcel.number, where)
            parcel.error.__cause__ = end
        except BaseException as error:  # noqa: BLE001  # carried to whoever takes the results
            self._over = True
            parcel.error = placed(error, self._first + parcel.number, where)
        self.taken += 1
        return parcel

    def _learn(self, took_s: float) -> None:
        """Take in how long the source took, and find out whether it needs the scout."""
        self._mean_s += (min(took_s, _MOST_S) - self._mean_s) / _RECENT
        self._slow = self._mean_s > (SLOW_S / 2 if self._slow else SLOW_S)
        if self._slow and not self._scouted:
            self._scouted = True
            self._spawn("in", self._scout)

    def _divide(self, job: Job) -> None:
        """Say where an input is handed over, if it is."""
        arrangement = self._arranged()
        lanes = arrangement.lanes
        self._hire(lanes)
        self._divided = arrangement.mode == "pipeline" and len(job.plan.stages) > 1 and lanes > 1
        if self._divided:
            if job.plan not in self._borders:
                self._borders[job.plan] = Borders(len(job.plan.stages))
            job.borders = self._borders[job.plan].of(lanes)

    def _scout(self) -> None:
        """Take inputs of a slow source while there is room for them."""
        while self._scout_bell.wait(self._scouts):
            self._asking.acquire()
            if (parcel := self._take()) is not None:
                self._queue(parcel)
            if not self._slow:
                self._call()

    def _scouts(self) -> bool | None:
        if self._stopped or self._over:
            return False
        return True if self._slow and self._has_room() else None

    def _queue(self, parcel: Parcel[T]) -> None:
        """Give an input to the first worker of a pipeline, or to any that is free."""
        if parcel.job is not None and parcel.job.borders:
            self._own[0].append(parcel)
            self._bells[0].ring()
            return
        self._shared.append(parcel)
        if self._naps:
            self._naps = False
            self._out.put(Parcel(number=NUDGE))
        any(bell.ring() for bell in self._bells[: self._crew()])  # the first that sleeps

    def _work(self, worker: int, bell: Bell) -> None:
        """Run what comes to a worker, and what it takes from the source itself."""
        look = partial(self._find, worker)
        while (found := bell.wait(look)) is not False:
            if found is not _SOURCE:
                self._run(found, worker)
            elif (parcel := self._take()) is not None:
                if self._has_room():
                    self._call()
                if self._helps(self._arranged()) or (parcel.job and parcel.job.borders and self._places[worker]):
                    self._queue(parcel)  # for whoever is free; or for the first, since it is divided since just now
                else:
                    self._run(parcel, worker)

    def _find(self, worker: int) -> Parcel[T] | Any:
        """Return what a worker may do next, ``None`` for nothing yet, ``False`` for never again."""
        if self._stopped:
            return False
        place = self._places[worker]
        if mine := self._own[place]:  # a queue of one worker; but the two of a swap may both look
            with suppress(IndexError):
                return mine.popleft()
        if place and place >= self._crew():  # too many by now: leave it to the first
            if self._shared or self._may_ask(0):
                self._bells[0].ring()
            return None
        spare = _SPARE if self._helps(self._arranged()) else 1
        if len(self._shared) < spare and self._may_ask(place) and self._asking.acquire(blocking=False):
            return _SOURCE
        try:
            return self._shared.popleft()
        except IndexError:
            return None

    def _may_ask(self, place: int) -> bool:
        """Whether the worker at ``place`` should ask the source, if nobody else does."""
        return not (self._slow or (place and self._divided)) and self._has_room()

    def _stays(self, worker: int) -> bool:
        """Go on to the next place if nothing waits at this one and who works there sleeps; tell whether it is so.

        The two change places, and the input does not wait for a thread to wake up, which takes tens of microseconds.
        Not while inputs wait: each worker keeps the weights of its own stages in its core's cache then, which measured
        better by a tenth and more. Whoever rings a bell has filled a queue before, so what came meanwhile is seen.
        """
        place, bells, places = self._places[worker], self._bells, self._places
        if self._own[place] or self._own[place + 1] or not bells[place + 1].sleeps:
            return False
        if place == 0 and self._may_ask(0):  # as good as waiting
            return False
        if not self._swap.acquire(blocking=False):
            return False
        try:
            other = places.index(place + 1)
            bells[place], bells[place + 1] = bells[place + 1], bells[place]
            places[worker], places[other] = place + 1, place
            if self._own[place] or (place == 0 and self._may_ask(0)):
                bells[place].ring()
        finally:
            self._swap.release()
        return True

    def _run(self, parcel: Parcel[T], worker: int) -> None:
        """Run stages until the next worker's turn, or to the end."""
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
                if len(job.busy_s) in job.borders and not self._stays(worker):
                    place = self._places[worker] + 1
                    self._own[place].append(parcel)
                    self._bells[place].ring()
                    return
            if job.borders:
                self._borders[job.plan].learn(job.busy_s)
        except BaseException as error:  # noqa: BLE001  # carried to whoever takes the results
            parcel.error = placed(error, self._first + parcel.number, "the model")
        parcel.job = None  # and with it the plan
        self._done.put(parcel)

    def _give_out(self, after: Callable[[T, R], Any]) -> None:
        """Do the app's work with each result, in order, until one fails."""
        for parcel in in_order(self._done):
            if self._stopped:
                return
            finish(parcel, after, self._first, self._times)
            self._out.put(parcel)
            if parcel.error is not None or parcel.ends:
                return
