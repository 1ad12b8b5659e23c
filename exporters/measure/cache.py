"""Measurements by content: an interrupted export takes up where it stopped, a repeated one is quick."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgehybrid.data import npz_bytes, read_npz
from edgehybrid.errors import DataError

Arrays = Mapping[str, NDArray[np.generic]]
VERSION = "2"  # raise it when a measurement changes its meaning


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/edgehybrid``, or ``~/.cache/edgehybrid``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base and Path(base).is_absolute() else Path.home() / ".cache") / "edgehybrid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """Arrays by key; ``folder=None`` remembers nothing. A cache never fails: what cannot be kept is measured again."""

    folder: Path | None

    def get(self, key: tuple[str, ...], compute: Callable[[], Arrays]) -> Arrays:
        """Return what is kept under ``key``, or compute and keep it."""
        kept = self.look(key)
        if kept is None:
            kept = compute()
            self.keep(key, kept)
        return kept

    def look(self, key: tuple[str, ...]) -> Arrays | None:
        """Return what is kept under ``key``; ``None`` if nothing is, or it is damaged."""
        if self.folder is None or not (place := self._place(self.folder, key)).is_file():
            return None
        try:
            return read_npz(place)
        except (DataError, OSError):
            return None  # measured again, and replaced

    def keep(self, key: tuple[str, ...], arrays: Arrays) -> None:
        """Keep ``arrays`` under ``key``."""
        if self.folder is not None:
            self._write(self._place(self.folder, key), npz_bytes(arrays))

    def _place(self, folder: Path, key: tuple[str, ...]) -> Path:
        return folder / f"{hashlib.sha256('|'.join((VERSION, *key)).encode()).hexdigest()}.npz"

    def _write(self, place: Path, content: bytes) -> None:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=place.parent)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.replace(name, place)
        except OSError:
            return  # a full or read-only disk: an export works without
