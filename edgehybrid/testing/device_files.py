"""What the kernel's files hold for a given state of a device. Pure: figures in, texts by path out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Files = Mapping[str, str]
Family = Literal["energy", "charge", "capacity"]
THROTTLE_NODE = "sys/devices/platform/soc/soc:firmware/get_throttled"
THROTTLE_NODE_PI5 = "sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled"
_HZ = 100  # clock ticks per second in /proc/stat


def supply_folder(name: str) -> str:
    """Folder of one power supply."""
    return f"sys/class/power_supply/{name}"


def battery_files(
    *,
    pct: float = 80.0,
    energy_full_wh: float = 37.0,
    power_w: float | None = 5.0,
    status: str = "Discharging",
    volts: float = 3.7,
    family: Family = "energy",
    name: str = "BAT0",
) -> Files:
    """Write a battery as its driver would, by the kernel's rules.

    Args:
        pct: Charge; the gauge shows whole percent, its energy is exact.
        energy_full_wh: Energy when full.
        power_w: Size of the power; its sign follows ``status``. ``None`` for a driver without current.
        status: As the kernel spells it: ``Charging``, ``Discharging``, ``Full``, ``Not charging``, ``Unknown``.
        volts: Voltage, nominal and present.
        family: ``energy`` (µWh), ``charge`` (µAh), or ``capacity``: percent and voltage only, as a MAX17040.
        name: Name of the supply.
    """
    lines = {"NAME": name, "TYPE": "Battery", "STATUS": status, "PRESENT": "1", "CAPACITY": f"{int(pct)}"}
    lines["VOLTAGE_NOW"] = f"{volts * 1e6:.0f}"
    if family != "capacity":
        unit = 1e6 if family == "energy" else 1e6 / volts
        lines["VOLTAGE_MIN_DESIGN"] = f"{volts * 1e6:.0f}"
        lines[f"{family.upper()}_FULL"] = f"{energy_full_wh * unit:.0f}"
        lines[f"{family.upper()}_NOW"] = f"{energy_full_wh * pct / 100 * unit:.0f}"
    if power_w is not None:
        sign = 1 if status == "Charging" else -1
        lines["CURRENT_NOW"] = f"{sign * power_w / volts * 1e6:.0f}"
    text = "".join(f"POWER_SUPPLY_{k}={v}\n" for k, v in lines.items())
    return {f"{supply_folder(name)}/type": "Battery\n", f"{supply_folder(name)}/uevent": text}


def mains_files(*, online: bool, name: str = "AC") -> Files:
    """Write a mains adapter."""
    text = f"POWER_SUPPLY_NAME={name}\nPOWER_SUPPLY_TYPE=Mains\nPOWER_SUPPLY_ONLINE={int(online)}\n"
    return {f"{supply_folder(name)}/type": "Mains\n", f"{supply_folder(name)}/uevent": text}


def temperature_files(celsius: float, *, zone: int = 0, kind: str = "cpu-thermal") -> Files:
    """Write a thermal zone."""
    folder = f"sys/class/thermal/thermal_zone{zone}"
    return {f"{folder}/type": f"{kind}\n", f"{folder}/temp": f"{celsius * 1000:.0f}\n"}


def clock_files(mhz: float, *, cap_mhz: float, max_mhz: float, policy: int = 0) -> Files:
    """Write a frequency policy."""
    folder = f"sys/devices/system/cpu/cpufreq/policy{policy}"
    figures = {"scaling_cur_freq": mhz, "scaling_max_freq": cap_mhz, "cpuinfo_max_freq": max_mhz}
    return {f"{folder}/{file}": f"{value * 1000:.0f}\n" for file, value in figures.items()}


def stat_files(*, busy_s: float, idle_s: float) -> Files:
    """Write the first line of ``/proc/stat``: seconds of all cores since boot."""
    busy, idle = round(busy_s * _HZ), round(idle_s * _HZ)
    return {"proc/stat": f"cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\n"}


def pressure_files(*, cpu_pct: float = 0.0, memory_pct: float = 0.0) -> Files:
    """Write pressure stall information; the longer averages repeat the short one."""
    out = {}
    for file, value in (("cpu", cpu_pct), ("memory", memory_pct)):
        some = f"avg10={value:.2f} avg60={value:.2f} avg300={value:.2f} total=0"
        out[f"proc/pressure/{file}"] = f"some {some}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
    return out


def memory_files(*, available_mib: float, total_mib: float) -> Files:
    """Write ``/proc/meminfo``."""
    free, total = round(available_mib * 1024), round(total_mib * 1024)
    return {"proc/meminfo": f"MemTotal: {total:>15} kB\nMemFree: {free // 2:>16} kB\nMemAvailable: {free:>11} kB\n"}


def core_files(count: int) -> Files:
    """Write which cores there are, and that we may use all of them."""
    span = f"0-{count - 1}" if count > 1 else "0"
    return {
        "sys/devices/system/cpu/present": f"{span}\n",
        "sys/devices/system/cpu/online": f"{span}\n",
        "proc/self/status": f"Name:\tpython\nCpus_allowed_list:\t{span}\n",
    }


def quota_files(*, cores: float | None = None, limit_mib: float | None = None, used_mib: float = 0.0) -> Files:
    """Write a control group of the second generation; ``None`` for no limit."""
    quota = "max" if cores is None else f"{cores * 100_000:.0f}"
    limit = "max" if limit_mib is None else f"{limit_mib * 1024 * 1024:.0f}"
    base = "sys/fs/cgroup/app"
    return {
        "proc/self/cgroup": "0::/app\n",
        f"{base}/cpu.max": f"{quota} 100000\n",
        f"{base}/memory.max": f"{limit}\n",
        f"{base}/memory.current": f"{used_mib * 1024 * 1024:.0f}\n",
        f"{base}/memory.stat": "anon 0\ninactive_file 0\n",
    }


def throttle_files(bits: int, *, node: str = THROTTLE_NODE) -> Files:
    """Write the firmware's bits, in hexadecimal without ``0x`` as the kernel does."""
    return {node: f"{bits:x}\n"}


def model_files(model: str) -> Files:
    """Write the device tree's model name, which ends in a NUL."""
    return {"proc/device-tree/model": f"{model}\0"}
