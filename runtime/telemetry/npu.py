"""Accelerators: whether one is there, how busy, how hot, how fast, where a file says so. Opens no device."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from edgehybrid.runtime.telemetry.accelerators import find_accelerators
from edgehybrid.runtime.telemetry.files import garbage, integer, matching, names, read, shown
from edgehybrid.runtime.telemetry.snapshot import Reading
from edgehybrid.runtime.telemetry.source import insane, missing
from edgehybrid.runtime.telemetry.thermal import celsius
from edgehybrid.units import MICRO

Kind = Literal["rknpu", "debugfs", "permille"]
_GPUS = frozenset({"gv11b", "gp10b", "gm20b", "ga10b", "gpu"})  # of_node names of the GPUs in Jetsons
_DEVFREQ_LOAD = re.compile(r"(\d{1,3})@\d{1,12}Hz", re.ASCII)
_CORE = re.compile(r"Core\d:\s*(\d{1,3})%", re.ASCII)
_ZONE = re.compile(r"(?i)(npu|gpu)[-_]?therm(al)?")
_HAILO_PCI = ("0x1e60", "0x2864")


@dataclass(frozen=True, slots=True, kw_only=True)
class Npu:
    """Where one accelerator is read; empty for what it does not show."""

    name: str
    presence: str  # a path that is there while the accelerator is
    load: str = ""
    load_kind: Kind = "rknpu"
    temp: str = ""
    trips: tuple[str, ...] = ()
    clock: str = ""


def parse_load(text: str, kind: Kind) -> float | None:
    """Load in percent: ``37@800000000Hz``; ``NPU load: Core0: 37%, Core1: 0%`` (their mean); or per mille."""
    if kind == "permille":
        value = integer(text)
        return value / 10 if value is not None and 0 <= value <= 1000 else None
    if kind == "rknpu":
        found = _DEVFREQ_LOAD.fullmatch(text)
        shares = [int(found[1])] if found else []
    else:
        shares = [int(n) for n in _CORE.findall(text)]
    return sum(shares) / len(shares) if shares and max(shares) <= 100 else None


@dataclass(slots=True, kw_only=True)
class Accelerator:
    """The first accelerator of the device that is found.

    ``npu_present`` is true while its node is there, false once it has gone or its bus shows a device without a node,
    and ``None`` when none was ever seen: then nobody can tell.
    """

    root: str
    name: str = "accelerator"
    fields: tuple[str, ...] = ("npu_present", "npu_load_pct", "npu_temp_c", "npu_mhz")
    _npu: Npu | None = None
    _dead: str = ""  # path on the bus of one without a node
    _seen: Npu | None = field(default=None)

    def discover(self) -> None:
        """Look for each kind that we know."""
        self._npu = self._hailo() or self._coral() or self._rockchip() or self._jetson() or self._other()
        self._seen = self._npu or self._seen
        self._dead = "" if self._npu else self._without_node()

    def read(self, at_s: float) -> Mapping[str, Reading]:  # noqa: ARG002  # the protocol's
        """Read what it shows. A path that has gone answers at once; nothing is opened that could wake a device."""
        npu = self._npu
        if npu is None or not os.path.exists(npu.presence):
            return self._absent(npu or self._seen)
        temp, gone = self._temp(npu)
        here = Reading(value=float(not gone), source=shown(npu.presence, self.root), note=gone or npu.name)
        return {
            "npu_present": here,
            "npu_load_pct": self._load(npu),
            "npu_temp_c": temp,
            "npu_mhz": self._clock(npu),
        }

    def _absent(self, npu: Npu | None) -> dict[str, Reading]:
        why = "no accelerator that we know"
        here = missing("/dev", why)
        if npu is not None:
            why = f"{npu.name} has gone"
            here = Reading(value=0.0, source=shown(npu.presence, self.root), note=why)
        elif self._dead:
            why = "on its bus, without a device node: no driver"
            here = Reading(value=0.0, source=shown(self._dead, self.root), note=why)
        return {"npu_present": here} | dict.fromkeys(self.fields[1:], missing(here.source, why))

    def _load(self, npu: Npu) -> Reading:
        if not npu.load:
            return missing(shown(npu.presence, self.root), f"{npu.name} shows nothing more to us")
        text, where = read(npu.load), shown(npu.load, self.root)
        if text.text is None:
            return missing(where, text.note)
        value = parse_load(text.text, npu.load_kind)
        return insane(where, garbage(text.text)) if value is None else Reading(value=value, source=where)

    def _temp(self, npu: Npu) -> tuple[Reading, str]:
        if not npu.temp:
            return missing(shown(npu.presence, self.root), f"{npu.name} shows nothing more to us"), ""
        text, where = read(npu.temp), shown(npu.temp, self.root)
        if text.text is None:
            return missing(where, text.note), ""
        degrees, why = celsius(text.text)
        if degrees is None:
            lost = f"{npu.name} does not answer: {why}" if npu.trips or "apex" in npu.temp else ""
            return insane(where, why), lost
        limits = [t / 1000 for path in npu.trips if (t := integer(read(path).text)) is not None]
        passed = sum(degrees >= limit for limit in limits)
        note = f"past {passed} of {len(limits)} trip points: its clock is lowered" if passed else ""
        return Reading(value=degrees, source=where, note=note), ""

    def _clock(self, npu: Npu) -> Reading:
        if not npu.clock:
            return missing(shown(npu.presence, self.root), f"{npu.name} shows nothing more to us")
        text, where = read(npu.clock), shown(npu.clock, self.root)
        hertz = integer(text.text)
        if hertz is not None and 1_000_000 <= hertz <= 5_000_000_000:
            return Reading(value=hertz * MICRO, source=where)
        return insane(where, garbage(text.text)) if text.text else missing(where, text.note)

    def _hailo(self) -> Npu | None:
        nodes = matching(f"{self.root}dev/hailo[0-9]*")
        chips = matching(f"{self.root}sys/class/hwmon/hwmon*") if nodes else ()
        temp = next((f"{c}/temp1_input" for c in chips if (read(f"{c}/name").text or "").startswith("hailo")), "")
        return Npu(name="Hailo", presence=nodes[0], temp=temp) if nodes else None

    def _coral(self) -> Npu | None:
        nodes = matching(f"{self.root}sys/class/apex/apex_*")
        if not nodes:
            return None
        trips = matching(f"{nodes[0]}/trip_point[0-9]_temp")
        return Npu(name="Coral", presence=nodes[0], temp=f"{nodes[0]}/temp", trips=trips)

    def _rockchip(self) -> Npu | None:
        nodes = matching(f"{self.root}sys/class/devfreq/*.npu")
        if not nodes:
            return None
        load, kind = f"{nodes[0]}/load", "rknpu"
        if read(load).text is None and read(debug := f"{self.root}sys/kernel/debug/rknpu/load").text is not None:
            load, kind = debug, "debugfs"
        return Npu(
            name="Rockchip NPU",
            presence=nodes[0],
            load=load,
            load_kind="debugfs" if kind == "debugfs" else "rknpu",
            temp=self._zone("npu"),
            clock=f"{nodes[0]}/cur_freq",
        )

    def _jetson(self) -> Npu | None:
        for node in matching(f"{self.root}sys/class/devfreq/*"):
            kind = (read(f"{node}/device/of_node/name").text or node.rpartition(".")[2]).strip("\0")
            if kind in _GPUS and os.path.exists(f"{self.root}etc/nv_tegra_release"):
                load = f"{node}/device/load"
                load = load if os.path.exists(load) else f"{self.root}sys/devices/gpu.0/load"
                return Npu(
                    name="Jetson GPU",
                    presence=node,
                    load=load,
                    load_kind="permille",
                    temp=self._zone("gpu"),
                    clock=f"{node}/cur_freq",
                )
        return None

    def _other(self) -> Npu | None:
        found = [a for a in find_accelerators(self.root) if a.name not in {"GPU", "Jetson"}]
        return Npu(name=found[0].name, presence=f"{self.root}{found[0].path[1:]}") if found else None

    def _zone(self, word: str) -> str:
        base = f"{self.root}sys/class/thermal"
        for name in names(base):
            kind = _ZONE.fullmatch(read(f"{base}/{name}/type").text or "")
            if kind and kind[1].lower() == word:
                return f"{base}/{name}/temp"
        return ""

    def _without_node(self) -> str:
        for path in matching(f"{self.root}sys/bus/pci/devices/*"):
            if (read(f"{path}/vendor").text, read(f"{path}/device").text) == _HAILO_PCI:
                return path
        return ""
