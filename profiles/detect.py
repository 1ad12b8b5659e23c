"""Finds the profile of the board that we run on."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

from edgehybrid.profiles.loader import device_names, load_device
from edgehybrid.profiles.schema import Cpu, DeviceProfile, Power

GENERIC = "generic-linux"
_MODEL = ("proc/device-tree/model", "sys/firmware/devicetree/base/model")
_FLAGS = {  # as /proc/cpuinfo spells them
    "asimd": "neon",
    "neon": "neon",
    "asimddp": "dotprod",
    "asimdhp": "fp16",
    "i8mm": "i8mm",
    "avx2": "avx2",
    "avx512_vnni": "avx512_vnni",
    "avx_vnni": "avx_vnni",
}


def detect_device(root: str | os.PathLike[str] = "/") -> DeviceProfile:
    """Return the profile of the board whose files lie under ``root``.

    A board is known by the model name in its device tree. Any other becomes ``generic-linux``, adapted to its
    own core count, clock and memory. Never raises for what such a tree contains.
    """
    base = Path(root)
    model = next((m for m in (_text(base / path).rstrip("\0 \n") for path in _MODEL) if m), "")
    best, length = None, 0
    for name in device_names():
        device = load_device(name)
        for known in device.models:
            if model.startswith(known) and len(known) > length:
                best, length = device, len(known)
    return best if best is not None else _adapted(load_device(GENERIC), base, model)


def _adapted(generic: DeviceProfile, base: Path, model: str) -> DeviceProfile:
    info = _text(base / "proc/cpuinfo")
    cores = _cores(_text(base / "sys/devices/system/cpu/present"), info) or generic.cpu.cores
    khz = re.fullmatch(r"\d{4,8}", _text(base / "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq").strip())
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", info, re.MULTILINE)
    names = (flags[1].split() if flags else []) if len(info) < 1_000_000 else []
    cpu_name = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", info, re.MULTILINE)
    total = re.search(r"^MemTotal:\s+(\d{1,12}) kB", _text(base / "proc/meminfo"), re.MULTILINE)
    power = generic.power
    step = (power.busy_w[-1] - power.idle_w) / len(power.busy_w)
    busy = tuple(round(power.idle_w + step * n, 3) for n in range(1, cores + 1))
    return replace(
        generic,
        title=f"{model} (generic figures)" if model else generic.title,
        cpu=Cpu(
            name=cpu_name[1].strip() if cpu_name else generic.cpu.name,
            cores=cores,
            max_mhz=int(khz[0]) / 1000 if khz else None,
            isa=tuple(sorted({_FLAGS[n] for n in names if n in _FLAGS})),
        ),
        power=Power(idle_w=power.idle_w, busy_w=busy, uncertainty=power.uncertainty),
        memory_mib=int(total[1]) // 1024 if total else None,
    )


def _cores(present: str, info: str) -> int | None:
    """Count cores from ``0-3`` or, failing that, from the ``processor`` lines of cpuinfo."""
    span = re.fullmatch(r"0-(\d{1,3})|0", present.strip())
    if span:
        return int(span[1]) + 1 if span[1] else 1
    return len(re.findall(r"^processor\s*:", info, re.MULTILINE)) or None


def _text(path: Path) -> str:
    """Content of a file, or nothing: a board may lack it, or forbid it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        parts, size = [], 0
        while size < 1_000_000 and (part := os.read(fd, 65536)):
            parts.append(part)
            size += len(part)
    except OSError:
        return ""
    finally:
        os.close(fd)
    return b"".join(parts).decode("utf-8", "replace")
