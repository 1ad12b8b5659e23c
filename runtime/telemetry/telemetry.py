"""One sweep over all sources makes a snapshot."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from functools import partial

from edgehybrid.profiles import DeviceProfile
from edgehybrid.runtime.telemetry import merge
from edgehybrid.runtime.telemetry.battery import Battery
from edgehybrid.runtime.telemetry.cpu import Clock, Cores, Load
from edgehybrid.runtime.telemetry.fallback import Psutil
from edgehybrid.runtime.telemetry.firmware import Firmware
from edgehybrid.runtime.telemetry.history import History, advance
from edgehybrid.runtime.telemetry.memory import Memory
from edgehybrid.runtime.telemetry.npu import Accelerator
from edgehybrid.runtime.telemetry.overcurrent import OverCurrent
from edgehybrid.runtime.telemetry.pack import Pack
from edgehybrid.runtime.telemetry.pmic import Pmic
from edgehybrid.runtime.telemetry.power import Power
from edgehybrid.runtime.telemetry.pressure import Pressure
from edgehybrid.runtime.telemetry.rails import Rails
from edgehybrid.runtime.telemetry.rapl import Rapl
from edgehybrid.runtime.telemetry.snapshot import Reading, Snapshot
from edgehybrid.runtime.telemetry.source import Source, SourceReport, missing
from edgehybrid.runtime.telemetry.sweep import Sweep
from edgehybrid.runtime.telemetry.thermal import Thermal
from edgehybrid.runtime.telemetry.vcgencmd import Vcgencmd

_LOOK_AGAIN = 60  # sweeps after which a source looks for its files anew; one source at a time
PATIENCE_S = 1.0
"""How long a sweep of the real device may take before what hangs is left behind."""


class Telemetry:
    """Reads the device whose files lie under ``root``. Not for use by several threads at once.

    Args:
        root: ``/``, or a tree that a test or a simulator writes.
        device: Profile of the board; tells whether it has an under-voltage detector.
        clock: Monotonic clock in seconds.
        pack_wh: Energy of the full battery in Wh, for gauges that know only percent (MAX17040 on many HATs).
        patience_s: Longest wait for a sensor that hangs. By default `PATIENCE_S` for ``/``, and none for other trees,
            whose files are ordinary: then all is read on the caller's thread.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] = "/",
        *,
        device: DeviceProfile | None = None,
        clock: Callable[[], float] = time.monotonic,
        pack_wh: float | None = None,
        patience_s: float | None = None,
    ) -> None:
        base = os.path.join(os.path.abspath(os.fspath(root)), "")
        detector = device.undervoltage_detector if device is not None else None
        real = base == "/"
        self._clock = clock
        self._tool = Vcgencmd(root=base)
        self._sources = _sources(base, self._tool, detector, pack_wh)
        self._psutil = Psutil() if real else None
        self._history = History()
        self._alive: dict[str, set[str]] = {}  # by source: fields that said something last time
        self._found: dict[str, Mapping[str, Reading]] = {}  # by source, what it said last
        self._sweep: Sweep[Mapping[str, Reading]] = Sweep(
            patience_s=PATIENCE_S if patience_s is None and real else patience_s
        )
        self._count = 0

    def read(self) -> Snapshot:
        """Read every source once.

        Takes a fraction of a millisecond where no bus is slow, and at most ``patience_s`` for each source that begins
        to hang; never raises for what the device tree contains.
        """
        at_s = self._clock()
        work = {
            source.name: partial(self._look, source, at_s, self._count == 0 or (self._count + i) % _LOOK_AGAIN == 0)
            for i, source in enumerate(self._sources)
        }
        found = self._sweep.run(work)
        self._found = {s.name: found.get(s.name) or _hung(s) for s in self._sources}
        readings: Mapping[str, Reading] = merge.first_that_answers(self._found.values())
        readings = merge.with_battery_power({**readings, **self._filled(readings, at_s)})
        self._count += 1
        self._history, readings = advance(self._history, merge.with_doubted_clock(readings), at_s)
        return merge.snapshot(at_s, readings)

    def sources(self) -> tuple[SourceReport, ...]:
        """Say what each source offers, from where, and how far to trust it. Reads the device once."""
        readings = self.read().readings
        return tuple(merge.report(s, self._found[s.name], readings) for s in self._sources)

    def close(self) -> None:
        """End a program that still runs. Nothing else needs it; the telemetry may be used again."""
        self._tool.close()

    def _look(self, source: Source, at_s: float, due: bool) -> Mapping[str, Reading]:
        if due:
            source.discover()
        found = source.read(at_s)
        alive = self._alive.get(source.name, set())
        if any(r.trust == "missing" and f in alive for f, r in found.items()):
            source.discover()  # it went away: perhaps it only moved
            found = source.read(at_s)
        self._alive[source.name] = {f for f, r in found.items() if r.trust != "missing"}
        return found

    def _filled(self, readings: Mapping[str, Reading], at_s: float) -> dict[str, Reading]:
        """What psutil knows where the kernel files gave nothing; only on the real device, and never past a hang."""
        psutil = self._psutil
        if psutil is None or self._sweep.hanging:
            return {}
        wanted = tuple(f for f in psutil.fields if readings[f].trust == "missing")
        due = self._count % _LOOK_AGAIN == 0
        if not wanted or not (due or psutil.live.intersection(wanted)):
            return {}

        def ask() -> Mapping[str, Reading]:
            if due:
                psutil.discover()
            return psutil.fill(at_s, wanted)

        said = self._sweep.run({psutil.name: ask}).get(psutil.name, {})
        return {f: r for f, r in said.items() if r.value is not None}


def _sources(base: str, tool: Vcgencmd, detector: bool | None, pack_wh: float | None) -> tuple[Source, ...]:
    """Where two offer the same field, the surer stands first."""
    rails = Rails(root=base)
    return (
        Battery(root=base, pack_wh=pack_wh),
        Power(rails=rails),
        Pack(rails=rails, pack_wh=pack_wh),
        Pmic(tool=tool),
        Rapl(root=base),
        Thermal(root=base),
        Firmware(root=base, tool=tool, detector=detector),
        OverCurrent(root=base, rails=rails),
        Load(root=base),
        Clock(root=base),
        Cores(root=base),
        Pressure(root=base),
        Memory(root=base),
        Accelerator(root=base),
    )


def _hung(source: Source) -> dict[str, Reading]:
    none = missing(source.name, "a read hangs in the kernel; it is asked again once that comes back")
    return dict.fromkeys(source.fields, none)
