"""Reads one source after the other, and goes on without one that hangs.

A read of ``/sys`` can block in the kernel for ever when a bus is stuck, and nothing can interrupt it. So a sweep of a
real device runs on a thread of its own, for that sweep only. When it has not ended in time the caller takes what is
there, leaves the thread with the source that holds it, and reads the others on a new one. Later sweeps leave the
source out, at no cost, until its thread has come back. So a dead sensor costs one wait and one sleeping thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Found = TypeVar("Found")
Work = Mapping[str, Callable[[], Found]]


class _Attempt(Generic[Found]):
    """One thread that does one piece of work after the other, until it is done or given up."""

    def __init__(self, todo: Sequence[str], work: Work[Found]) -> None:
        self.found: dict[str, Found] = {}
        self.error: BaseException | None = None
        self.done = threading.Event()
        self._current: str | None = None
        self._given_up = False
        self._lock = threading.Lock()
        self._todo, self._work = todo, work

    def run(self) -> None:
        """Do the work; a thread's target."""
        try:
            for name in self._todo:
                if not self._begin(name):
                    return
                result = self._work[name]()
                with self._lock:
                    if not self._given_up:
                        self.found[name] = result
                        self._current = None
        except BaseException as error:  # noqa: BLE001  # raised again by who waits
            self.error = error
        finally:
            self.done.set()

    def give_up(self) -> str | None:
        """Stop after the present piece and name it; ``None`` between two pieces, when nothing hangs."""
        with self._lock:
            self._given_up = self._current is not None and not self.done.is_set()
            return self._current if self._given_up else None

    def _begin(self, name: str) -> bool:
        with self._lock:
            self._current = name
            return not self._given_up


@dataclass(slots=True, kw_only=True)
class Sweep(Generic[Found]):
    """Does pieces of work, each known by a name.

    Args:
        patience_s: How long a caller waits for all of them together; ``None`` to do them on the caller's thread,
            which is right for a tree of ordinary files.
    """

    patience_s: float | None
    _hanging: dict[str, _Attempt[Found]] = field(default_factory=dict)

    def run(self, work: Work[Found]) -> dict[str, Found]:
        """Do all ``work``, but for what hangs; that is missing from the answer, and named by `hanging`.

        Raises:
            BaseException: What a piece of work raised.
        """
        if self.patience_s is None:
            return {name: do() for name, do in work.items()}
        self._hanging = {name: a for name, a in self._hanging.items() if not a.done.is_set()}
        todo = [name for name in work if name not in self._hanging]
        found: dict[str, Found] = {}
        while todo:
            attempt = _Attempt(todo, work)
            threading.Thread(target=attempt.run, name="edgehybrid-sensors", daemon=True).start()
            stuck: str | None = None
            while stuck is None and not attempt.done.wait(self.patience_s):
                stuck = attempt.give_up()
            if stuck is not None:
                self._hanging[stuck] = attempt
            found |= attempt.found
            if attempt.error is not None:
                raise attempt.error
            todo = todo[todo.index(stuck) + 1 :] if stuck is not None else []
        return found

    @property
    def hanging(self) -> frozenset[str]:
        """Names of the work that has not come back."""
        return frozenset(self._hanging)
