"""Which sensor feeds which input of the model: a TOML file, checked, and the reading of all fourteen at once."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Generator
from pathlib import Path

import msgspec
import numpy as np

from samples.common.source import SourceError
from samples.vibration_monitor.features import SENSORS, Float64Array
from samples.vibration_monitor.i2c import I2cBus, WordBus
from samples.vibration_monitor.iio import read_iio


class Sensor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One input: ``gain · value + bias`` of an IIO channel or of a 16-bit register on I2C, in the input's own unit.

    Attributes:
        name: ``s2``, ``s3``, ...: the number in the data set.
        iio: Device and channel, ``iio:device0/in_temp0``.
        bus: Number of the I2C bus, with ``address`` and ``register``.
        address: Of the chip.
        register: Of the word, high byte first.
        signed: Whether the word is.
        gain: Factor.
        bias: Added after that.
    """

    name: str
    iio: str | None = None
    bus: int | None = None
    address: int | None = None
    register: int | None = None
    signed: bool = True
    gain: float = 1.0
    bias: float = 0.0


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sensor: tuple[Sensor, ...]


def load_sensors(path: Path) -> tuple[Sensor, ...]:
    """Read the file; returns the sensors in the model's order.

    Raises:
        SourceError: It cannot be read, or does not name each of the 14 once, with one place.
    """
    fix = "See sensors.toml beside app.py for an example."
    try:
        found = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _File).sensor
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} cannot be used: {error}.", fix) from error
    by_name = {sensor.name: sensor for sensor in found}
    wanted = [f"s{number}" for number in SENSORS]
    if sorted(by_name) != sorted(wanted) or len(found) != len(wanted):
        raise SourceError(f"{path} does not name each of {', '.join(wanted)} once.", fix)
    for sensor in found:
        words = [sensor.bus, sensor.address, sensor.register]
        if (sensor.iio is None) == (None in words) or (sensor.iio is not None and words != [None] * 3):
            raise SourceError(f"{path}: {sensor.name} needs iio, or bus, address and register.", fix)
    return tuple(by_name[name] for name in wanted)


class Sensors:
    """Reads all fourteen: one reading, shape ``(14,)``, is the median of a burst.

    Args:
        sensors: In the model's order.
        root: Where ``/sys`` lies.
        open_bus: Opens an I2C bus by its number.
        burst: Readings in one burst.
    """

    live = True
    name = "sensors"

    def __init__(
        self,
        sensors: tuple[Sensor, ...],
        *,
        root: Path = Path("/"),
        open_bus: Callable[[int], WordBus] = I2cBus,
        burst: int = 5,
    ) -> None:
        self._sensors, self._root, self._open_bus, self._burst = sensors, root, open_bus, burst

    def items(self) -> Generator[Float64Array, None, None]:
        """Yield one reading after the other; buses are open only while a reading is taken.

        Raises:
            SourceError: A sensor is missing or busy, or says what is no number.
        """
        while True:
            yield self._read()

    def _read(self) -> Float64Array:
        buses: dict[int, WordBus] = {}
        try:
            rows = [[self._value(sensor, buses) for sensor in self._sensors] for _ in range(self._burst)]
        finally:
            for bus in buses.values():
                bus.close()
        reading = np.median(np.array(rows, dtype=np.float64), axis=0)
        if not np.isfinite(reading).all():
            bad = self._sensors[int(np.flatnonzero(~np.isfinite(reading))[0])].name
            raise SourceError(f"{bad} says what is no number.", "Check its wires and its line in the sensors file.")
        return reading

    def _value(self, sensor: Sensor, buses: dict[int, WordBus]) -> float:
        value = self._word(sensor, buses) if sensor.iio is None else read_iio(self._root, sensor.iio)
        return sensor.gain * value + sensor.bias

    def _word(self, sensor: Sensor, buses: dict[int, WordBus]) -> float:
        bus, address, register = sensor.bus or 0, sensor.address or 0, sensor.register or 0  # load_sensors checked them
        if bus not in buses:
            buses[bus] = self._open_bus(bus)
        word = buses[bus].read_word(address, register)
        return float(word - 65536 if sensor.signed and word > 32767 else word)
