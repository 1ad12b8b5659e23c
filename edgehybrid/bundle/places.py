"""Folders that appear whole or not at all: written aside, flushed to disk, renamed into place."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from edgehybrid.bundle.manifest import MANIFEST, is_ours
from edgehybrid.bundle.paths import is_regular
from edgehybrid.errors import OutputError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def check_output(path: Path, *, overwrite: bool = False) -> None:
    """Refuse a place that ``write_bundle`` would refuse; to be asked before long work.

    Raises:
        OutputError: It exists and may not be replaced, or its parent is missing or cannot be written.
    """
    if path.is_symlink():
        raise OutputError(f"{path} is a symbolic link.", f"Give the folder itself: {path.resolve()}")
    if path.exists():
        if not is_bundle(path):
            raise OutputError(f"{path} exists and is not a bundle, so it is never replaced.", "Choose another name.")
        if not overwrite:
            raise OutputError(f"{path} exists already.", "Choose another name, or pass --overwrite to replace it.")
    parent = path.absolute().parent
    if not parent.is_dir():
        raise OutputError(f"The folder {parent} does not exist.", f"Run: mkdir -p {parent}")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"The folder {parent} cannot be written.", f"Run: chmod u+wx {parent}, or choose another.")
    with translated(path, 0), aside(path):  # permissions do not tell all: read-only disks, /sys, what root may not do
        pass


def is_bundle(path: Path) -> bool:
    """Tell whether ``path`` holds a bundle of ours, of any schema, whole or damaged."""
    try:
        return is_regular(path / MANIFEST) and is_ours((path / MANIFEST).read_bytes())
    except OSError:
        return False


def require_room(path: Path, needed: int) -> None:
    """Refuse to start when the disk has less than ``needed`` bytes free.

    Raises:
        OutputError: It has less.
    """
    if shutil.disk_usage(path.absolute().parent).free < needed:
        raise _no_room(path, needed)


@contextlib.contextmanager
def translated(path: Path, needed: int) -> Iterator[None]:
    """Turn an OSError while ``needed`` bytes are written for ``path`` into an OutputError."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise _no_room(path, needed) from error
        fix = "Choose another place."
        if error.errno in _FORBIDDEN:
            fix = f"Check who may write there: ls -ld {path.absolute().parent}"
        at = f" ({error.filename})" if error.filename else ""
        raise OutputError(f"{path} could not be written: {error.strerror or error}{at}.", fix) from error


@contextlib.contextmanager
def aside(path: Path) -> Iterator[Path]:
    """Give a new folder beside ``path``, on the same file system; it is removed unless it was renamed away."""
    folder = path.absolute().parent / f".{path.name}.{secrets.token_hex(6)}.tmp"
    try:
        folder.mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # an error here would hide the one that matters


def publish(folder: Path, path: Path, *, overwrite: bool) -> None:
    """Rename ``folder`` to ``path``; an old bundle there leaves only after the new one stands.

    Raises:
        OutputError: Something appeared at ``path`` meanwhile.
    """
    check_output(path, overwrite=overwrite)
    parent = path.absolute().parent
    old = parent / f".{path.name}.{secrets.token_hex(6)}.old"
    replacing = path.exists()
    if replacing:
        path.rename(old)
    try:
        folder.rename(path)
    except BaseException:
        if replacing:
            old.rename(path)
        raise
    sync_folder(parent)
    if replacing:
        shutil.rmtree(old, ignore_errors=True)  # the new bundle stands; a rest of the old one is no failure


def sync_tree(root: Path) -> None:
    """Flush the entries of every folder under ``root``, innermost first."""
    for folder, _, _ in os.walk(root, topdown=False):
        sync_folder(Path(folder))


def sync_folder(folder: Path) -> None:
    """Flush the entries of one folder, so that names survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _no_room(path: Path, needed: int) -> OutputError:
    free = shutil.disk_usage(path.absolute().parent).free
    return OutputError(
        f"{path} does not fit: it needs {needed / 1e6:,.2f} MB and {free / 1e6:,.2f} MB are free there.",
        "Free some space (also quotas and file-size limits count), or choose another place.",
    )
