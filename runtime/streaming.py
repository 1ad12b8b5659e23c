"""Streams: inputs that come one after the other, spread over the cores that are free."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from itertools import count
from typing import Any, TypeVar, overload
from weakref import WeakSet

from edgehybrid.errors import BackendError
from edgehybrid.runtime.arranging import Pace
from edgehybrid.runtime.backends import Array
from edgehybrid.runtime.books import Books
from edgehybrid.runtime.execution import Activator, Arrangement, Gate, Job, Line, Plan, Times, Trace, placed
from edgehybrid.runtime.results import Result

T = TypeVar("T")
R = TypeVar("R")
Run = Callable[[Mapping[str, Array]], Result]
Rescue = Callable[[Plan, Mapping[str, Array], BackendError], tuple[Plan, Trace]]

_LEAST_LOOK_S = 0.2
_now = time.monotonic


class Streams:
    """The streams of one engine.

    Args:
        run: Runs one input where it is called.
        activator: Holds the plan that serves.
        books: Takes the notes.
        gate: Gives the last answer again, or ``None``.
        begun: Called when a stream begins, so that an arrangement is chosen.
        rescue: Answers an input that an accelerator failed on; returns what answered, and the trace.

    Attributes:
        arrangement: How inputs are spread where a stream does not say it itself. Assigned whole.
    """

    def __init__(
        self,
        run: Run,
        activator: Activator,
        books: Books,
        gate: Gate | None,
        begun: Callable[[], None],
        rescue: Rescue,
    ) -> None:
        self._run, self._activator, self._books, self._gate, self._begun = run, activator, books, gate, begun
        self._rescue = rescue
        self._lines: WeakSet[Line[Any, Result]] = WeakSet()
        self._active: dict[int, tuple[Times, Arrangement | None]] = {}  # by when they began
        self._looked: tuple[int, float, tuple[int, float, float, float]] | None = None
        self._ids = count()
        self.arrangement = Arrangement()

    @property
    def active(self) -> bool:
        """Whether a stream is under way."""
        return bool(self._active)

    @property
    def asked(self) -> Arrangement | None:
        """The arrangement that the last of the streams under way asked for itself."""
        latest = self._latest()
        return None if latest is None else latest[1][1]

    def pace(self) -> Pace | None:
        """Return what the last of the streams under way has met since this was last called; ``None`` at first."""
        latest, now_s = self._latest(), _now()
        if latest is None:
            self._looked = None
            return None
        number, (times, _) = latest
        so_far, looked = times.so_far(), self._looked
        self._looked = (number, now_s, so_far)
        if looked is None or looked[0] != number or now_s - looked[1] < _LEAST_LOOK_S:
            return None
        passed_s = now_s - looked[1]
        given, starved_s, awaited_s, own_s = (b - a for a, b in zip(looked[2], so_far, strict=True))
        return Pace(
            per_s=given / passed_s,
            starved=starved_s / passed_s,
            awaited=awaited_s / passed_s,
            own_s=own_s / given if given else 0.0,
        )

    def results(
        self,
        inputs: Iterable[T],
        before: Callable[[T], Mapping[str, Array]],
        after: Callable[[T, Result], Any] | None,
        arrangement: Arrangement | None,
    ) -> Generator[Any, None, None]:
        """Yield what comes of ``inputs``, in order."""
        source, times, number = iter(inputs), Times(), next(self._ids)
        self._active[number] = (times, arrangement)
        self._begun()
        try:
            yield from self._segments(source, before, after, times, lambda: arrangement or self.arrangement)
        finally:
            del self._active[number]

    def close(self) -> None:
        """End every stream; whoever takes its results is told."""
        self._gate = None
        for line in tuple(self._lines):
            line.stop(BackendError("The engine is closed.", "Take all results inside its `with` block."))

    def _latest(self) -> tuple[int, tuple[Times, Arrangement | None]] | None:
        active = tuple(self._active.items())
        return active[-1] if active else None

    def _segments(
        self,
        source: Iterator[T],
        before: Callable[[T], Mapping[str, Array]],
        after: Callable[[T, Result], Any] | None,
        times: Times,
        arranged: Callable[[], Arrangement],
    ) -> Generator[Any, None, None]:
        """Run inputs here while they are not to overlap, else in a line, until the source ends."""
        number = 0
        while True:
            if arranged().mode == "single":
                try:
                    value = self._one(source, number, before, after, times)
                except StopIteration:
                    return
                times.given += 1
                came_s = _now()
                yield value
                times.taker_s += _now() - came_s
                number += 1
                continue
            line: Line[T, Result] = Line(
                source,
                before=before,
                start=self._start,
                finish=self._finish,
                after=after,
                arranged=arranged,
                first=number,
                times=times,
            )
            self._lines.add(line)
            yield from line.results()
            if line.exhausted:
                return
            number += line.taken

    def _one(
        self,
        source: Iterator[T],
        number: int,
        before: Callable[[T], Mapping[str, Array]],
        after: Callable[[T, Result], Any] | None,
        times: Times,
    ) -> Any:
        """Take one input and run it in this thread.

        Raises:
            StopIteration: There is none.
        """
        where, began_s = "the source", _now()
        times.ask()
        try:
            item = next(source)
            times.answered()
            where, began_s = "the work before it", _now()
            feeds = before(item)
            times.before_s += _now() - began_s
            where = "the model"
            times.wait()
            result = self._run(feeds)
            times.came()
            if after is None:
                return result
            where, began_s = "the work after it", _now()
            value = after(item, result)
            times.after_s += _now() - began_s
            return value
        except StopIteration as end:
            if where == "the source":
                raise
            raise placed(RuntimeError("StopIteration was raised"), number, where) from end
        except Exception as error:
            placed(error, number, where)
            raise

    def _start(self, feeds: Mapping[str, Array]) -> Job:
        plan, gate = self._activator.plan, self._gate
        plan = plan if plan.turns is None else plan.turns.next()
        job = Job(plan=plan, steps=plan.steps(feeds) if gate is None else gate.steps(plan, feeds))
        if plan.point.accelerators:
            job.steps = self._rescued(job, job.steps, feeds)
        return job

    def _rescued(
        self, job: Job, steps: Generator[None, None, Trace], feeds: Mapping[str, Array]
    ) -> Generator[None, None, Trace]:
        """Follow ``steps``; an input that an accelerator fails on is answered all the same."""
        began_s = _now()
        try:
            return (yield from steps)
        except BackendError as error:
            job.lost_s = _now() - began_s
            job.plan, trace = self._rescue(job.plan, feeds, error)
            return trace

    def _finish(self, job: Job, trace: Trace) -> Result:
        outputs, depth, confidence, seen = trace
        ended, latency_s, point = _now(), sum(job.busy_s) - job.lost_s, job.plan.point
        waited_s = max(ended - job.begun_s - latency_s, 0.0)
        self._books.note((ended, point.name, depth, latency_s, seen, point.threads, waited_s))
        return Result(outputs, point.name, depth, confidence, latency_s * 1e3, waited_s * 1e3)


class Streaming:
    """What an engine offers for inputs that follow each other."""

    _streams: Streams

    @overload
    def stream(
        self,
        inputs: Iterable[T],
        *,
        before: Callable[[T], Mapping[str, Array]] | None = None,
        after: None = None,
        arrangement: Arrangement | None = None,
    ) -> Generator[Result, None, None]: ...
    @overload
    def stream(
        self,
        inputs: Iterable[T],
        *,
        before: Callable[[T], Mapping[str, Array]] | None = None,
        after: Callable[[T, Result], R],
        arrangement: Arrangement | None = None,
    ) -> Generator[R, None, None]: ...
    def stream(
        self,
        inputs: Iterable[T],
        *,
        before: Callable[[T], Mapping[str, Array]] | None = None,
        after: Callable[[T, Result], R] | None = None,
        arrangement: Arrangement | None = None,
    ) -> Generator[Any, None, None]:
        """Run ``inputs`` and yield their results in order; inputs that follow each other overlap where cores are free.

        Inputs are taken no faster than results are, but for those under way (``Arrangement.in_flight``). The source,
        ``before`` and ``after`` then run in threads of the stream: each is called by one at a time, in order. An error
        of any of them, or of a run, comes in its place in the order, with a note which input it was. Closing what this
        returns ends the threads.

        Args:
            inputs: Inputs of the model, or whatever ``before`` takes.
            before: Makes an input of the model from one of ``inputs``: reads, decodes, scales.
            after: Called with one of ``inputs`` and its result; what it returns is yielded.
            arrangement: How inputs are spread over cores; by default as measured best for the cores that are free.

        Raises:
            DataError: An input does not fit the model.
            BackendError: An inference failed, or the engine is closed.
        """
        return self._streams.results(inputs, before or (lambda item: item), after, arrangement)  # type: ignore[arg-type, return-value]  # without ``before``, items are inputs
