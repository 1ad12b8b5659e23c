"""A plan that runs on an accelerator: it is not waited for without end, and its answers are looked at first."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Generator, Mapping
from math import isfinite
from queue import Empty, SimpleQueue

import numpy as np

from edgehybrid.errors import BackendError
from edgehybrid.runtime.backends import Array
from edgehybrid.runtime.execution.plan import Plan
from edgehybrid.runtime.execution.traces import Trace

STUCK_RUNS = 3
"""Equal answers to different inputs in a row from which on an accelerator is suspected of hanging on to one."""

_FOREIGN = (RuntimeError, OSError, ValueError, SystemError)  # what drivers raise through plug-ins that do not translate
_FIX = "The engine serves by another point until it is well."
_LOOK = 16  # values of each input that tell two inputs apart

Print = tuple[float, ...]


class SuspectError(BackendError):
    """An answer that may be right: all of one value, or the same again. A run on the CPU decides."""

    def __init__(self, what: str, fix: str, trace: Trace, is_right: Callable[[Mapping[str, Array]], bool]) -> None:
        super().__init__(what, fix)
        self.trace, self._is_right = trace, is_right

    def is_right(self, outputs: Mapping[str, Array]) -> bool:
        """Tell whether the answer of the CPU bears it out."""
        return self._is_right(outputs)


class Helper:
    """A thread that runs one thing at a time for another, which may stop waiting; it ends with its last reference."""

    def __init__(self) -> None:
        self._work: SimpleQueue[tuple[Callable[[], Trace], SimpleQueue[Trace | Exception]] | None] = SimpleQueue()
        threading.Thread(target=_help, args=(self._work,), name="edgehybrid-guard", daemon=True).start()

    def run(self, work: Callable[[], Trace], patience_s: float) -> Trace:
        """Run ``work`` in that thread.

        Raises:
            queue.Empty: It took longer than ``patience_s``; it goes on, and this helper is of no use until it ends.
            Exception: Whatever ``work`` raised.
        """
        answers: SimpleQueue[Trace | Exception] = SimpleQueue()
        self._work.put((work, answers))
        answer = answers.get(timeout=patience_s)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def __del__(self) -> None:
        self._work.put(None)


def _help(jobs: SimpleQueue[tuple[Callable[[], Trace], SimpleQueue[Trace | Exception]] | None]) -> None:
    """Serve until told to end; keeps nothing of what it ran."""
    while (job := jobs.get()) is not None:
        work, answers = job
        try:
            answers.put(work())
        except Exception as error:  # noqa: BLE001  # it belongs to whoever waits, in the other thread
            answers.put(error)
        del job, work, answers


class GuardedPlan(Plan):
    """A plan that is waited for with patience, and whose answers are checked: finite, not flat, not always the same.

    Two reductions of each output, some microseconds; nothing is copied. With a limit to its patience each run goes to
    a helping thread: a driver that hangs does not hang the app.
    """

    __slots__ = ("_helpers", "_last", "_last_input", "_patience", "_same")

    _helpers: deque[Helper]
    _patience: Callable[[], float] | None
    _last: Print | None
    _last_input: Print | None
    _same: int

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "_helpers", deque())
        object.__setattr__(self, "_patience", None)
        self._forget()

    def allow(self, patience: Callable[[], float]) -> None:
        """From now on wait for each run at most so many seconds."""
        object.__setattr__(self, "_patience", patience)

    def trace(self, feeds: Mapping[str, Array]) -> Trace:
        """Run as a plan does.

        Raises:
            DataError: The feeds do not fit.
            SuspectError: What it gave may be garbage.
            BackendError: A stage failed, or gave what is certainly garbage.
        """
        try:
            trace = super().trace(feeds) if self._patience is None else self._wait(feeds, self._patience())
        except _FOREIGN as error:
            raise BackendError(f"{self.point.name} failed: {type(error).__name__}: {error}.", _FIX) from error
        look = fingerprint(trace[0])
        if not all(map(isfinite, look)):
            raise BackendError(f"{self.point.name} gave numbers that are not finite.", _FIX)
        if look[::2] == look[1::2] and flat(trace[0]):
            raise SuspectError(f"{self.point.name} gave the same number everywhere.", _FIX, trace, flat)
        if look != self._last:
            self._forget(look)
        elif self._hangs(feeds):
            what = f"{self.point.name} gave the same answer to different inputs."
            raise SuspectError(what, _FIX, trace, lambda outputs: agrees(trace[0], outputs))
        return trace

    def steps(self, feeds: Mapping[str, Array]) -> Generator[None, None, Trace]:
        """Run at once: a run is looked at whole, and a driver that hangs must not hang a worker."""
        yield from ()
        return self.trace(feeds)

    def _wait(self, feeds: Mapping[str, Array], patience_s: float) -> Trace:
        helper = None
        with contextlib.suppress(IndexError):
            helper = self._helpers.pop()
        helper = helper or Helper()
        run = super().trace
        try:
            trace = helper.run(lambda: run(feeds), patience_s)
        except Empty:  # the helper is left to itself
            raise BackendError(
                f"{self.point.name} did not answer within {patience_s * 1e3:.0f} ms: the device hangs.", _FIX
            ) from None
        except Exception:
            self._helpers.append(helper)
            raise
        self._helpers.append(helper)
        return trace

    def _hangs(self, feeds: Mapping[str, Array]) -> bool:
        """Count equal answers to different inputs; races between threads may only delay it by a run."""
        seen = tuple(float(v) for a in feeds.values() for v in a.reshape(-1)[:: max(a.size // _LOOK, 1)][:_LOOK])
        if seen != self._last_input:
            object.__setattr__(self, "_same", self._same + 1)
            object.__setattr__(self, "_last_input", seen)
        if self._same <= STUCK_RUNS:
            return False
        self._forget()
        return True

    def _forget(self, look: Print | None = None) -> None:
        for name, value in (("_last", look), ("_last_input", None), ("_same", 0)):
            object.__setattr__(self, name, value)  # a plan is frozen to everybody else


def fingerprint(outputs: Mapping[str, Array]) -> Print:
    """Smallest and largest number of each float output; NaN and infinities show in them."""
    return tuple(
        float(edge)
        for array in outputs.values()
        if array.dtype.kind == "f" and array.size
        for edge in (array.min(), array.max())
    )


def flat(outputs: Mapping[str, Array]) -> bool:
    """Tell whether there is a float output of several numbers, and all of those are of one value each."""
    several = [array for array in outputs.values() if array.dtype.kind == "f" and array.size > 1]
    return bool(several) and all(array.min() == array.max() for array in several)


def agrees(one: Mapping[str, Array], other: Mapping[str, Array]) -> bool:
    """Tell whether two answers are alike: within a tenth of their largest number, as two precisions of a model are."""
    for name, array in one.items():
        mate = other.get(name)
        if mate is None or mate.shape != array.shape:
            return False
        if array.dtype.kind != "f":
            continue
        reach = max(float(np.abs(array).max(initial=0.0)), float(np.abs(mate).max(initial=0.0)))
        if not np.allclose(array, mate, rtol=0.0, atol=0.1 * reach, equal_nan=True):
            return False
    return True
