"""Makes the boards of this folder that nobody recorded, from documented facts: python make_documented.py.

Layout and units of every file are those of the kernel's and the vendors' documentation; temperatures follow the
two-pole responses and watts the figures in the README beside this file. They show how a board *speaks*, not how a
certain one behaves.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path

from edgehybrid.testing import Recording, device_files, sensor_files
from edgehybrid.testing.recording import Frame, Header, difference

HERE = Path(__file__).parent
Files = dict[str, str]
IDLE_S, LOAD_S = 120.0, 420.0  # idle until then, full load until then, idle again


def busy(t_s: float) -> bool:
    """Whether the board works at ``t_s``."""
    return IDLE_S <= t_s < LOAD_S


def heat(t_s: float, cold: float, poles: tuple[tuple[float, float], ...]) -> float:
    """Temperature of a board with these (kelvin, seconds), heated between `IDLE_S` and `LOAD_S`; steps of 0.5 °C."""
    on, off = max(t_s - IDLE_S, 0.0), max(t_s - LOAD_S, 0.0)
    rise = sum(k * (math.exp(-off / tau) - math.exp(-on / tau)) for k, tau in poles)
    return round(2 * (cold + rise)) / 2


def common(t_s: float, model: str, cores: int, mhz: float, celsius: float, kind: str) -> Files:
    """What every board has: 8 % load when idle, 97 % at work."""
    worked = min(max(t_s - IDLE_S, 0.0), LOAD_S - IDLE_S)
    busy_s = cores * (0.08 * t_s + 0.89 * worked)
    return {
        **device_files.model_files(model),
        **device_files.core_files(cores),
        **device_files.clock_files(mhz, cap_mhz=mhz, max_mhz=mhz),
        **device_files.stat_files(busy_s=busy_s, idle_s=cores * t_s - busy_s),
        **device_files.memory_files(available_mib=2500 - 300 * busy(t_s), total_mib=3900),
        **device_files.temperature_files(celsius, kind=kind),
    }


def pi4_hat(t_s: float) -> Files:
    """Raspberry Pi 4B on a HAT with two cells behind an INA219, current negative while it empties."""
    watts = (5.9 if busy(t_s) else 2.7) / 0.88
    volts = 2 * (3.92 - 0.00006 * t_s)
    volts -= 2 * 0.08 * watts / volts
    files = common(
        t_s, "Raspberry Pi 4 Model B Rev 1.4", 4, 1800, heat(t_s, 48, ((9.5, 5), (15.8, 100))), "cpu-thermal"
    )
    return files | dict(device_files.throttle_files(0)) | dict(sensor_files.ina_files(volts, -watts / volts))


def pi5_hailo(t_s: float) -> Files:
    """Raspberry Pi 5 with active cooler and Hailo-8; its power controller as ``vcgencmd pmic_read_adc`` prints it."""
    celsius = heat(t_s, 45, ((6, 8), (9, 120)))
    files = common(t_s, "Raspberry Pi 5 Model B Rev 1.0", 4, 2400, celsius, "cpu-thermal")
    files |= device_files.throttle_files(0, node=device_files.THROTTLE_NODE_PI5)
    files |= sensor_files.hailo_files()
    return files | dict(sensor_files.pmic_files(3.27 if busy(t_s) else 0.39, 1.24 if busy(t_s) else 1.16))


def pi4_coral(t_s: float) -> Files:
    """Raspberry Pi Compute Module 4 with a Coral on PCIe that heats up past its first trip point and then is lost."""
    files = common(t_s, "Raspberry Pi Compute Module 4 Rev 1.1", 4, 1500, heat(t_s, 47, ((9.5, 5), (15.8, 100))), "cpu")
    coral = -89.7 if t_s >= 480 else heat(t_s, 54, ((15, 20), (20, 150)))
    return files | dict(device_files.throttle_files(0)) | dict(sensor_files.coral_files(coral))


def jetson_nano(t_s: float) -> Files:
    """Jetson Nano with JetPack 4: rails under iio."""
    files = common(t_s, "NVIDIA Jetson Nano Developer Kit", 4, 1479, heat(t_s, 38, ((5, 8), (9, 200))), "CPU-therm")
    rails = (("POM_5V_IN", 4.5 if busy(t_s) else 3.1), ("POM_5V_GPU", 1.3 * busy(t_s)), ("POM_5V_CPU", 0.6))
    gpu = sensor_files.jetson_gpu_files(99.0 * busy(t_s), 921.6, heat(t_s, 37, ((5, 8), (9, 200))), node="57000000.gpu")
    return files | dict(sensor_files.iio_files(rails)) | dict(gpu)


def jetson_orin_nano(t_s: float) -> Files:
    """Jetson Orin Nano with JetPack 5: rails under hwmon, an over-current event under load."""
    files = common(
        t_s, "NVIDIA Jetson Orin Nano Developer Kit", 6, 1510, heat(t_s, 44, ((6, 8), (12, 200))), "cpu-thermal"
    )
    whole = 2.8 if busy(t_s) else 1.0
    rails = (("VDD_IN", 4.92, whole), ("VDD_CPU_GPU_CV", 4.9, whole * 0.5), ("VDD_SOC", 4.9, whole * 0.25))
    files |= sensor_files.ina3221_files(rails, alarm=300 <= t_s < 320)
    files |= {"sys/class/hwmon/hwmon2/name": "soctherm_oc\n"}
    files |= {"sys/class/hwmon/hwmon2/oc1_event_cnt": f"{int(t_s >= 360)}\n"}
    return files | dict(sensor_files.jetson_gpu_files(80.0 * busy(t_s), 624.75, heat(t_s, 44, ((6, 8), (11, 200)))))


def orange_pi_5(t_s: float) -> Files:
    """Orange Pi 5 (RK3588S): zones by cluster, NPU under devfreq, nothing that measures power."""
    files = common(t_s, "Orange Pi 5", 8, 1800, heat(t_s, 42, ((10, 6), (20, 150))), "soc-thermal")
    files |= device_files.temperature_files(heat(t_s, 43, ((11, 6), (20, 150))), zone=1, kind="bigcore0-thermal")
    files |= device_files.clock_files(2400, cap_mhz=2400, max_mhz=2400, policy=4)
    return files | dict(
        sensor_files.rknpu_files(64 * busy(t_s), 1000 if busy(t_s) else 300, heat(t_s, 42, ((9, 6), (18, 150))))
    )


BOARDS: dict[str, tuple[Callable[[float], Files], float, float]] = {  # made by, seconds, step
    "pi4-hat-ina219": (pi4_hat, 3600, 60),
    "pi5-hailo": (pi5_hailo, 540, 20),
    "cm4-coral": (pi4_coral, 540, 20),
    "jetson-nano": (jetson_nano, 540, 20),
    "jetson-orin-nano": (jetson_orin_nano, 540, 20),
    "orange-pi-5": (orange_pi_5, 540, 20),
}


def build(name: str) -> Recording:
    """Make one board."""
    make, seconds, step = BOARDS[name]
    frames: list[Frame] = []
    before: Files = {}
    for n in range(int(seconds / step) + 1):
        tree = make(n * step)
        frames.append(Frame(t_s=n * step, files=difference(before, tree)))
        before = tree
    source = "made from documented facts, not recorded; see README.md and make_documented.py"
    header = Header(schema=1, board=before["proc/device-tree/model"].rstrip("\0"), source=source, licence="Apache-2.0")
    return Recording(header=header, frames=tuple(frames))


def main() -> None:
    """Write every board."""
    for name in BOARDS:
        recording = build(name)
        recording.save(HERE / f"{name}.recording.jsonl")
        sys.stdout.write(f"{name}: {recording.duration_s:.0f} s\n")


if __name__ == "__main__":
    main()
