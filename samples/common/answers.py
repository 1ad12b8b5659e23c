"""Where answers go: a line each on standard output, for the journal, and if wanted a file of JSON lines."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path

_log = logging.getLogger("answers")


class Answers:
    """Writes answers; a full disk costs answers in the file, never the app.

    Args:
        path: File of JSON lines to append to; ``None`` for none.
        wall: Wall clock in seconds, for the stamps only: it may jump.
    """

    def __init__(self, path: Path | None = None, *, wall: Callable[[], float] = time.time) -> None:
        self._path, self._wall = path, wall
        self._failing = False
        self.given = 0
        self.lost = 0

    def give(self, text: str, **fields: object) -> None:
        """Print ``text`` and append ``fields``, with the time, to the file."""
        self.given += 1
        print(text, flush=True)
        if self._path is not None:
            self._append(json.dumps({"at": round(self._wall(), 3), **fields}) + "\n")

    def _append(self, line: str) -> None:
        if self._path is None:
            return
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            self.lost += 1
            if not self._failing:
                _log.error("%s cannot be written: %s. Its answers are lost until it can.", self._path, error.strerror)
            self._failing = True
            return
        if self._failing:
            _log.warning("%s can be written again; %d answers are not in it", self._path, self.lost)
            self._failing = False


def set_up_journal(*, verbose: bool, under_systemd: bool) -> None:
    """Log to standard error; under systemd with its priorities, elsewhere with the time."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Priorities() if under_systemd else logging.Formatter("%(asctime)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler], force=True)


class _Priorities(logging.Formatter):
    """``<4>source: ...``: systemd reads the number in front as the priority of the line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        number = 3 if record.levelno >= logging.ERROR else 4 if record.levelno >= logging.WARNING else 6
        text = f"{record.name}: {record.getMessage()}"
        return f"<{number}>" + text.replace("\n", " ")
