"""Load, clock and cores of the processor."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from edgehybrid.runtime.telemetry import cgroup
from edgehybrid.runtime.telemetry.files import garbage, integer, names, read, shown
from edgehybrid.runtime.telemetry.snapshot import Reading
from edgehybrid.runtime.telemetry.source import insane, missing

_STAT = re.compile(r"^cpu((?:\s+\d{1,20})+)", re.ASCII)
_ALLOWED = re.compile(r"^Cpus_allowed_list:\s*(\S+)", re.MULTILINE)
_SPAN = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?", re.ASCII)
_CLUSTERS = 4  # more kinds of core than that, no chip has


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticks:
    """Time that all cores together spent since boot, in clock ticks."""

    busy: int
    total: int


def parse_stat(text: str) -> Ticks | None:
    """Read the first line of ``/proc/stat``; waiting for a disk counts as idle."""
    found = _STAT.match(text)
    values = [int(v) for v in found[1].split()][:8] if found else []  # guest time is in user time already
    if len(values) < 4:
        return None
    return Ticks(busy=sum(values) - sum(values[3:5]), total=sum(values))


def load_pct(before: Ticks, now: Ticks) -> float | None:
    """Load between two readings in percent; ``None`` when no tick passed or the counters went back."""
    total, busy = now.total - before.total, now.busy - before.busy
    return 100 * min(max(busy / total, 0.0), 1.0) if total > 0 else None


def parse_cpu_list(text: str) -> int | None:
    """Count the cores in ``0-3,6``; ``None`` for anything else."""
    count = 0
    for part in text.strip().split(","):
        span = _SPAN.fullmatch(part)
        if span is None:
            return None
        count += int(span[2] or span[1]) - int(span[1]) + 1
    return count if count > 0 else None


@dataclass(slots=True, kw_only=True)
class Load:
    """Load of all cores by all processes, between two sweeps."""

    root: str
    name: str = "cpu load"
    fields: tuple[str, ...] = ("cpu_load_pct",)
    _before: Ticks | None = None
    _last: float | None = None
    _last_s: float = 0.0

    def discover(self) -> None:
        """Nothing to look for: the path is fixed."""

    def read(self, at_s: float) -> Mapping[str, Reading]:
        """Read the counters and compare them with those of the sweep before."""
        text = read(f"{self.root}proc/stat")
        now = parse_stat(text.text or "")
        if now is None:
            bad = insane("/proc/stat", garbage(text.text)) if text.text else missing("/proc/stat", text.note)
            return {"cpu_load_pct": bad}
        load = load_pct(self._before, now) if self._before is not None else None
        if self._before is None or now.total != self._before.total:
            self._before, self._last, self._last_s = now, load, at_s
        if self._last is None:
            return {"cpu_load_pct": missing("/proc/stat", "needs two sweeps")}
        if load is None:  # two sweeps within one tick: what the last two said still holds
            age = at_s - self._last_s
            old = Reading(value=self._last, source="/proc/stat", trust="stale", age_s=age, note="no tick has passed")
            return {"cpu_load_pct": old}
        return {"cpu_load_pct": Reading(value=load, source="/proc/stat")}


@dataclass(slots=True, kw_only=True)
class Clock:
    """Requested clock and the kernel's ceiling: the fastest cluster of cores."""

    root: str
    name: str = "cpu clock"
    fields: tuple[str, ...] = ("cpu_mhz", "cpu_cap_mhz")
    _policies: tuple[str, ...] = ()

    def discover(self) -> None:
        """List the frequency policies, one of each kind of core."""
        base = f"{self.root}sys/devices/system/cpu"
        found = [f"{base}/cpufreq/{n}" for n in names(f"{base}/cpufreq") if n.startswith("policy")]
        kinds: dict[str, str] = {}
        for path in found or [f"{base}/cpu0/cpufreq"]:
            if (text := read(f"{path}/cpuinfo_max_freq").text or read(f"{path}/scaling_max_freq").text) is not None:
                kinds.setdefault(text, path)
        self._policies = tuple(kinds.values())[:_CLUSTERS]

    def read(self, at_s: float) -> Mapping[str, Reading]:  # noqa: ARG002  # the protocol's
        """Read the clocks. What the firmware does behind the kernel's back is not in them."""
        return {
            "cpu_mhz": self._fastest("scaling_cur_freq", "as requested; the firmware may run slower"),
            "cpu_cap_mhz": self._fastest("scaling_max_freq", ""),
        }

    def _fastest(self, file: str, note: str) -> Reading:
        if not self._policies:
            return missing("/sys/devices/system/cpu/cpufreq", "no frequency control")
        best, problem = None, None
        for policy in self._policies:
            path = f"{policy}/{file}"
            where, text = shown(path, self.root), read(path)
            khz = integer(text.text)
            if khz is not None and 10_000 <= khz <= 10_000_000:
                if best is None or best.value is None or khz / 1000 > best.value:
                    best = Reading(value=khz / 1000, source=where, note=note)
            elif text.text is None:
                problem = missing(where, text.note)
            else:
                problem = insane(where, garbage(text.text))
        return best or problem or missing(f"/{file}", "no frequency control")


@dataclass(slots=True, kw_only=True)
class Cores:
    """Cores that this process may use: those of its affinity, at most its quota."""

    root: str
    name: str = "cpu cores"
    fields: tuple[str, ...] = ("cpu_cores",)
    _groups: tuple[cgroup.Folder, ...] = ()

    def discover(self) -> None:
        """Find the control groups that can limit us."""
        self._groups = cgroup.folders(self.root, "cpu", ("cpu.max", "cpu.cfs_quota_us"))

    def read(self, at_s: float) -> Mapping[str, Reading]:  # noqa: ARG002  # the protocol's
        """Read affinity and quota; both can change while we run."""
        status = "proc/self/status"
        listed = _ALLOWED.search(read(f"{self.root}{status}").text or "")
        count = parse_cpu_list(listed[1]) if listed else None
        if count is None:
            status = "sys/devices/system/cpu/online"
            count = parse_cpu_list(read(f"{self.root}{status}").text or "")
        quota = cgroup.cores(self._groups)
        if quota is not None and (count is None or quota < count):
            where = shown(self._groups[0].path, self.root)
            return {"cpu_cores": Reading(value=quota, source=where, note=f"quota; affinity allows {count or '?'}")}
        if count is None:
            return {"cpu_cores": missing(f"/{status}", "neither affinity nor quota can be read")}
        return {"cpu_cores": Reading(value=float(count), source=f"/{status}")}
