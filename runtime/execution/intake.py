"""The intake of a stream: its source, asked by one thread at a time, and what becomes of what it gives."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from edgehybrid.runtime.backends import Array
from edgehybrid.runtime.execution.arrangement import Arrangement
from edgehybrid.runtime.execution.parcels import Job, Parcel, placed
from edgehybrid.runtime.execution.slowness import Slowness
from edgehybrid.runtime.execution.times import Times

T = TypeVar("T")

_now = time.monotonic


class Intake(Generic[T]):
    """Makes jobs of the inputs of a source. Whoever asks claims it first, and releases it.

    Args:
        source: Where inputs come from.
        before: What the app does with an input, in the thread that asks, and in order.
        start: Makes a job of an input, there too; of the arrangement that ``how`` tells.
        arranged: The present arrangement; nothing is asked for when it is ``single``.
        first: Number of the first input, for what errors say.
        times: Where its time goes.

    Attributes:
        how: The arrangement as it was when the source was last asked.
        taken: Inputs that came.
        exhausted: Whether the source has ended.
        over: Whether it is not asked again, for whatever reason.
        pace: Whether it takes long to answer, ``before`` included.
        asker: Who asks it just now.
    """

    def __init__(
        self,
        source: Iterator[T],
        *,
        before: Callable[[T], Mapping[str, Array]],
        start: Callable[[Mapping[str, Array]], Job],
        arranged: Callable[[], Arrangement],
        first: int,
        times: Times,
    ) -> None:
        self._source, self._before, self._start, self._arranged = source, before, start, arranged
        self._first, self._times = first, times
        self._claimed = threading.Lock()
        self.how = arranged()
        self.taken, self.exhausted, self.over = 0, False, False
        self.pace = Slowness()
        self.asker: threading.Thread | None = None

    def claim(self, blocking: bool = True) -> bool:
        """Be the one who asks; tell whether nobody else is."""
        return self._claimed.acquire(blocking=blocking)

    def release(self) -> None:
        """Be it no more."""
        self._claimed.release()

    def ask(self) -> Parcel[T]:
        """Make a job of the next input, or an error or the end, after which the source is not asked again."""
        self.asker = threading.current_thread()
        try:
            return self._next()
        finally:
            self.asker = None

    def _next(self) -> Parcel[T]:
        parcel: Parcel[T] = Parcel(number=self.taken)
        self.how = self._arranged()
        if self.how.mode == "single":
            self.over = parcel.ends = True
            return parcel
        where, times = "the source", self._times
        asked_s = times.ask()
        try:
            parcel.item = next(self._source)
            came_s, where = times.answered(), "the work before it"
            feeds = self._before(parcel.item)
            ended_s = _now()
            times.before_s += ended_s - came_s
            self.pace.learn(ended_s - asked_s)
            where = "the model"
            parcel.job = self._start(feeds)
        except StopIteration as end:
            self.over = True
            if where == "the source":
                self.exhausted = parcel.ends = True
                return parcel
            parcel.error = placed(RuntimeError("StopIteration was raised"), self._first + parcel.number, where)
            parcel.error.__cause__ = end
        except BaseException as error:  # noqa: BLE001  # carried to whoever takes the results
            self.over = True
            parcel.error = placed(error, self._first + parcel.number, where)
        self.taken += 1
        return parcel
