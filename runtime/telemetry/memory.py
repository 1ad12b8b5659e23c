"""Memory that we may still take: what the system has available, at most what our control group allows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from edgehybrid.runtime.telemetry import cgroup
from edgehybrid.runtime.telemetry.files import garbage, read, shown
from edgehybrid.runtime.telemetry.snapshot import Reading
from edgehybrid.runtime.telemetry.source import insane, missing
from edgehybrid.units import MIB

_LINE = re.compile(r"^(MemAvailable|MemFree|Cached):\s+(\d{1,15}) kB", re.MULTILINE | re.ASCII)


def parse_meminfo(text: str) -> int | None:
    """Available bytes; on kernels before 3.14, free and cached together."""
    kib = {key: int(value) for key, value in _LINE.findall(text)}
    if "MemAvailable" in kib:
        return kib["MemAvailable"] * 1024
    return (kib["MemFree"] + kib.get("Cached", 0)) * 1024 if "MemFree" in kib else None


@dataclass(slots=True, kw_only=True)
class Memory:
    """Memory available to us, in MiB."""

    root: str
    name: str = "memory"
    fields: tuple[str, ...] = ("memory_free_mib",)
    _groups: tuple[cgroup.Folder, ...] = ()

    def discover(self) -> None:
        """Find the control groups that limit us now."""
        found = cgroup.folders(self.root, "memory", ("memory.max", "memory.limit_in_bytes"))
        self._groups = tuple(found)

    def read(self, at_s: float) -> Mapping[str, Reading]:  # noqa: ARG002  # the protocol's
        """Read both and take the smaller."""
        text = read(f"{self.root}proc/meminfo")
        system = parse_meminfo(text.text or "")
        allowed = cgroup.free_bytes(self._groups)
        if allowed is not None and (system is None or allowed < system):
            where = shown(self._groups[0].path, self.root)
            return {"memory_free_mib": Reading(value=allowed / MIB, source=where, note="limit of the control group")}
        if system is not None:
            return {"memory_free_mib": Reading(value=system / MIB, source="/proc/meminfo")}
        bad = insane("/proc/meminfo", garbage(text.text)) if text.text else missing("/proc/meminfo", text.note)
        return {"memory_free_mib": bad}
