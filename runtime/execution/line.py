"""A line: inputs of a stream on their way over several workers, taken in and given out in order.

One thread takes inputs from the source, a few workers run models, and one more does what the app wants done with each
result. Each worker has a queue for stages that are its alone, and all share one for inputs that any of them may run
whole. A stage that is handed over is not copied: the frame that it works in goes on to the next worker.

No lock is held while anything runs. Queues are deques, whose ``append`` and ``popleft`` are atomic. Results carry
numbers; whoever needs them in order puts aside those that come too early.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from edgehybrid.runtime.backends import Array
from edgehybrid.runtime.execution.arrangement import Arrangement, Borders
from edgehybrid.runtime.execution.bell import Bell
from edgehybrid.runtime.execution.plan import Plan
from edgehybrid.runtime.execution.times import Times
from edgehybrid.runtime.execution.traces import Trace

T = TypeVar("T")
R = TypeVar("R")
E = TypeVar("E", bound=BaseException)

SOURCE_GRACE_S = 1.0
"""How long the end of a line waits for its source to answer."""

_log = logging.getLogger("edgehybrid")
_now = time.monotonic


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """One input on its way.

    Attributes:
        plan: What it began on, and ends on.
        steps: Runs a stage at every ``next``; returns the trace.
        busy_s: Time in each stage that ran so far.
        begun_s: When it was ready to run.
        borders: Stages before each hand-over to the next worker; none: whoever takes it runs it whole.
        lost_s: Of that time, what an accelerator took that then failed.
    """

    plan: Plan
    steps: Generator[None, None, Trace]
    busy_s: list[float] = field(default_factory=list)
    begun_s: float = field(default_factory=_now)
    borders: tuple[int, ...] = ()
    lost_s: float = 0.0


@dataclass(slots=True, kw_only=True, eq=False)
class _Parcel(Generic[T]):
    """A place in the order: an input, then its result; an error; or the end."""

    number: int
    item: T | None = None
    job: Job | None = None
    value: Any = None
    error: BaseException | None = None
    ends: bool = False


def placed(error: E, number: int, where: str) -> E:
    """Note at an error which input it met, and where."""
    error.add_note(f"This was input {number} of the stream (the first is 0), in {where}.")
    return error


class Line(Generic[T, R]):
    """Runs the inputs of a source over workers.

    Args:
        source: Where inputs come from; one thread of the line asks it, never for more than the arrangement allows.
        before: What the app does with an input, in that same thread.
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
        self._room = Bell()
        self._bells: list[Bell] = []  # of whoever works at each place
        self._places: list[int] = []  # by worker
        self._swap = threading.Lock()
        self._own: list[deque[_Parcel[T]]] = []
        self._shared: deque[_Parcel[T]] = deque()
        self._done: SimpleQueue[_Parcel[T]] = SimpleQueue()
        self._out: SimpleQueue[_Parcel[T]] = self._done if after is None else SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._borders: WeakKeyDictionary[Plan, Borders] = WeakKeyDictionary()

    def results(self) -> Generator[Any, None, None]:
        """Start, and yield the results in order; closing this ends the line.

        Raises:
            Exception: What the source, the app's own work or a stage raised, in its place in the order.
        """
        self._spawn("in", self._take_in)
        if self._after is not None:
            self._spawn("out", partial(self._give_out, self._after))
        times = self._times
        times.wait()
        try:
            for parcel in _in_order(self._out):
                times.came()
                if self._failure is not None:
                    raise self._failure
                if parcel.error is not None:
                    raise parcel.error
                if parcel.ends:
                    return
                self._given += 1
                times.given += 1
                self._room.ring()
                came_s = _now()
                yield parcel.value
                times.taker_s += _now() - came_s
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
        for bell in (self._room, *self._bells):
            bell.ring()
        self._done.put(_Parcel(number=-1))
        if self._out is not self._done:
            self._out.put(_Parcel(number=-1))
        for thread in self._threads:  # the first one starts the others, and so is gone before them
            if thread is not threading.current_thread():
                thread.join(SOURCE_GRACE_S if thread is self._threads[0] else None)
            if thread is self._threads[0] and thread.is_alive():
                _log.warning("the source of a stream does not answer; its thread ends when it does")
                for bell in tuple(self._bells):
                    bell.ring()

    def _spawn(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=f"edgehybrid-stream-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _take_in(self) -> None:
        """Take inputs while there is room for them."""
        while self._room.wait(self._has_room):
            if self._arranged().mode == "single":
                break
            parcel: _Parcel[T] = _Parcel(number=self.taken)
            where, times = "the source", self._times
            times.ask()
            try:
                parcel.item = next(self._source)
                times.answered()
                where, came_s = "the work before it", _now()
                feeds = self._before(parcel.item)
                times.before_s += _now() - came_s
                where = "the model"
                parcel.job = self._start(feeds)
            except StopIteration as end:
                if where == "the source":
                    self.exhausted = True
                    break
                parcel.error = placed(RuntimeError("StopIteration was raised"), self._first + parcel.number, where)
                parcel.error.__cause__ = end
            except BaseException as error:  # noqa: BLE001  # carried to whoever takes the results
                parcel.error = placed(error, self._first + parcel.number, where)
            self.taken += 1
            if parcel.job is None:
                self._done.put(parcel)
                return
            self._dispatch(parcel, parcel.job)
        self._done.put(_Parcel(number=self.taken, ends=True))

    def _has_room(self) -> bool | None:
        if self._stopped:
            return False
        return True if self.taken - self._given < self._arranged().in_flight else None

    def _dispatch(self, parcel: _Parcel[T], job: Job) -> None:
        """Give an input to the first worker of a pipeline, or to any that is free."""
        arrangement = self._arranged()
        lanes = arrangement.lanes
        while len(self._bells) < lanes:
            self._bells.append(Bell())
            self._own.append(deque())
            self._places.append(len(self._places))
            self._spawn(str(len(self._bells)), partial(self._work, len(self._places) - 1, self._bells[-1]))
        if arrangement.mode == "pipeline" and len(job.plan.stages) > 1 and lanes > 1:
            if job.plan not in self._borders:
                self._borders[job.plan] = Borders(len(job.plan.stages))
            job.borders = self._borders[job.plan].of(lanes)
            self._own[0].append(parcel)
            self._bells[0].ring()
            return
        self._shared.append(parcel)
        any(bell.ring() for bell in self._bells[:lanes])  # the first that sleeps

    def _work(self, worker: int, bell: Bell) -> None:
        """Run what comes to a worker."""
        look = partial(self._find, worker)
        while (parcel := bell.wait(look)) is not False:
            self._run(parcel, worker)

    def _find(self, worker: int) -> _Parcel[T] | Any:
        """Return what a worker may do next, ``None`` for nothing yet, ``False`` for never again."""
        if self._stopped:
            return False
        place = self._places[worker]
        try:
            return self._own[place].popleft()
        except IndexError:
            pass
        if place and place >= self._arranged().lanes:  # too many by now: leave it to the first
            if self._shared:
                self._bells[0].ring()
            return None
        try:
            return self._shared.popleft()
        except IndexError:
            return None

    def _stays(self, worker: int) -> bool:
        """Go on to the next place if nothing waits at this one and who works there sleeps; tell whether it is so.

        The two change places, and the input does not wait for a thread to wake up, which takes tens of microseconds.
        Not while inputs wait: each worker keeps the weights of its own stages in its core's cache then, which measured
        better by a tenth and more. Whoever rings a bell has filled a queue before, so what came meanwhile is seen.
        """
        place, bells, places = self._places[worker], self._bells, self._places
        if self._own[place] or self._own[place + 1] or not bells[place + 1].sleeps:
            return False
        if not self._swap.acquire(blocking=False):
            return False
        try:
            other = places.index(place + 1)
            bells[place], bells[place + 1] = bells[place + 1], bells[place]
            places[worker], places[other] = place + 1, place
            if self._own[place]:
                bells[place].ring()
        finally:
            self._swap.release()
        return True

    def _run(self, parcel: _Parcel[T], worker: int) -> None:
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
        for parcel in _in_order(self._done):
            if self._stopped:
                return
            if parcel.error is None and not parcel.ends:
                began_s = _now()
                try:
                    parcel.value = after(parcel.item, parcel.value)  # type: ignore[arg-type]  # it has its item
                except BaseException as error:  # noqa: BLE001  # carried to whoever takes the results
                    parcel.error = placed(error, self._first + parcel.number, "the work after it")
                self._times.after_s += _now() - began_s
            self._out.put(parcel)
            if parcel.error is not None or parcel.ends:
                return


def _in_order(queue: SimpleQueue[_Parcel[T]]) -> Iterator[_Parcel[T]]:
    """Yield parcels by their numbers; one with a number below 0 at once, and nothing after it."""
    early: dict[int, _Parcel[T]] = {}
    wanted = 0
    while True:
        parcel = early.pop(wanted, None)
        while parcel is None:
            came = queue.get()
            if came.number < 0:
                yield came
                return
            if came.number == wanted:
                parcel = came
            else:
                early[came.number] = came
        yield parcel
        wanted += 1
