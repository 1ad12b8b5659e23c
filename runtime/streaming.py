"""Streams: inputs that come one after the other, spread over the cores that are free."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any, TypeVar, overload
from weakref import WeakSet

from edgehybrid.errors import BackendError
from edgehybrid.runtime.backends import Array
from edgehybrid.runtime.books import Books
from edgehybrid.runtime.execution import Activator, Arrangement, Gate, Job, Line, Trace, placed
from edgehybrid.runtime.results import Result

T = TypeVar("T")
R = TypeVar("R")
Run = Callable[[Mapping[str, Array]], Result]

_now = time.monotonic


class Streams:
    """The streams of one engine.

    Args:
        run: Runs one input where it is called.
        activator: Holds the plan that serves.
        books: Takes the notes.
        gate: Gives the last answer again, or ``None``.

    Attributes:
        arrangement: How inputs are spread where a stream does not say it itself. Assigned whole.
    """

    def __init__(self, run: Run, activator: Activator, books: Books, gate: Gate | None) -> None:
        self._run, self._activator, self._books, self._gate = run, activator, books, gate
        self._lines: WeakSet[Line[Any, Result]] = WeakSet()
        self.arrangement = Arrangement()

    def results(
        self,
        inputs: Iterable[T],
        before: Callable[[T], Mapping[str, Array]],
        after: Callable[[T, Result], Any] | None,
        arrangement: Arrangement | None,
    ) -> Generator[Any, None, None]:
        """Yield what comes of ``inputs``, in order."""
        source, number = iter(inputs), 0

        def arranged() -> Arrangement:
            return arrangement or self.arrangement

        while True:
            if arranged().mode == "single":
                try:
                    item = next(source)
                except StopIteration:
                    return
                except Exception as error:
                    placed(error, number, "the source")
                    raise
                yield self._one(item, number, before, after)
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
            )
            self._lines.add(line)
            yield from line.results()
            if line.exhausted:
                return
            number += line.taken

    def close(self) -> None:
        """End every stream; whoever takes its results is told."""
        self._gate = None
        for line in tuple(self._lines):
            line.stop(BackendError("The engine is closed.", "Take all results inside its `with` block."))

    def _one(
        self,
        item: T,
        number: int,
        before: Callable[[T], Mapping[str, Array]],
        after: Callable[[T, Result], Any] | None,
    ) -> Any:
        where = "the work before it"
        try:
            feeds = before(item)
            where = "the model"
            result = self._run(feeds)
            where = "the work after it"
            return result if after is None else after(item, result)
        except Exception as error:
            placed(error, number, where)
            raise

    def _start(self, feeds: Mapping[str, Array]) -> Job:
        plan, gate = self._activator.plan, self._gate
        plan = plan if plan.turns is None else plan.turns.next()
        return Job(plan=plan, steps=plan.steps(feeds) if gate is None else gate.steps(plan, feeds))

    def _finish(self, job: Job, trace: Trace) -> Result:
        outputs, depth, confidence, seen = trace
        ended, latency_s, point = _now(), sum(job.busy_s), job.plan.point
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
