"""Points to simulate: of a bundle, or of what ``inspect --json`` printed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgehybrid.bundle import Bundle
from edgehybrid.errors import DataError
from edgehybrid.points import OperatingPoint

_FIX = "Pass a bundle, or what `edgehybrid inspect BUNDLE --json` printed."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Inspected:
    points: tuple[OperatingPoint, ...]


def read_points(path: Path) -> tuple[OperatingPoint, ...]:
    """Return the points of a bundle (a folder), or of a JSON file with ``points`` in it.

    Raises:
        BundleError: The bundle is damaged.
        DataError: The file cannot be read, or holds no points.
    """
    if path.is_dir():
        return Bundle.open(path).points
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_Inspected).points
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", _FIX) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} holds no points: {error}.", _FIX) from error
    if not found:
        raise DataError(f"{path} holds no points.", _FIX)
    return found
