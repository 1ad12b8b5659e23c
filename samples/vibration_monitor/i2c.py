"""Words from a chip on I2C, by the kernel's own device file; no library."""

from __future__ import annotations

import errno
import fcntl
import os
from typing import Protocol

from samples.common.source import SourceError

I2C_SLAVE = 0x0703  # linux/i2c-dev.h


class WordBus(Protocol):
    """Reads 16-bit registers."""

    def read_word(self, address: int, register: int) -> int:
        """Return the register, high byte first."""
        ...

    def close(self) -> None:
        """Let others have the bus."""
        ...


class I2cBus:
    """``/dev/i2c-N``.

    Args:
        number: N.

    Raises:
        SourceError: There is no such bus, or we may not use it.
    """

    def __init__(self, number: int) -> None:
        self._path = f"/dev/i2c-{number}"
        try:
            self._file = os.open(self._path, os.O_RDWR)
        except OSError as error:
            fix = "Turn I2C on (sudo raspi-config nonint do_i2c 0), and be in the group i2c."
            raise SourceError(f"{self._path} cannot be opened: {error.strerror}.", fix) from error

    def read_word(self, address: int, register: int) -> int:
        """Return the register, high byte first.

        Raises:
            SourceError: The chip does not answer, or a driver has it.
        """
        try:
            fcntl.ioctl(self._file, I2C_SLAVE, address)
            os.write(self._file, bytes([register]))
            word = os.read(self._file, 2)
        except OSError as error:
            why = "a driver has it" if error.errno == errno.EBUSY else error.strerror
            fix = f"Check its wires: i2cdetect -y {self._path.rpartition('-')[2]}"
            raise SourceError(f"Chip 0x{address:02x} on {self._path} does not answer: {why}.", fix) from error
        return int.from_bytes(word, "big")

    def close(self) -> None:
        """Close the device file."""
        os.close(self._file)
