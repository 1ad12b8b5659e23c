"""The board around an emulated processor: its ``/sys`` and ``/proc`` files, which tests change while an app runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgehybrid.testing import DeviceTree

CORES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A Raspberry Pi: what its device tree and ``/proc/cpuinfo`` say, and the processor that stands in for it."""

    title: str
    cpu: str
    part: str
    variant: str
    revision: int
    features: str
    max_mhz: int
    memory_mib: int


_PLAIN = "fp asimd evtstrm crc32 cpuid"
MODELS = {
    "pi3": Model(
        title="Raspberry Pi 3 Model B Plus Rev 1.3", cpu="cortex-a53", part="0xd03", variant="0x0", revision=4,
        features=_PLAIN, max_mhz=1400, memory_mib=927,
    ),
    "pi4": Model(
        title="Raspberry Pi 4 Model B Rev 1.5", cpu="cortex-a72", part="0xd08", variant="0x0", revision=3,
        features=_PLAIN, max_mhz=1800, memory_mib=3793,
    ),
    "pi5": Model(
        title="Raspberry Pi 5 Model B Rev 1.0", cpu="cortex-a76", part="0xd0b", variant="0x4", revision=1,
        features="fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp",
        max_mhz=2400, memory_mib=8057,
    ),
}  # fmt: skip
"""By the name that tests use. Features are those of the board, not of the emulated core, which has AES on a Pi 4."""


def make_board(folder: Path, model: Model) -> DeviceTree:
    """Write the files of a board on a charged battery; its ``sys`` and ``proc`` are bound over the guest's."""
    tree = DeviceTree(folder).model(model.title).cores(CORES)
    tree.battery(name="ups", pct=90, energy_full_wh=37, power_w=4.0).mains(False, name="ups-charger")
    tree.temperature(48.0).throttled(0).clock(model.max_mhz, max_mhz=model.max_mhz)
    tree.memory(model.memory_mib * 0.7, total_mib=model.memory_mib)
    core = (
        "processor\t: {}\nBogoMIPS\t: 108.00\nFeatures\t: {}\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
        "CPU variant\t: {}\nCPU part\t: {}\nCPU revision\t: {}\n\n"
    )
    cores = "".join(core.format(n, model.features, model.variant, model.part, model.revision) for n in range(CORES))
    tree.write("proc/cpuinfo", f"{cores}Model\t\t: {model.title}\n")
    tree.write("sys/firmware/devicetree/base/model", f"{model.title}\0")
    for name in ("online", "possible", "present"):
        tree.write(f"sys/devices/system/cpu/{name}", f"0-{CORES - 1}\n")
    for n in range(CORES):
        for name, value in {"physical_package_id": 0, "cluster_id": 0, "core_id": n}.items():
            tree.write(f"sys/devices/system/cpu/cpu{n}/topology/{name}", f"{value}\n")
    return tree
