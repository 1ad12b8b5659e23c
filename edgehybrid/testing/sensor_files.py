"""What the files of power chips and accelerators hold. Pure: figures in, texts by path out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Files = Mapping[str, str]
_PMIC = (
    *("3V7_WL_SW", "3V3_SYS", "1V8_SYS", "DDR_VDD2", "DDR_VDDQ", "1V1_SYS", "0V8_SW", "VDD_CORE"),
    *("3V3_DAC", "3V3_ADC", "0V8_AON", "HDMI"),
)
_CORE = _PMIC.index("VDD_CORE")


def ina_files(volts: float, amps: float, *, chip: str = "ina219", index: int = 0) -> Files:
    """Write an INA219 or INA226 under hwmon: bus mV, mA, µW; ``amps`` with the sign of its wiring."""
    folder = f"sys/class/hwmon/hwmon{index}"
    return {
        f"{folder}/name": f"{chip}\n",
        f"{folder}/in0_input": f"{amps * 10:.0f}\n",  # the shunt
        f"{folder}/in1_input": f"{volts * 1000:.0f}\n",
        f"{folder}/curr1_input": f"{amps * 1000:.0f}\n",
        f"{folder}/power1_input": f"{volts * abs(amps) * 1e6:.0f}\n",
        f"{folder}/shunt_resistor": "10000\n",
    }


def ina3221_files(
    rails: Sequence[tuple[str, float, float]], *, index: int = 1, alarm: bool = False, folder: str = ""
) -> Files:
    """Write an INA3221 as JetPack 5 shows it: up to three rails as (label, volts, amps), shunts and their sum.

    ``alarm`` raises ``curr1_crit_alarm``; ``folder`` is for systems that show it elsewhere.
    """
    base = folder or f"sys/class/hwmon/hwmon{index}"
    files = {f"{base}/name": "ina3221\n", f"{base}/in7_label": "sum of shunt voltages\n", f"{base}/in7_input": "9\n"}
    for n, (label, volts, amps) in enumerate(rails, start=1):
        files |= {
            f"{base}/in{n}_label": f"{label}\n",
            f"{base}/in{n}_input": f"{volts * 1000:.0f}\n",
            f"{base}/curr{n}_input": f"{amps * 1000:.0f}\n",
            f"{base}/curr{n}_crit_alarm": f"{int(alarm and n == 1)}\n",
            f"{base}/curr{n}_max_alarm": "0\n",
            f"{base}/in{n + 3}_input": f"{amps * 5:.0f}\n",  # the shunt
        }
    return files


def iio_files(rails: Sequence[tuple[str, float]], *, device: int = 0) -> Files:
    """Write an INA3221 as JetPack 4 shows it: up to three rails as (name, watts)."""
    base = f"sys/bus/iio/devices/iio:device{device}"
    files = {f"{base}/name": "ina3221x\n"}
    for n, (name, watts) in enumerate(rails):
        files |= {f"{base}/rail_name_{n}": f"{name}\n", f"{base}/in_power{n}_input": f"{watts * 1000:.0f}\n"}
    return files


def pmic_files(core_w: float, others_w: float) -> Files:
    """Write what ``vcgencmd pmic_read_adc`` prints: the core's watts, and those of the other eleven rails together."""
    lines = []
    for n, rail in enumerate(_PMIC):
        watts = core_w if n == _CORE else others_w / (len(_PMIC) - 1)
        lines.append(f"{rail}_A current({n})={watts:.8f}A")
    lines += [f"{rail}_V volt({n})=1.00000000V" for n, rail in enumerate(_PMIC, start=len(_PMIC))]
    lines += ["EXT5V_V volt(24)=5.12345000V", "BATT_V volt(25)=0.00292000V"]
    return {"vcgencmd/pmic_read_adc": "\n".join(lines) + "\n"}


def coral_files(celsius: float, *, trips: Sequence[float] = (84.8, 89.8, 94.8)) -> Files:
    """Write a Coral on PCIe; -89.7 °C is what one says that has gone."""
    base = "sys/class/apex/apex_0"
    files = {f"{base}/temp": f"{celsius * 1000:.0f}\n", "dev/apex_0": ""}
    return files | {f"{base}/trip_point{n}_temp": f"{t * 1000:.0f}\n" for n, t in enumerate(trips)}


def hailo_files(*, node: bool = True) -> Files:
    """Write a Hailo-8 on PCIe; without its device node when its driver is not loaded."""
    base = "sys/bus/pci/devices/0001:01:00.0"
    files = {f"{base}/vendor": "0x1e60\n", f"{base}/device": "0x2864\n"}
    return files | ({"dev/hailo0": ""} if node else {})


def rknpu_files(load_pct: int, mhz: float, celsius: float, *, node: str = "fdab0000.npu", zone: int = 6) -> Files:
    """Write a Rockchip NPU: devfreq and its thermal zone."""
    base, heat = f"sys/class/devfreq/{node}", f"sys/class/thermal/thermal_zone{zone}"
    return {
        f"{base}/load": f"{load_pct}@{mhz * 1e6:.0f}Hz\n",
        f"{base}/cur_freq": f"{mhz * 1e6:.0f}\n",
        f"{heat}/type": "npu-thermal\n",
        f"{heat}/temp": f"{celsius * 1000:.0f}\n",
    }


def jetson_gpu_files(
    load_pct: float, mhz: float, celsius: float, *, node: str = "17000000.gpu", zone: int = 1
) -> Files:
    """Write the GPU of a Jetson: devfreq, load per mille, thermal zone."""
    base, heat = f"sys/class/devfreq/{node}", f"sys/class/thermal/thermal_zone{zone}"
    return {
        "etc/nv_tegra_release": "# R35 (release), REVISION: 4.1\n",
        f"{base}/device/of_node/name": "gpu\0",
        f"{base}/device/load": f"{load_pct * 10:.0f}\n",
        f"{base}/cur_freq": f"{mhz * 1e6:.0f}\n",
        f"{heat}/type": "gpu-thermal\n",
        f"{heat}/temp": f"{celsius * 1000:.0f}\n",
    }


def rapl_files(joules: float, *, wraps_at_j: float = 262143.33) -> Files:
    """Write the energy counter of one processor package."""
    base = "sys/class/powercap/intel-rapl:0"
    counter = joules % wraps_at_j * 1e6
    return {
        f"{base}/name": "package-0\n",
        f"{base}/energy_uj": f"{counter:.0f}\n",
        f"{base}/max_energy_range_uj": f"{wraps_at_j * 1e6:.0f}\n",
    }
