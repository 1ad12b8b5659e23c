"""A plan that runs on an accelerator: what it answers is looked at before it is given away."""

from __future__ import annotations

from collections.abc import Callable, Mapping

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


class GuardedPlan(Plan):
    """A plan whose answers are checked: finite, not all of one value, not the same for every input.

    Two reductions of each output, some microseconds; nothing is copied.
    """

    __slots__ = ("_last", "_last_input", "_same")

    _last: Print | None
    _last_input: Print | None
    _same: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self._forget()

    def trace(self, feeds: Mapping[str, Array]) -> Trace:
        """Run as a plan does.

        Raises:
            DataError: The feeds do not fit.
            SuspectError: What it gave may be garbage.
            BackendError: A stage failed, or gave what is certainly garbage.
        """
        try:
            trace = super().trace(feeds)
        except _FOREIGN as error:
            raise BackendError(f"{self.point.name} failed: {type(error).__name__}: {error}.", _FIX) from error
        look = fingerprint(trace[0])
        if not all(map(np.isfinite, look)):
            raise BackendError(f"{self.point.name} gave numbers that are not finite.", _FIX)
        if flat(trace[0]):
            raise SuspectError(f"{self.point.name} gave the same number everywhere.", _FIX, trace, flat)
        if look != self._last:
            self._forget(look)
        elif self._hangs(feeds):
            what = f"{self.point.name} gave the same answer to different inputs."
            raise SuspectError(what, _FIX, trace, lambda outputs: agrees(trace[0], outputs))
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
