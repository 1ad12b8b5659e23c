"""A device made of files: the kernel's own layout under any folder, for tests, simulators and demonstrations."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from edgehybrid.errors import OutputError, RequestError
from edgehybrid.testing import device_files as content
from edgehybrid.testing import sensor_files as sensors
from edgehybrid.testing.device_files import Family, Files

_PARTS: Mapping[str, tuple[str, ...]] = {
    "battery": ("sys/class/power_supply",),
    "temperature": ("sys/class/thermal",),
    "clock": ("sys/devices/system/cpu/cpufreq",),
    "pressure": ("proc/pressure",),
    "memory": ("proc/meminfo",),
    "stat": ("proc/stat",),
    "throttled": (content.THROTTLE_NODE, content.THROTTLE_NODE_PI5),
    "model": ("proc/device-tree",),
    "rails": ("sys/class/hwmon", "sys/bus/iio"),
    "accelerator": ("dev", "sys/class/apex", "sys/class/devfreq"),
    "quota": ("sys/fs/cgroup", "proc/self/cgroup"),
}


def write_file(root: Path, path: str, data: bytes) -> None:
    """Write ``root/path`` at once: a reader sees the old content or the new, never half of it.

    Raises:
        OutputError: It cannot be written; nothing half-written stays.
    """
    target = root / path
    fresh = target.with_name(f".{target.name}.new")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(data)
        os.replace(fresh, target)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise OutputError(
            f"{target} cannot be written: {error.strerror}.", "Check the folder and its space."
        ) from error


class DeviceTree:
    """A fake ``/proc`` and ``/sys`` under a folder, to be given to ``Telemetry(root=...)``.

    Each method writes the files of one sensor and returns the tree, so that calls chain. Ready boards:
    `pi4_ups`, `pi4_hat`, `pi5`, `zero2w`, `jetson_orin_nano`, `jetson_nano`, `orange_pi_5`, `laptop`, `container`.

    Args:
        path: Folder of the tree; made when it is absent.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.root = Path(path)
        self.root.mkdir(parents=True, exist_ok=True)
        self._busy_s = 0.0
        self._idle_s = 0.0
        self._cores = 1
        self._node = content.THROTTLE_NODE

    @classmethod
    def pi4_ups(cls, path: str | os.PathLike[str]) -> DeviceTree:
        """Make a Raspberry Pi 4B on a UPS HAT with an energy gauge, at work."""
        tree = cls(path).model("Raspberry Pi 4 Model B Rev 1.4").battery(name="ups").mains(False, name="ups-charger")
        return tree._board(4, 1500, 1800, 3500, 3000).temperature(61.5).throttled(0)

    @classmethod
    def pi5(cls, path: str | os.PathLike[str]) -> DeviceTree:
        """Make a Raspberry Pi 5 on its power supply, without a battery."""
        tree = cls(path).model("Raspberry Pi 5 Model B Rev 1.0")
        tree._node = content.THROTTLE_NODE_PI5
        return tree._board(4, 1500, 2400, 7000, 8000).temperature(48.2).throttled(0)

    @classmethod
    def pi4_hat(cls, path: str | os.PathLike[str]) -> DeviceTree:
        """Make a Raspberry Pi 4B on a HAT with two cells that shows only an INA219 on their wire; a Coral on USB."""
        tree = cls(path).model("Raspberry Pi 4 Model B Rev 1.4")
        tree._files(sensors.ina_files(7.6, -0.82))
        usb = "sys/bus/usb/devices/2-1"
        tree.write(f"{usb}/idVendor", "18d1\n").write(f"{usb}/idProduct", "9302\n")
        return tree._board(4, 1500, 1800, 3500, 3000).temperature(58.4).throttled(0)

    @classmethod
    def jetson_orin_nano(cls, path: str | os.PathLike[str]) -> DeviceTree:
        """Make a Jetson Orin Nano with JetPack 5: an INA3221 with the whole module on its first rail."""
        tree = cls(path).model("NVIDIA Jetson Orin Nano Developer Kit")
        rails = (("VDD_IN", 4.92, 1.25), ("VDD_CPU_GPU_CV", 4.91, 0.42), ("VDD_SOC", 4.91, 0.31))
        tree._files(sensors.ina3221_files(rails))._files(sensors.jetson_gpu_files(37.5, 624.75, 47.1))
        tree.write("sys/class/hwmon/hwmon2/name", "soctherm_oc\n").write("sys/class/hwmon/hwmon2/oc1_event_cnt", "0\n")
        return tree._board(6, 1510, 1510, 5200, 7620).temperature(48.3)

    @classmethod
    def jetson_nano(cls, path: str | os.PathLike[str]) -> DeviceTree:
        """Make a Jetson Nano with JetPack 4: rails under iio, the total named ``POM_5V_IN``."""
        tree = cls(path).model("NVIDIA Jetson Nano Developer Kit")
        rails = (("POM_5V_IN", 4.3), ("POM_5V_GPU", 1.1), ("POM_5V_CPU", 0.9))
        tree._files(sensors.iio_files(rails))
        tree._files(sensors.jetson_gpu_files(99.0, 921.6, 43.5, node="57000000.gpu"))
        return tree._board(4, 1479, 1479, 2100, 3956).temperature(45.0, kind="CPU-therm")

    @classmethod
    def orange_pi_5(cls, path: str | os.PathLike[str]) -> DeviceTree:
        """Make an Orange Pi 5 (RK3588S): zones by cluster, two kinds of core, an NPU, no firmware bits, no battery."""
        tree = cls(path).model("Orange Pi 5")
        for zone, kind in enumerate(("soc", "bigcore0", "bigcore1", "littlecore", "center")):
            tree.temperature(51.0 + zone / 2, zone=zone, kind=f"{kind}-thermal")
        tree._files(sensors.rknpu_files(37, 800, 52.7))._board(8, 1800, 1800, 6000, 7900)
        return tree._files(content.clock_files(1416, cap_mhz=2400, max_mhz=2400, policy=4))

    @classmethod
    def zero2w(cls, path: str | os.PathLike[str]) -> DeviceTree:
        """Make a Raspberry Pi Zero 2 W with a MAX17040 gauge: percent and voltage, status unknown, no current."""
        tree = cls(path).model("Raspberry Pi Zero 2 W Rev 1.0")
        tree.battery(pct=71, power_w=None, status="Unknown", family="capacity", name="max17040")
        return tree._board(4, 600, 1000, 280, 416).temperature(44.0).throttled(0)

    @classmethod
    def laptop(cls, path: str | os.PathLike[str]) -> DeviceTree:
        """Make a laptop: two batteries, mains, a mouse with a battery of its own, several zones."""
        tree = cls(path).battery(name="BAT0", pct=60, energy_full_wh=24, power_w=6, volts=11.4)
        tree.battery(name="BAT1", pct=90, energy_full_wh=48, power_w=0, status="Not charging", volts=11.4)
        mouse = "POWER_SUPPLY_NAME=hid\nPOWER_SUPPLY_TYPE=Battery\nPOWER_SUPPLY_SCOPE=Device\nPOWER_SUPPLY_CAPACITY=5\n"
        tree.mains(False).write("sys/class/power_supply/hid/uevent", mouse)
        tree.temperature(25.0, zone=0, kind="acpitz").temperature(52.0, zone=1, kind="x86_pkg_temp")
        return tree._board(8, 1800, 4200, 9000, 16000)

    @classmethod
    def container(cls, path: str | os.PathLike[str]) -> DeviceTree:
        """Make a container: no sensors at all, a quota of 1.5 cores and 512 MiB."""
        tree = cls(path)._base(16, 30000, 64000)
        return tree.quota(cores=1.5, limit_mib=512, used_mib=112)

    def write(self, path: str, text: str | bytes) -> DeviceTree:
        """Write any file of the tree, ``path`` without a leading slash."""
        write_file(self.root, path, text if isinstance(text, bytes) else text.encode())
        return self

    def battery(
        self,
        *,
        pct: float = 80.0,
        energy_full_wh: float = 37.0,
        power_w: float | None = 5.0,
        status: str = "Discharging",
        volts: float = 3.7,
        family: Family = "energy",
        name: str = "BAT0",
    ) -> DeviceTree:
        """Write a battery; see `battery_files` for the meaning of each figure."""
        return self._files(
            content.battery_files(
                pct=pct,
                energy_full_wh=energy_full_wh,
                power_w=power_w,
                status=status,
                volts=volts,
                family=family,
                name=name,
            )
        )

    def mains(self, online: bool, *, name: str = "AC") -> DeviceTree:
        """Plug the mains in or out."""
        return self._files(content.mains_files(online=online, name=name))

    def temperature(self, celsius: float, *, zone: int = 0, kind: str = "cpu-thermal") -> DeviceTree:
        """Set the temperature of a zone."""
        return self._files(content.temperature_files(celsius, zone=zone, kind=kind))

    def clock(self, mhz: float, *, cap_mhz: float | None = None, max_mhz: float | None = None) -> DeviceTree:
        """Set the clock, its ceiling and the most that the hardware can; each defaults to the one before."""
        cap = cap_mhz if cap_mhz is not None else mhz
        return self._files(content.clock_files(mhz, cap_mhz=cap, max_mhz=max_mhz if max_mhz is not None else cap))

    def load(self, pct: float, seconds: float) -> DeviceTree:
        """Let ``seconds`` pass with all cores together ``pct`` percent busy."""
        self._busy_s += self._cores * seconds * pct / 100
        self._idle_s += self._cores * seconds * (1 - pct / 100)
        return self._files(content.stat_files(busy_s=self._busy_s, idle_s=self._idle_s))

    def pressure(self, cpu_pct: float = 0.0, memory_pct: float = 0.0) -> DeviceTree:
        """Set pressure stall information."""
        return self._files(content.pressure_files(cpu_pct=cpu_pct, memory_pct=memory_pct))

    def memory(self, available_mib: float, *, total_mib: float = 4096.0) -> DeviceTree:
        """Set available memory."""
        return self._files(content.memory_files(available_mib=available_mib, total_mib=total_mib))

    def cores(self, count: int) -> DeviceTree:
        """Set how many cores there are."""
        self._cores = count
        return self._files(content.core_files(count))

    def quota(self, cores: float | None = None, *, limit_mib: float | None = None, used_mib: float = 0.0) -> DeviceTree:
        """Put us into a control group with limits."""
        return self._files(content.quota_files(cores=cores, limit_mib=limit_mib, used_mib=used_mib))

    def throttled(self, bits: int) -> DeviceTree:
        """Set the bits of the Raspberry Pi firmware."""
        return self._files(content.throttle_files(bits, node=self._node))

    def ina(self, volts: float, amps: float, *, chip: str = "ina219", index: int = 0) -> DeviceTree:
        """Write an INA219 or INA226; see `sensor_files.ina_files`."""
        return self._files(sensors.ina_files(volts, amps, chip=chip, index=index))

    def pmic(self, core_w: float, others_w: float) -> DeviceTree:
        """Write what the power controller of a Raspberry Pi 5 says."""
        return self._files(sensors.pmic_files(core_w, others_w))

    def coral(self, celsius: float) -> DeviceTree:
        """Write a Coral on PCIe."""
        return self._files(sensors.coral_files(celsius))

    def hailo(self, *, node: bool = True) -> DeviceTree:
        """Write a Hailo-8, with or without its driver."""
        return self._files(sensors.hailo_files(node=node))

    def model(self, name: str) -> DeviceTree:
        """Set the model name of the board."""
        return self._files(content.model_files(name))

    def remove(self, what: str) -> DeviceTree:
        """Take a sensor away (``battery``, ``temperature``, ...), or one path of the tree.

        Raises:
            RequestError: There is nothing of that name.
        """
        gone = [p for p in (self.root / path for path in _PARTS.get(what, (what,))) if os.path.lexists(p)]
        if not gone:
            raise RequestError(f"The tree has no {what!r}.", f"Name a path in it, or one of {', '.join(_PARTS)}.")
        for path in gone:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        return self

    def garbage(self, path: str, data: bytes = b"\x00\xff\xfe garbage \x80\n") -> DeviceTree:
        """Put bytes into a file that no kernel would write."""
        return self.write(path, data)

    def _files(self, files: Files) -> DeviceTree:
        for path, text in files.items():
            self.write(path, text)
        return self

    def _base(self, cores: int, available_mib: float, total_mib: float) -> DeviceTree:
        return self.cores(cores).memory(available_mib, total_mib=total_mib).pressure().load(25, 60)

    def _board(self, cores: int, mhz: float, max_mhz: float, available_mib: float, total_mib: float) -> DeviceTree:
        return self._base(cores, available_mib, total_mib).clock(mhz, cap_mhz=max_mhz)
