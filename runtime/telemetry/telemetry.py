"""One sweep over all sources makes a snapshot."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import get_args

from edgehybrid.profiles import DeviceProfile
from edgehybrid.runtime.telemetry.battery import Battery
from edgehybrid.runtime.telemetry.cpu import Clock, Cores, Load
from edgehybrid.runtime.telemetry.fallback import Psutil
from edgehybrid.runtime.telemetry.firmware import Firmware
from edgehybrid.runtime.telemetry.history import History, advance
from edgehybrid.runtime.telemetry.memory import Memory
from edgehybrid.runtime.telemetry.pressure import Pressure
from edgehybrid.runtime.telemetry.snapshot import Reading, Snapshot, Trust
from edgehybrid.runtime.telemetry.source import Source, SourceReport
from edgehybrid.runtime.telemetry.thermal import Thermal

_LOOK_AGAIN = 60  # sweeps after which a source looks for its files anew; one source at a time
_WORST: tuple[Trust, ...] = get_args(Trust)


class Telemetry:
    """Reads the device whose files lie under ``root``. Not for use by several threads at once.

    Args:
        root: ``/``, or a tree that a test or a simulator writes.
        device: Profile of the board; tells whether it has an under-voltage detector.
        clock: Monotonic clock in seconds.
        pack_wh: Energy of the full battery in Wh, for gauges that know only percent (MAX17040 on many HATs).
    """

    def __init__(
        self,
        root: str | os.PathLike[str] = "/",
        *,
        device: DeviceProfile | None = None,
        clock: Callable[[], float] = time.monotonic,
        pack_wh: float | None = None,
    ) -> None:
        base = os.path.join(os.path.abspath(os.fspath(root)), "")
        detector = device.undervoltage_detector if device is not None else None
        self._clock = clock
        self._sources: tuple[Source, ...] = (
            Battery(root=base, pack_wh=pack_wh),
            Thermal(root=base),
            Firmware(root=base, detector=detector),
            Load(root=base),
            Clock(root=base),
            Cores(root=base),
            Pressure(root=base),
            Memory(root=base),
        )
        self._psutil = Psutil() if base == "/" else None
        self._history = History()
        self._alive: set[str] = set()  # fields that said something last time
        self._sweep = 0

    def read(self) -> Snapshot:
        """Read every source once. Takes about a millisecond; never raises for what the device tree contains."""
        at_s = self._clock()
        readings: dict[str, Reading] = {}
        for i, source in enumerate(self._sources):
            if self._sweep == 0 or (self._sweep + i) % _LOOK_AGAIN == 0:
                source.discover()
            found = source.read(at_s)
            if any(r.trust == "missing" and f in self._alive for f, r in found.items()):
                source.discover()  # it went away: perhaps it only moved
                found = source.read(at_s)
            readings.update(found)
        self._alive = {f for f, r in readings.items() if r.trust != "missing"}
        readings.update(self._filled(readings, at_s))
        self._sweep += 1
        self._history, readings = advance(self._history, readings, at_s)
        return _snapshot(at_s, readings)

    def sources(self) -> tuple[SourceReport, ...]:
        """Say what each source offers, from where, and how far to trust it. Reads the device once."""
        readings = self.read().readings
        return tuple(_report(source, readings) for source in self._sources)

    def _filled(self, readings: Mapping[str, Reading], at_s: float) -> dict[str, Reading]:
        """What psutil knows where the kernel files gave nothing; only on the real device."""
        if self._psutil is None:
            return {}
        if self._sweep % _LOOK_AGAIN == 0:
            self._psutil.discover()
        wanted = tuple(f for f in self._psutil.fields if readings[f].trust == "missing")
        return {f: r for f, r in self._psutil.fill(at_s, wanted).items() if r.value is not None}


def _report(source: Source, readings: Mapping[str, Reading]) -> SourceReport:
    mine = {f: readings[f] for f in source.fields}
    offers = tuple(f for f, r in mine.items() if r.value is not None)
    shown = [mine[f] for f in offers] or list(mine.values())
    refused = [r for r in mine.values() if r.trust in {"insane", "frozen"}]
    return SourceReport(
        name=source.name,
        offers=offers,
        lacks=tuple(f for f in mine if f not in offers),
        path=", ".join(dict.fromkeys(r.source for r in shown)),
        trust=max((r.trust for r in (*shown, *refused)), key=_WORST.index),
        note="; ".join(dict.fromkeys(r.note for r in mine.values() if r.note)),
    )


def _snapshot(at_s: float, readings: Mapping[str, Reading]) -> Snapshot:
    def number(name: str) -> float | None:
        return readings[name].value

    def flag(name: str) -> bool | None:
        value = readings[name].value
        return None if value is None else bool(value)

    return Snapshot(
        at_s=at_s,
        battery_pct=number("battery_pct"),
        battery_wh=number("battery_wh"),
        battery_w=number("battery_w"),
        on_mains=flag("on_mains"),
        soc_temp_c=number("soc_temp_c"),
        throttled=flag("throttled"),
        under_voltage=flag("under_voltage"),
        cpu_load_pct=number("cpu_load_pct"),
        cpu_mhz=number("cpu_mhz"),
        cpu_cap_mhz=number("cpu_cap_mhz"),
        cpu_cores=number("cpu_cores"),
        cpu_pressure_pct=number("cpu_pressure_pct"),
        memory_pressure_pct=number("memory_pressure_pct"),
        memory_free_mib=number("memory_free_mib"),
        readings=readings,
    )
