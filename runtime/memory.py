"""What the controller has learnt, kept in a file of the app's choice, so that it survives a restart."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

from edgehybrid.errors import RequestError
from edgehybrid.runtime.control import State, lasting, load_state, save_state

KEEP_EVERY_S = 600.0
"""So long may pass between two writes: a flash card is not worn out, and a crash forgets ten minutes."""

_log = logging.getLogger("edgehybrid")


class Memory:
    """Reads once, writes now and then. A file that cannot be used is said in the log, and nothing else happens.

    Args:
        path: The file; ``None`` remembers nothing.
        now_s: Monotonic clock.
    """

    def __init__(self, path: str | os.PathLike[str] | None, now_s: float) -> None:
        self._path, self._kept_s = None if path is None else Path(path), now_s

    def recall(self) -> State | None:
        """Return what was kept; ``None`` where there is nothing, or nothing that can be read."""
        if self._path is None:
            return None
        try:
            return lasting(load_state(self._path.read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, RequestError) as error:
            _log.warning("%s cannot be used, the controller starts without it: %s", self._path, error)
            return None

    def keep(self, state: State, now_s: float, *, last: bool = False) -> None:
        """Write ``state`` at once, if it is time or this is the ``last`` word: a reader sees the old one or the new."""
        if self._path is None or not (last or now_s - self._kept_s >= KEEP_EVERY_S):
            return
        self._kept_s = now_s
        fresh = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_bytes(save_state(lasting(state)))
            os.replace(fresh, self._path)
        except OSError as error:
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
            _log.warning("%s cannot be written, a restart will learn anew: %s", self._path, error)
