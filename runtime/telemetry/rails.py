"""Power rails that a chip measures: INA219, INA226, INA3221 and their kin under hwmon, and under iio on old Jetsons."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from edgehybrid.runtime.telemetry.files import garbage, integer, matching, names, read, shown
from edgehybrid.runtime.telemetry.snapshot import Scope
from edgehybrid.units import MILLI

_CHIP = re.compile(r"(ti,)?ina\d{3,4}x?")
_CURRENT = re.compile(r"curr([123])_input")  # of an INA3221; the fourth is a sum, and so is in7
_IIO = re.compile(r"rail_name_(\d)")
_TOTALS = ("VDD_IN", "POM_5V_IN", "VDD_5V_IN")  # Jetson rails through which everything flows
_JETSON = re.compile(r"(VDD|POM|VIN_SYS|VDDQ)_?\w*")
_BATTERY = re.compile(r"(?i).*(bat|pack|cell).*")
_BOARD = re.compile(r"(?i)(v?in(put)?|board|system|load|out(put)?|5v.*|supply)")
_RAIL_3V3 = 3.47  # below, a 3.3 V supply is likelier than a cell, which would be empty
_ALARMS = ("crit_alarm", "max_alarm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """Where one rail is read: ``power`` alone (mW), or ``volts`` (mV) and ``amps`` (mA); paths."""

    label: str
    folder: str
    volts: str = ""
    amps: str = ""
    power: str = ""
    alarms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rail:
    """What one rail says; ``None`` where it does not. ``amps`` keeps the sign that the chip gives it.

    ``refused`` says that figures were there and could not be believed; ``note`` why.
    """

    label: str
    path: str
    volts: float | None = None
    amps: float | None = None
    watts: float | None = None
    refused: bool = False
    note: str = ""


@dataclass(slots=True, kw_only=True)
class Rails:
    """All rails of the device, read at most once a sweep; several sources ask for them."""

    root: str
    channels: tuple[Channel, ...] = ()
    _at_s: float | None = None
    _rails: tuple[Rail, ...] = field(default=())

    def discover(self) -> None:
        """List the chips and the channels that are wired."""
        chips = matching(f"{self.root}sys/class/hwmon/hwmon*")
        found = [c for chip in chips for c in _hwmon(chip)]
        if not found:  # the same folders by another way, where the class is not mounted
            found = [c for chip in matching(f"{self.root}sys/bus/i2c/devices/*/hwmon/hwmon*") for c in _hwmon(chip)]
        old = matching(f"{self.root}sys/bus/iio/devices/iio:device*")
        old = old or matching(f"{self.root}sys/bus/i2c/devices/*/iio:device*")
        found += [c for folder in old for c in _iio(folder)]
        self.channels = tuple(found)
        self._at_s = None

    def read(self, at_s: float) -> tuple[Rail, ...]:
        """Read every rail; the answers of the same moment are kept."""
        if self._at_s != at_s:
            self._rails = tuple(_rail(c, self.root) for c in self.channels)
            self._at_s = at_s
        return self._rails


def total(rails: tuple[Rail, ...]) -> tuple[tuple[Rail, ...], Scope, str] | None:
    """Choose the rails whose sum is the power of the board: which, what they cover, and a note.

    A Jetson has one rail for everything, or the sum of its parts; another board one chip at its input or its battery,
    told by its label, else by its volts. ``None`` when there is nothing to choose.
    """
    for name in _TOTALS:
        if whole := tuple(r for r in rails if r.label == name):
            return whole[:1], "board", ""
    parts = tuple(r for r in rails if _JETSON.fullmatch(r.label))
    if parts:
        return parts, "rail", "sum of the rails; this board measures no total"
    inputs = [r for r in rails if scope(r)[0] == "board"]
    if inputs:
        best = max(inputs, key=lambda r: r.watts or 0.0)
        why = scope(best)[1] if len(inputs) == 1 else f"the strongest of {len(inputs)} rails"
        return (best,), "board", why
    return None


def scope(rail: Rail) -> tuple[Scope, str]:
    """Say what an unlabelled chip measures: 5 V, or more than two cells give, is an input; else it is a battery."""
    if _BATTERY.fullmatch(rail.label):
        return "battery", ""
    if _BOARD.fullmatch(rail.label):
        return "board", ""
    if rail.volts is None:
        return "rail", ""
    if 4.5 <= rail.volts <= 5.6 or rail.volts > 8.7:
        return "board", f"taken for the board's input by its {rail.volts:.1f} V"
    if rail.volts > _RAIL_3V3:
        return "battery", f"taken for the battery by its {rail.volts:.1f} V"
    return "rail", ""


def alarms(channels: tuple[Channel, ...]) -> dict[str, int | None]:
    """Over-current alarms by path: 1 while the current is too high."""
    return {path: integer(read(path).text) for c in channels for path in c.alarms}


def _hwmon(folder: str) -> list[Channel]:
    if not _CHIP.fullmatch(read(f"{folder}/name").text or ""):
        return []
    there = frozenset(names(folder))
    found = []
    for n in sorted(m[1] for name in there if (m := _CURRENT.fullmatch(name))):
        label = read(f"{folder}/in{n}_label").text if f"in{n}_label" in there else None
        if (label is not None and "NC" in label) or f"in{n}_input" not in there:
            continue  # not connected
        wired = tuple(f"{folder}/curr{n}_{a}" for a in _ALARMS if f"curr{n}_{a}" in there)
        volts, amps = f"{folder}/in{n}_input", f"{folder}/curr{n}_input"
        found.append(Channel(label=label or f"channel {n}", folder=folder, volts=volts, amps=amps, alarms=wired))
    return found


def _iio(folder: str) -> list[Channel]:
    found = []
    for name in names(folder):
        if number := _IIO.fullmatch(name):
            label, power = read(f"{folder}/{name}").text or "", f"{folder}/in_power{number[1]}_input"
            if label and "NC" not in label:
                found.append(Channel(label=label, folder=folder, power=power))
    return found


def _rail(channel: Channel, root: str) -> Rail:
    where = shown(channel.folder, root)
    files = (channel.power,) if channel.power else (channel.volts, channel.amps)
    figures: list[float] = []
    for path in files:
        text = read(path)
        value = integer(text.text)
        if value is None:
            note = text.note if text.text is None else garbage(text.text)
            return Rail(label=channel.label, path=where, refused=text.text is not None, note=note)
        figures.append(value * MILLI)
    if channel.power:
        return Rail(label=channel.label, path=where, watts=figures[0])
    volts, amps = figures
    if not 0 <= volts <= 100 or abs(amps) > 100:
        note = f"{volts:g} V and {amps:g} A cannot be"
        return Rail(label=channel.label, path=where, refused=True, note=note)
    return Rail(label=channel.label, path=where, volts=volts, amps=amps, watts=volts * abs(amps))
