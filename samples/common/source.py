"""Sources of inputs, and the thread that reads one, opening it again whenever it goes away."""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from edgehybrid.errors import EdgeHybridError
from samples.common.inbox import Inbox

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_log = logging.getLogger("source")


class SourceError(EdgeHybridError):
    """A camera, a microphone, a sensor or a file cannot be opened, or went away."""


class Source(Protocol[T_co]):
    """Something that yields inputs."""

    @property
    def name(self) -> str:
        """For the journal."""
        ...

    @property
    def live(self) -> bool:
        """Whether it has no end: when it stops it is opened again. Recordings end."""
        ...

    def items(self) -> Generator[T_co, None, None]:
        """Open it and yield what comes; closing the iterator closes the device.

        Raises:
            SourceError: It is missing, busy, or went away.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Pauses before the next try: from ``first_s``, doubled each time, up to ``most_s``."""

    first_s: float = 0.5
    most_s: float = 30.0

    def after(self, failures: int) -> float:
        """Return the pause after so many failures in a row, in seconds; the first one is 1."""
        return float(min(self.first_s * 2.0 ** min(failures - 1, 60), self.most_s))


class Feed(Generic[T]):
    """Reads a source in a thread of its own and puts what comes into an inbox.

    Args:
        source: What to read.
        inbox: Where to put it; closed when a recording ends, or when told to stop.
        backoff: Pauses between two tries.
    """

    def __init__(self, source: Source[T], inbox: Inbox[T], *, backoff: Backoff | None = None) -> None:
        self._source, self._inbox, self._backoff = source, inbox, backoff or Backoff()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"feed {source.name}", daemon=True)
        self._failures = 0
        self.reopened = 0
        self.failure: Exception | None = None

    def __enter__(self) -> Feed[T]:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._inbox.close()
        self._thread.join(5.0)  # a driver that hangs must not keep the app from ending

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                what = self._read()
                if not self._source.live or self._stop.is_set():
                    return
                self._failures += 1
                pause_s = self._backoff.after(self._failures)
                _log.warning("%s: %s Trying again in %.1f s.", self._source.name, what, pause_s)
                self._stop.wait(pause_s)
                self.reopened += 1
        except Exception as error:  # noqa: BLE001  # the thread's last guard: the main loop ends and says it
            self.failure = error
        finally:
            self._inbox.close()

    def _read(self) -> str:
        """Read until it ends; return why."""
        try:
            with closing(self._source.items()) as items:
                for item in items:
                    if self._failures:
                        _log.info("%s is back", self._source.name)
                        self._failures = 0
                    self._inbox.put(item)
                    if self._stop.is_set():
                        break
        except SourceError as error:
            if not self._source.live:
                self.failure = error
            return str(error)
        return "It ended."
