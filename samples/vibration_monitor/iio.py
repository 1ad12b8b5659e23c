"""A channel of the kernel's industrial I/O: ``(raw + offset) · scale``, or ``input`` where the driver has it ready."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from samples.common.source import SourceError

FOLDER = "sys/bus/iio/devices"


def read_iio(root: Path, channel: str) -> float:
    """Read one channel, in the unit of the kernel's ABI (milli-°C, millivolts, m/s², ...).

    Args:
        root: Where ``/sys`` lies.
        channel: Device and channel, ``iio:device0/in_temp0``.

    Raises:
        SourceError: It is missing, busy, or says what is no number.
    """
    path = root / FOLDER / channel
    with suppress(FileNotFoundError):
        return _number(path.with_name(f"{path.name}_input"))
    try:
        raw = _number(path.with_name(f"{path.name}_raw"))
    except FileNotFoundError as error:
        what = f"{channel} is not there."
        raise SourceError(what, "Check its wires; ls /sys/bus/iio/devices lists what there is.") from error
    return (raw + _property(path, "offset", 0.0)) * _property(path, "scale", 1.0)


def _property(path: Path, name: str, default: float) -> float:
    """Read scale or offset of the channel, or of all channels of its kind (``in_temp0`` → ``in_temp``)."""
    for owner in (path.name, path.name.rstrip("0123456789")):
        with suppress(FileNotFoundError):
            return _number(path.with_name(f"{owner}_{name}"))
    return default


def _number(path: Path) -> float:
    try:
        return float(path.read_text(encoding="ascii"))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise SourceError(
            f"{path.name} cannot be read: {error.strerror}.", "It may be busy, or its chip gone."
        ) from error
    except ValueError as error:
        raise SourceError(f"{path.name} says what is no number.", "Look at it: cat " + str(path)) from error
