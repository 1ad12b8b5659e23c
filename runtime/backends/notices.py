"""Keeps the notice that XNNPACK was created off the standard error of the app.

LiteRT writes it once in a process, when the first file is loaded. No variable of the environment and no call of its
Python package silences it (looked for in ai-edge-litert 2.1.6: the logger's least severity is not exported), so the
file descriptor is led aside for that load; what anybody else wrote meanwhile is passed on.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

NOTICE = b"XNNPACK delegate for CPU"
_STDERR = 2

_lock = threading.Lock()
_seen = False


@contextmanager
def without_notice() -> Iterator[None]:
    """Drop the notice from what is written to standard error inside; does nothing once it has been."""
    if _seen:
        yield
        return
    with _lock, tempfile.TemporaryFile() as aside:
        try:
            before = os.dup(_STDERR)
        except OSError:  # a service without standard error
            yield
            return
        os.dup2(aside.fileno(), _STDERR)
        try:
            yield
        finally:
            os.dup2(before, _STDERR)
            aside.seek(0)
            _pass_on(aside.read(), before)
            os.close(before)


def _pass_on(written: bytes, where: int) -> None:
    global _seen  # of the process, as the notice is
    lines = written.splitlines(keepends=True)
    others = b"".join(line for line in lines if NOTICE not in line)
    _seen = _seen or NOTICE in written
    if others:
        os.write(where, others)
