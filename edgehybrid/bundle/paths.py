"""Which paths a bundle may name, and which files it may hold."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path

from edgehybrid.errors import BundleError

COPY_AGAIN = "Copy the bundle again from where it was exported."
NOT_OURS = "Nothing was read from it. Do not use a bundle from a source you do not trust."

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=@-]{0,120}")


def is_safe_name(name: str) -> bool:
    """Tell whether ``name`` can be a folder on every file system that we meet."""
    return _NAME.fullmatch(name) is not None


def is_safe_path(path: str) -> bool:
    """Tell whether ``path`` is relative, written with ``/``, and stays inside: no ``..``, no ``.``, no empty part."""
    parts = path.split("/")
    return path.isprintable() and ":" not in path and not any(p in ("", ".", "..") or "\\" in p for p in parts)


def require_safe(paths: Iterable[str]) -> None:
    """Refuse any path that leads outside.

    Raises:
        BundleError: One of them does.
    """
    for path in paths:
        if not is_safe_path(path):
            raise BundleError(f"The manifest names {path!r}, which leads outside the bundle.", NOT_OURS)


def require_no_links(root: Path) -> None:
    """Refuse a tree with a symbolic link anywhere inside; ``root`` itself may be one.

    Raises:
        BundleError: There is one, or a folder cannot be listed.
    """
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_symlink():
                        where = Path(entry.path).relative_to(root).as_posix()
                        raise BundleError(f"{root} contains a symbolic link, {where!r}; it is not followed.", NOT_OURS)
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
        except OSError as error:
            raise BundleError(f"{folder} cannot be listed ({error.strerror}).", f"Run: chmod -R u+rX {root}") from error


def is_regular(path: Path) -> bool:
    """Tell whether ``path`` is an ordinary file, and no link, pipe or device."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False
