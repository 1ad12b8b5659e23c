"""Reads small kernel files; whatever a device tree holds, it answers with text or with the reason why not."""

from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass

_LIMIT = 65536  # the largest file we read, /proc/stat of many cores, is far smaller; and we need only its head
_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Text:
    """Content of a file without surrounding blanks, or ``None`` and the reason in ``note``."""

    text: str | None
    note: str = ""


def read(path: str) -> Text:
    """Read at most 64 KiB of ``path``. Opens it anew, because a file may have been replaced by another."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # never hang on a pipe
    except (OSError, ValueError) as error:
        return Text(None, _why(error))
    try:
        raw = os.read(fd, _LIMIT)
    except OSError as error:
        return Text(None, _why(error))
    finally:
        os.close(fd)
    text = raw.decode("utf-8", "replace").strip("\0 \t\r\n")
    return Text(text) if text else Text(None, "the file is empty")


def names(folder: str) -> tuple[str, ...]:
    """Names in ``folder``, sorted; none when it is absent or unreadable."""
    try:
        return tuple(sorted(os.listdir(folder)))
    except (OSError, ValueError):
        return ()


def matching(pattern: str) -> tuple[str, ...]:
    """Paths that a shell pattern matches, sorted as people count; hidden and unreadable ones left out."""
    return tuple(sorted(glob.glob(pattern), key=_natural))


def integer(text: str | None) -> int | None:
    """Read ``text`` as one decimal integer; ``None`` for anything else."""
    if text is None or not _INTEGER.fullmatch(text.strip()):
        return None
    return int(text)


def shown(path: str, root: str) -> str:
    """Write a path under ``root`` as it would be on the device, fit to print."""
    inner = path[len(root.rstrip("/")) :] if path.startswith(root) else path
    return os.fsencode(inner).decode("utf-8", "replace")


def garbage(text: str) -> str:
    """Say that ``text`` is no figure, without printing all of it."""
    return f"not a figure: {text[:24]!r}"


def _natural(path: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", path)]


def _why(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
