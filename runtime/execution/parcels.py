"""What travels along a line: inputs on their way, and their places in the order."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from edgehybrid.runtime.execution.arrangement import Borders
from edgehybrid.runtime.execution.plan import Plan
from edgehybrid.runtime.execution.times import Times
from edgehybrid.runtime.execution.traces import Trace

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)

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
        division: What chose them, and learns from it.
        lost_s: Of that time, what an accelerator took that then failed.
    """

    plan: Plan
    steps: Generator[None, None, Trace]
    busy_s: list[float] = field(default_factory=list)
    begun_s: float = field(default_factory=_now)
    borders: tuple[int, ...] = ()
    division: Borders | None = None
    lost_s: float = 0.0


@dataclass(slots=True, kw_only=True, eq=False)
class Parcel(Generic[T]):
    """A place in the order: an input, then its result; an error; or the end."""

    number: int
    item: T | None = None
    job: Job | None = None
    value: Any = None
    error: BaseException | None = None
    ends: bool = False


NOTHING: Parcel[Any] = Parcel(number=-2)
"""Holds nothing: wakes whoever takes parcels, as there is something to do meanwhile."""


def placed(error: E, number: int, where: str) -> E:
    """Note at an error which input it met, and where."""
    error.add_note(f"This was input {number} of the stream (the first is 0), in {where}.")
    return error


def finish(parcel: Parcel[T], after: Callable[[T, Any], Any], first: int, times: Times) -> None:
    """Do the app's work with a result; an error is carried on in its place.

    Args:
        parcel: Its place in the order.
        after: The work.
        first: Number of the first input, for what errors say.
        times: Where the time goes.
    """
    if parcel.error is not None or parcel.ends:
        return
    began_s = _now()
    try:
        parcel.value = after(parcel.item, parcel.value)  # type: ignore[arg-type]  # it has its item
    except BaseException as error:  # noqa: BLE001  # carried to whoever takes the results
        parcel.error = placed(error, first + parcel.number, "the work after it")
    times.after_s += _now() - began_s


def in_order(
    queue: SimpleQueue[Parcel[T]], run: Callable[[Parcel[T] | None], Parcel[T] | None] = lambda given: given
) -> Iterator[Parcel[T]]:
    """Yield parcels by their numbers; one with the number -1 at once, and nothing after it.

    Args:
        queue: Where they come, in any order.
        run: Makes a parcel with its result: of one that came with its job, or, called again and again while the next
            one is not there, of whatever it finds. Says by ``NOTHING`` to look again, by ``None`` to wait.
    """
    early: dict[int, Parcel[T]] = {}
    wanted = 0
    while True:
        parcel = early.pop(wanted, None) if early else None
        while parcel is None:
            came = _there(queue) or run(None) or queue.get()
            if came.job is not None:
                came = run(came) or NOTHING
            if came is NOTHING:
                continue
            if came.number < 0:
                yield came
                return
            if came.number == wanted:
                parcel = came
            else:
                early[came.number] = came
        yield parcel
        wanted += 1


def _there(queue: SimpleQueue[Parcel[T]]) -> Parcel[T] | None:
    if queue.empty():
        return None
    try:
        return queue.get_nowait()
    except Empty:
        return None
