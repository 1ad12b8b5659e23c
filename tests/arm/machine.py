"""A whole emulated machine with a kernel of its own, for what user emulation cannot tell: memory.

Needs ``qemu-system-arm`` and ``cpio`` on this machine; Debian's arm64 kernel is fetched (60 MB).
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.arm.root import CannotHaveError, arm_packages

LIMIT_S = 900
MEMORY_MB = 1536  # its file system lies in it, too

INIT = """#!/bin/sh
mount() { python3 -c 'import ctypes, sys
ctypes.CDLL(None).mount(*(a.encode() for a in sys.argv[1:4]), 0, None)' "$@"; }
mount proc /proc proc; mount sysfs /sys sysfs; mount devtmpfs /dev devtmpfs; mount tmpfs /tmp tmpfs
exec < /dev/console > /dev/console 2>&1
export HOME=/home/pi PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
cd /home/pi
sh /command && echo MACHINE-DONE
python3 -c 'import ctypes; ctypes.CDLL(None).reboot(0x4321FEDC)'
"""


def run_machine(place: Path, words: Sequence[str], *, cpu: str, files: Sequence[Path], counted: bool = False) -> str:
    """Boot, run ``words`` as the only thing, and return what the console showed.

    Args:
        place: Where the root lies.
        words: The command.
        cpu: As QEMU names it.
        files: Copied to ``/mnt``.
        counted: Whether its clock counts its instructions, one a nanosecond.

    Raises:
        CannotHaveError: A program or the kernel cannot be had.
    """
    for program in ("qemu-system-aarch64", "cpio"):
        if shutil.which(program) is None:
            raise CannotHaveError(f"{program} is not installed (apt install qemu-system-arm cpio)")
    kernel, work = _kernel(place), place / "machine"
    shutil.rmtree(work, ignore_errors=True)
    for folder in ("proc", "sys", "dev", "tmp", "mnt"):
        (work / folder).mkdir(parents=True)
    for path in files:
        shutil.copy(path, work / "mnt")
    (work / "init").write_text(INIT)
    (work / "init").chmod(0o755)
    (work / "command").write_text(" ".join(words) + "\n")
    initrd = place / "machine.cpio"
    skip = "\\( -path ./proc -o -path ./sys -o -path ./dev -o -path ./mnt -o -path ./.binfmt \\) -prune -o -print"
    with initrd.open("wb") as out:
        for part, find in ((place / "root", f"find . {skip}"), (work, "find .")):
            subprocess.run(["sh", "-c", f"{find} | cpio -o -H newc --quiet"], cwd=part, stdout=out, check=True)
    clock = ["-smp", "1", "-icount", "shift=0,sleep=off"] if counted else ["-smp", "2"]
    done = subprocess.run(
        ["qemu-system-aarch64", "-M", "virt", "-cpu", cpu, *clock, "-m", str(MEMORY_MB), "-nographic",
         "-no-reboot", "-nic", "none", "-kernel", str(kernel), "-initrd", str(initrd),
         "-append", "console=ttyAMA0 quiet panic=-1 rootfstype=ramfs rdinit=/init"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=LIMIT_S,
    )  # fmt: skip
    initrd.unlink()
    if "MACHINE-DONE" not in done.stdout:
        raise RuntimeError(f"the machine ended early: {done.stdout[-1500:]} {done.stderr[-500:]}")
    return done.stdout.replace("\r", "")


def _kernel(place: Path) -> Path:
    found = sorted((place / "tools" / "boot").glob("vmlinuz-*"))
    if not found:
        archive = arm_packages(place / "kernel", ("linux-image-arm64",), only="linux-image-6")[-1]
        data = subprocess.run(["dpkg-deb", "--fsys-tarfile", archive], capture_output=True, check=True).stdout
        wanted = ["tar", "-x", "--wildcards", "./boot/vmlinuz-*"]
        subprocess.run(wanted, input=data, cwd=place / "tools", check=True)
        found = sorted((place / "tools" / "boot").glob("vmlinuz-*"))
    return found[-1]
