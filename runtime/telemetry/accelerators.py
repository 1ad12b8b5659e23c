"""Which accelerators are there, by their device nodes; whether they are well is for the back ends to find out."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_NODES = (
    ("Hailo", "dev/hailo*", "needs HailoRT"),
    ("Coral (PCIe)", "dev/apex_*", "needs the Edge TPU runtime"),
    ("Rockchip NPU", "sys/class/devfreq/*.npu", "needs RKNN runtime"),
    ("Jetson", "etc/nv_tegra_release", "GPU through CUDA or TensorRT"),
    ("Ethos-U", "dev/ethosu*", "needs the Ethos-U driver stack"),
    ("accelerator", "dev/accel/accel*", "a driver of the kernel's accel subsystem"),
    ("GPU", "dev/dri/renderD*", "usable if a back end names it below"),
)
_CORAL_USB = {("1a6e", "089a"), ("18d1", "9302")}  # before and after its firmware is loaded


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceleratorReport:
    """One accelerator that the device shows."""

    name: str
    path: str
    note: str


def find_accelerators(root: str | os.PathLike[str] = "/") -> tuple[AcceleratorReport, ...]:
    """Look for the nodes of accelerators that we know under ``root``. Opens none of them."""
    base = Path(root)
    found = [
        AcceleratorReport(name=name, path="/" + str(path.relative_to(base)), note=note)
        for name, pattern, note in _NODES
        for path in sorted(base.glob(pattern))
    ]
    found += [
        AcceleratorReport(name="Coral (USB)", path="/" + str(path.relative_to(base)), note="needs the Edge TPU runtime")
        for path in sorted(base.glob("sys/bus/usb/devices/*"))
        if (_text(path / "idVendor"), _text(path / "idProduct")) in _CORAL_USB
    ]
    return tuple(found)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
