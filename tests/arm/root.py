"""An aarch64 Debian 12 as a folder, and the emulator for it: packages unpacked, nothing installed on this machine.

Raspberry Pi OS 12 is Debian 12: the same Python 3.11 and glibc 2.36. Packages come by this machine's own apt with a
state of its own, so that its settings and its list of installed packages stay as they are.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PACKAGES = (
    "base-files", "libc-bin", "bash", "coreutils", "dash", "tar", "gzip", "grep", "sed", "python3", "python3-venv",
    "ca-certificates", "libstdc++6", "libgomp1",
)  # fmt: skip
UNNEEDED = ("doc", "man", "locale", "i18n")
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


class CannotHaveError(Exception):
    """What the emulation needs cannot be had here; says what."""


def require_tools() -> None:
    """Check for what must be there.

    Raises:
        CannotHaveError: A program is missing, or this kernel or container allows no namespaces.
    """
    for program in ("apt-get", "dpkg-deb", "unshare", "tar"):
        if shutil.which(program) is None:
            raise CannotHaveError(f"{program} is not installed")
    mount = "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc"
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", mount],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CannotHaveError(
            f"no binfmt_misc in a namespace of one's own (Linux 6.7 can): {done.stderr.strip()[-200:]}"
        )


def build(place: Path) -> None:
    """Make ``place/root`` and ``place/tools/qemu``, unless they are there: some 15 s, 70 MB to fetch.

    Raises:
        CannotHaveError: The packages cannot be fetched.
    """
    if (place / "root" / "usr" / "bin" / "python3").exists() and (place / "tools" / "qemu").exists():
        return
    require_tools()
    place = place.absolute()
    tools, root = place / "tools", place / "root"
    shutil.rmtree(root, ignore_errors=True)
    for folder in (tools, root):
        folder.mkdir(parents=True, exist_ok=True)
    host_files(tools, "qemu-user-static", "./usr/bin/qemu-aarch64-static")
    shutil.copy2(tools / "usr/bin/qemu-aarch64-static", tools / "qemu")
    _unpack(arm_packages(place / "apt", PACKAGES), root)
    _furnish(root)


def host_files(tools: Path, package: str, *wanted: str) -> None:
    """Unpack files of one of this machine's own packages below ``tools``, without installing it.

    Raises:
        CannotHaveError: It cannot be fetched.
    """
    if not list(tools.glob(f"{package}_*.deb")):
        _call(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package], cwd=tools)
    archive = next(tools.glob(f"{package}_*.deb"))
    data = subprocess.run(["dpkg-deb", "--fsys-tarfile", archive], capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "--wildcards", *wanted], input=data, cwd=tools, check=True)


def arm_packages(state: Path, packages: Sequence[str], *, only: str = "") -> list[Path]:
    """Fetch arm64 packages with all that they depend on; returns the archives whose name begins with ``only``.

    Raises:
        CannotHaveError: They cannot be fetched.
    """
    for folder in ("lists/partial", "cache/archives/partial"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    options = {
        "APT::Architecture": "arm64", "APT::Architectures": "arm64", "Dir::State": state,
        "Dir::State::lists": state / "lists", "Dir::State::status": state / "status", "Dir::Cache": state / "cache",
        "Debug::NoLocking": 1, "APT::Install-Recommends": 0, "APT::Sandbox::User": "root",
        "Acquire::Languages": "none", "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
    }  # fmt: skip
    flags = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    _call(["apt-get", "-q", *flags, "update"])
    _call(["apt-get", "-q", "-y", *flags, "--download-only", "install", *packages])
    return sorted((state / "cache" / "archives").glob(f"{only}*.deb"))


def _unpack(archives: Sequence[Path], root: Path) -> None:
    for name in ("bin", "sbin", "lib"):
        (root / "usr" / name).mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(f"usr/{name}")
    left_out = [f"--exclude=./usr/share/{name}/*" for name in UNNEEDED]
    for archive in archives:
        data = subprocess.run(["dpkg-deb", "--fsys-tarfile", archive], capture_output=True, check=True).stdout
        command = ["tar", "-x", "--keep-directory-symlink", "-C", str(root), *left_out]
        subprocess.run(command, input=data, check=True)


def _furnish(root: Path) -> None:
    """Do what the packages' own scripts would: users, certificates, name servers, places to mount at."""
    places = ("dev/shm", "proc", "sys", "tmp", "root", "home/pi", "etc/ssl/certs", ".binfmt", "mnt")
    for name in places:
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\npi:x:1000:1000:pi:/home/pi:/bin/bash\n")
    (root / "etc/group").write_text("root:x:0:\npi:x:1000:\n")
    for name in ("etc/resolv.conf", "etc/hosts", "etc/ssl/certs/ca-certificates.crt"):
        if Path("/", name).exists():
            shutil.copy(Path("/", name), root / name)
    for name in DEVICES:
        (root / "dev" / name).touch()


def _call(command: Sequence[str], cwd: Path | None = None) -> None:
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=environ)
    if done.returncode:
        words = " ".join((done.stderr or done.stdout).split())[-300:]
        raise CannotHaveError(f"{' '.join(map(str, command[:1]))} failed: {words}")


def main() -> int:
    """Build the root in a folder; 0, or 3 with the reason why it cannot be had here."""
    try:
        build(Path(sys.argv[1]))
    except CannotHaveError as error:
        print(error)  # noqa: T201  # for the caller's own message
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
