"""A recorded device tree: what a device's sensor files held over time, to be played back into a folder.

The file is JSON Lines. First a header: ``{"schema": 1, "board": ..., "source": ..., "licence": ...}``. Then one line
per moment: ``{"t_s": 0, "files": {path: text}}`` with the whole tree at first, later only the files that
changed; ``null`` for a file that went away.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from edgehybrid.errors import DataError
from edgehybrid.testing.device_tree import write_file

SCHEMA = 1


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """Where a recording comes from, and on what terms."""

    schema: int
    board: str
    source: str
    licence: str


class Frame(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Files that changed at ``t_s``; ``None`` for one that went away."""

    t_s: float
    files: dict[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A device over time."""

    header: Header
    frames: tuple[Frame, ...]

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Recording:
        """Read a recording and check it.

        Raises:
            DataError: No such file, or not a recording; names the line.
        """
        try:
            lines = Path(path).read_bytes().splitlines()
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from error
        if not lines:
            raise DataError(f"{path} is empty.", "Record a device first.")
        header = _header(path, lines[0])
        frames: list[Frame] = []
        for number, line in enumerate(lines[1:], start=2):
            frame = _frame(path, number, line)
            if frames and frame.t_s <= frames[-1].t_s:
                raise DataError(f"{path}, line {number}: time goes back to {frame.t_s:g} s.", "Sort the lines by t_s.")
            frames.append(frame)
        if not frames:
            raise DataError(f"{path} holds a header and nothing else.", "Record at least one moment.")
        return cls(header=header, frames=tuple(frames))

    @property
    def duration_s(self) -> float:
        """Time between the first moment and the last."""
        return self.frames[-1].t_s - self.frames[0].t_s

    def at(self, t_s: float) -> dict[str, str]:
        """Give the whole tree as it was ``t_s`` seconds after the first moment."""
        count = bisect_right(self.frames, t_s + self.frames[0].t_s, key=lambda f: f.t_s)
        tree: dict[str, str] = {}
        for frame in self.frames[: max(count, 1)]:
            _apply(tree, frame.files)
        return tree

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it, whole or not at all."""
        rows: Iterable[Any] = (self.header, *self.frames)
        text = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
        write_file(Path(path).parent, Path(path).name, text)


class Player:
    """Plays a recording into ``root_dir``, for ``Telemetry(root=root_dir)``; starts at its first moment.

    Args:
        recording: What to play.
        root_dir: Folder that gets the files; made when it is absent.
    """

    def __init__(self, recording: Recording, root_dir: str | os.PathLike[str]) -> None:
        self.recording = recording
        self.root = Path(root_dir)
        self.t_s = 0.0
        self._next = 0  # first frame that is not in the folder yet
        self._now: dict[str, str] = {}
        self.advance_to(0.0)

    def advance_to(self, t_s: float) -> int:
        """Bring the folder to ``t_s`` seconds after the first moment; going back works too.

        Returns:
            How many files changed.
        """
        frames = self.recording.frames
        target = dict(self._now)
        if t_s < self.t_s:
            target, self._next = {}, 0
        while self._next < len(frames) and (self._next == 0 or frames[self._next].t_s - frames[0].t_s <= t_s):
            _apply(target, frames[self._next].files)
            self._next += 1
        gone = self._now.keys() - target.keys()
        changed = {p: text for p, text in target.items() if self._now.get(p) != text}
        for path in gone:
            (self.root / path).unlink(missing_ok=True)
        for path, text in changed.items():
            write_file(self.root, path, text.encode("utf-8", "surrogatepass"))
        self._now, self.t_s = target, t_s
        return len(gone) + len(changed)


def difference(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str | None]:
    """Give the files of a frame that leads from one tree to the next."""
    changed: dict[str, str | None] = {p: text for p, text in now.items() if before.get(p) != text}
    return changed | dict.fromkeys(before.keys() - now.keys())


def _apply(tree: dict[str, str], files: Mapping[str, str | None]) -> None:
    for path, text in files.items():
        if text is None:
            tree.pop(path, None)
        else:
            tree[path] = text


def _header(path: str | os.PathLike[str], line: bytes) -> Header:
    try:
        raw = msgspec.json.decode(line)
        found = raw.get("schema") if isinstance(raw, dict) else None
        if isinstance(found, int) and found > SCHEMA:
            fix = "Run: pip install --upgrade edgehybrid"
            raise DataError(f"{path} is of schema {found}; this version reads schema {SCHEMA}.", fix)
        return msgspec.convert(raw, Header)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        fix = "Begin with schema, board, source and licence."
        raise DataError(f"{path} is no recording, its first line is no header: {error}.", fix) from error


def _frame(path: str | os.PathLike[str], number: int, line: bytes) -> Frame:
    try:
        frame = msgspec.json.decode(line, type=Frame)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        fix = 'Each line after the first reads {"t_s": seconds, "files": {path: text}}.'
        raise DataError(f"{path}, line {number}: {error}.", fix) from error
    for name in frame.files:
        if not name or name.startswith("/") or "\0" in name or ".." in name.split("/"):
            raise DataError(f"{path}, line {number}: {name!r} leads out of the tree.", "Use paths below the root.")
    return frame
