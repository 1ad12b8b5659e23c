"""Running things on the emulated board: as an ordinary user in namespaces, or with every instruction counted."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.arm.root import CannotHaveError, build, host_files

PASSED_ON = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "http_proxy", "https_proxy", "no_proxy")
MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"  # a 64-bit program for Arm
MASK = r"\xff\xff\xff\xff\xff\xff\xff" + r"\x00" + r"\xff" * 8 + r"\xfe\xff\xff\xff"
MARK = 0x5ED0000  # os.getsid of this number and more: fails harmlessly anywhere, and the counter sees it
PLUGIN = Path(__file__).with_name("count.c")
MALLOC = "glibc.malloc.tcache_count=65535:glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=1073741824"
"""glibc's settings for counting: small blocks come from a list of their size, large ones from the heap.

With its own settings malloc takes longer or shorter ways by what was freed before, and by where the kernel maps large
blocks: up to 0.9 % of a short inference, and not the same in two processes.
"""

ENTER = r"""
set -eu
mount -t binfmt_misc none "$R/.binfmt"
printf '%s' ":qemu-aarch64:M::$MAGIC:$MASK:$Q:F" > "$R/.binfmt/register"
mount -t proc proc "$R/proc"
mount --bind "$B/sys" "$R/sys"
for file in cpuinfo meminfo; do mount --bind "$B/proc/$file" "$R/proc/$file"; done
for device in null zero full random urandom tty; do mount --bind "/dev/$device" "$R/dev/$device"; done
mount -t tmpfs tmpfs "$R/dev/shm"
mkdir -p "$R/mnt/kit"
mount --bind "$K" "$R/mnt/kit"
exec unshare --user --map-user=1000 --map-group=1000 --root="$R" --wd=/home/pi -- "$@"
"""
"""As root of a user namespace: the registration of the emulator, and every mount, vanish with the process."""


class Emulated:
    """An emulated board.

    Args:
        place: Folder of the root, the tools and the boards; built when it is absent.

    Raises:
        CannotHaveError: What it needs cannot be had here.
    """

    def __init__(self, place: Path) -> None:
        build(place)
        self.place = place.absolute()
        self.root = self.place / "root"
        self._tools = self.place / "tools"

    def start(
        self, words: Sequence[str], *, cpu: str, board: Path, kit: Path, environ: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start a command as the ordinary user ``pi``.

        Args:
            words: The command.
            cpu: As QEMU names it.
            board: Where its ``sys`` and ``proc`` lie.
            kit: Folder that it sees as ``/mnt/kit``.
            environ: More variables.
        """
        user = {
            "HOME": "/home/pi", "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "QEMU_CPU": cpu,
            "PIP_CERT": "/etc/ssl/certs/ca-certificates.crt", "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            **{name: os.environ[name] for name in PASSED_ON if name in os.environ}, **(environ or {}),
        }  # fmt: skip
        outside = {
            "PATH": os.environ["PATH"], "R": str(self.root), "B": str(board), "K": str(kit),
            "Q": str(self._tools / "qemu"), "MAGIC": MAGIC, "MASK": MASK,
        }  # fmt: skip
        inside = ["env", "-i", *(f"{key}={value}" for key, value in user.items()), *words]
        enter = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child"]
        return subprocess.Popen(
            [*enter, "bash", "-c", ENTER, "enter", *inside],
            env=outside, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(
        self, words: Sequence[str], *, cpu: str, board: Path, kit: Path, environ: Mapping[str, str] | None = None
    ) -> str:
        """Run a command and return what it printed; its errors are in the exception if it fails."""
        process = self.start(words, cpu=cpu, board=board, kit=kit, environ=environ)
        try:
            output, errors = process.communicate()
        finally:
            process.kill()  # when interrupted, nothing of it stays behind
        if process.returncode:
            raise RuntimeError(f"{' '.join(words[:3])} left with {process.returncode}: {errors[-2000:]}")
        return output

    def count(self, script: Path, *words: str, cpu: str, board: Path, python: Path) -> list[tuple[int, int]]:
        """Run a Python script outside of the root, with every guest instruction counted.

        Args:
            script: The script.
            words: What it is told.
            cpu: As QEMU names it.
            board: Where its ``sys`` and ``proc`` lie.
            python: Folder of packages.

        Returns:
            For every ``os.getsid(MARK + k)``: ``k``, and how many instructions the guest had run by then.

        Raises:
            CannotHaveError: There is no compiler for the counter, or its emulator cannot be fetched.
        """
        counter, marks = self.make_counter(), self.place / f"marks-{cpu}.txt"
        prefix = self._prefix(board, self.place / f"prefix-{cpu}")
        marks.unlink(missing_ok=True)
        environ = {
            "PATH": os.environ["PATH"], "LD_LIBRARY_PATH": str(self._tools / "usr/lib/x86_64-linux-gnu"),
            "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1",
            "PYTHONPATH": str(python),
        }  # fmt: skip
        qemu = [str(self._tools / "usr/bin/qemu-aarch64"), "-cpu", cpu, "-plugin", f"{counter},out={marks}"]
        guest = [
            "-E",
            "LD_LIBRARY_PATH=",
            "-E",
            f"GLIBC_TUNABLES={MALLOC}",
            "-L",
            str(prefix),
            str(prefix / "usr/bin/python3.11"),
            str(script),
            *words,
        ]
        command = [*qemu, *guest]
        if shutil.which("setarch"):  # the same addresses each time: hashes of objects, and with them counts, follow
            command = ["setarch", "-R", *command]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{script.name} left with {done.returncode}: {done.stderr[-2000:]}")
        lines = (line.split() for line in marks.read_text().splitlines())
        return [(int(k), int(count)) for k, count in lines]

    def _prefix(self, board: Path, prefix: Path) -> Path:
        """Make a copy of the root with the board's files in it: QEMU finds them by path."""
        shutil.rmtree(prefix, ignore_errors=True)
        shutil.copytree(self.root, prefix, symlinks=True, copy_function=os.link, ignore=_without_homes)
        for name in ("sys", "proc"):
            shutil.rmtree(prefix / name, ignore_errors=True)
            shutil.copytree(board / name, prefix / name, symlinks=True)
        return prefix

    def make_counter(self) -> Path:
        """Fetch the emulator that counts and compile its plugin, unless they are there; returns the plugin.

        Raises:
            CannotHaveError: There is no compiler, or a package cannot be fetched.
        """
        counter = self.place / "count.so"
        if counter.exists() and counter.stat().st_mtime >= PLUGIN.stat().st_mtime:
            return counter
        for package, *files in (
            ("qemu-user", "./usr/bin/qemu-aarch64"), ("libcapstone4", "./usr/lib/*"), ("liburing2", "./usr/lib/*"),
        ):  # fmt: skip
            host_files(self._tools, package, *files)
        if shutil.which("gcc") is None:
            raise CannotHaveError("gcc is not installed")
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", counter, PLUGIN], check=True)
        return counter


def _without_homes(folder: str, names: list[str]) -> set[str]:
    del folder
    return {"home", "mnt", ".binfmt", "dev"} & set(names)


def install(emulated: Emulated, board: Path, kit: Path, cpu: str) -> Path:
    """Install all apps by their README into an empty home folder; returns it.

    The second and the third app use what the first one fetched; one whose bundle needs more has a copy of it, and its
    own install adds the rest. With ``ARM_WHEELS`` pip asks no index: the wheels of
    all dependencies lie in ``kit/wheels``.
    """
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/mnt/kit/wheels"} if "ARM_WHEELS" in os.environ else {}
    home = emulated.root / "home/pi"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()

    def run(*words: str) -> None:
        emulated.run(words, cpu=cpu, board=board, kit=kit, environ=offline)

    archives = sorted(kit.glob("*.tar.gz"))
    for archive in archives:
        run("tar", "-xzf", f"/mnt/kit/{archive.name}")
    run("keyword_spotter/install")
    for name in (archive.name.removesuffix(".tar.gz") for archive in archives):
        if (home / name / "EXTRAS").read_text():
            run("cp", "-a", "keyword_spotter/venv", f"{name}/venv")
            run(f"{name}/install")
        elif name != "keyword_spotter":
            run("ln", "-sfn", "../keyword_spotter/venv", f"{name}/venv")
    return home
