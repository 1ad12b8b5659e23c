"""Records a real device: samples the files that telemetry reads."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from edgehybrid.testing.recording import SCHEMA, Frame, Header, Recording, difference

_PATTERNS = (
    "sys/class/power_supply/*/uevent",
    "sys/class/power_supply/*/type",
    "sys/class/power_supply/*/scope",
    "sys/class/thermal/thermal_zone*/type",
    "sys/class/thermal/thermal_zone*/temp",
    "sys/class/hwmon/hwmon*/name",
    "sys/class/hwmon/hwmon*/temp1_input",
    "sys/class/hwmon/hwmon*/in[1-3]_*",
    "sys/class/hwmon/hwmon*/curr[1-3]_*",
    "sys/class/hwmon/hwmon*/oc*_event_cnt",
    "sys/bus/iio/devices/iio:device*/rail_name_*",
    "sys/bus/iio/devices/iio:device*/in_power*_input",
    "sys/class/powercap/intel-rapl:[0-9]/energy_uj",
    "sys/class/powercap/intel-rapl:[0-9]/max_energy_range_uj",
    "sys/class/apex/apex_*/temp",
    "sys/class/apex/apex_*/trip_point[0-9]_temp",
    "sys/class/devfreq/*/load",
    "sys/class/devfreq/*/cur_freq",
    "sys/class/devfreq/*/device/load",
    "sys/class/devfreq/*/device/of_node/name",
    "sys/kernel/debug/rknpu/load",
    "etc/nv_tegra_release",
    "vcgencmd/*",
    "sys/devices/system/cpu/cpufreq/policy*/scaling_*_freq",
    "sys/devices/system/cpu/cpufreq/policy*/cpuinfo_max_freq",
    "sys/devices/system/cpu/present",
    "sys/devices/system/cpu/online",
    "sys/devices/platform/soc*/*firmware*/get_throttled",
    "proc/device-tree/model",
    "proc/stat",
    "proc/meminfo",
    "proc/self/status",
    "proc/pressure/cpu",
    "proc/pressure/memory",
)
_KEEP = {  # these hold much that no sensor says, and some that is nobody's business
    "proc/stat": re.compile(r"^cpu .*\n", re.MULTILINE),
    "proc/meminfo": re.compile(r"^(?:MemTotal|MemFree|MemAvailable|Cached):.*\n", re.MULTILINE),
    "proc/self/status": re.compile(r"^Cpus_allowed_list:.*\n", re.MULTILINE),
}
_PRIVATE = re.compile(r"^POWER_SUPPLY_SERIAL_NUMBER=.*\n", re.MULTILINE)


def record(
    root: str | os.PathLike[str],
    seconds: float,
    interval_s: float,
    *,
    licence: str = "unstated",
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Recording:
    """Record the sensors under ``root`` for ``seconds``, one moment every ``interval_s``.

    Serial numbers of batteries are left out, and of ``/proc`` only the lines that telemetry reads are kept.
    """
    base, start = Path(root), clock()
    before = _sample(base)
    frames = [Frame(t_s=0.0, files=dict(before))]
    while clock() - start < seconds:
        sleep(interval_s)
        now = _sample(base)
        t_s = round(clock() - start, 3)
        if t_s > frames[-1].t_s and (changed := difference(before, now)):
            frames.append(Frame(t_s=t_s, files=changed))
        before = now
    board = before.get("proc/device-tree/model", "unknown").rstrip("\0\n")
    header = Header(schema=SCHEMA, board=board, source=f"recorded for {seconds:g} s", licence=licence)
    return Recording(header=header, frames=tuple(frames))


def _sample(base: Path) -> dict[str, str]:
    tree: dict[str, str] = {}
    for pattern in _PATTERNS:
        for path in sorted(base.glob(pattern)):
            try:
                text = path.read_bytes().decode("utf-8", "replace")
            except OSError:
                continue  # a sensor that does not answer now has no file at this moment
            name = path.relative_to(base).as_posix()
            if keep := _KEEP.get(name):
                text = "".join(keep.findall(text))
            tree[name] = _PRIVATE.sub("", text)
    return tree
