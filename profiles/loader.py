"""Reads device profiles and policies from TOML; refuses what it does not know."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from edgehybrid.errors import ProfileError
from edgehybrid.profiles.checks import device_problems, policy_problems
from edgehybrid.profiles.schema import SCHEMA, DeviceProfile, Policy

_HERE = Path(__file__).parent
_T = TypeVar("_T", DeviceProfile, Policy)


def device_names() -> tuple[str, ...]:
    """Names of the device profiles that come with the package, sorted."""
    return _names("devices")


def policy_names() -> tuple[str, ...]:
    """Names of the policies that come with the package, sorted."""
    return _names("policies")


def load_device(name_or_path: str | os.PathLike[str]) -> DeviceProfile:
    """Load and validate a device profile.

    Args:
        name_or_path: One of `device_names`, or the path of a TOML file.

    Raises:
        ProfileError: No such name or file, or the file does not validate; says each problem.
    """
    path = _resolve(name_or_path, "devices", "device profile")
    device = _decode(path, DeviceProfile)
    _refuse(path, device_problems(device))
    return device


def load_policy(name_or_path: str | os.PathLike[str]) -> Policy:
    """Load and validate a policy.

    Args:
        name_or_path: One of `policy_names`, or the path of a TOML file.

    Raises:
        ProfileError: No such name or file, or the file does not validate; says each problem.
    """
    path = _resolve(name_or_path, "policies", "policy")
    policy = _decode(path, Policy)
    _refuse(path, policy_problems(policy))
    return policy


def _names(folder: str) -> tuple[str, ...]:
    return tuple(sorted(p.stem for p in (_HERE / folder).glob("*.toml")))


def _resolve(name_or_path: str | os.PathLike[str], folder: str, what: str) -> Path:
    text = os.fspath(name_or_path)
    names = _names(folder)
    if isinstance(name_or_path, str) and text in names:
        return _HERE / folder / f"{text}.toml"
    if not isinstance(name_or_path, str) or text.endswith(".toml") or os.sep in text:
        return Path(text)
    close = difflib.get_close_matches(text.lower(), names, n=1, cutoff=0.4)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    fix = f"{hint}There are {', '.join(names)}; your own file works by its path, ending in .toml."
    raise ProfileError(f"There is no {what} named {text!r}.", fix)


def _decode(path: Path, kind: type[_T]) -> _T:
    raw = _read(path)
    found = raw.get("schema")
    if isinstance(found, int) and not isinstance(found, bool) and found != SCHEMA:
        if found > SCHEMA:
            fix = "Run: pip install --upgrade edgehybrid"
            raise ProfileError(f"{path} is of schema {found}; this version reads schema {SCHEMA}.", fix)
        raise ProfileError(f"{path} says schema {found}, which never was.", f"Write: schema = {SCHEMA}")
    _refuse(path, unknown_fields(raw, kind))
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise ProfileError(f"{path} is no valid {_word(kind)}: {error}.", "Correct that value.") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = msgspec.toml.decode(path.read_bytes())
    except FileNotFoundError as error:
        raise ProfileError(f"There is no file {path}.", "Check the path, or give a name without .toml.") from error
    except OSError as error:
        raise ProfileError(
            f"{path} cannot be read: {error.strerror}.", "Check the path and its permissions."
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProfileError(f"{path} is not TOML: {error}.", "Correct that line.") from error
    if not raw:
        raise ProfileError(f"{path} is empty.", "Copy a profile that comes with edgehybrid and change it.")
    return raw  # type: ignore[no-any-return]  # a TOML document is always a table


def _refuse(path: Path, problems: list[str]) -> None:
    if problems:
        raise ProfileError(f"{path}: {'; '.join(problems)}.", "Correct the file.")


def _word(kind: type[Any]) -> str:
    return "policy" if kind is Policy else "device profile"


def unknown_fields(raw: object, kind: object, at: str = "") -> list[str]:
    """Name every key in ``raw`` that ``kind`` has no field for; msgspec would drop it without a word.

    Args:
        raw: What a TOML file holds.
        kind: The dataclass that it is to become.
        at: Where ``raw`` stands in the file, ``"power."``.
    """
    if isinstance(kind, UnionType):
        kind = next((part for part in get_args(kind) if is_dataclass(part)), kind)
    if isinstance(kind, type) and is_dataclass(kind) and isinstance(raw, Mapping):
        known = get_type_hints(kind)
        problems = []
        for key, value in raw.items():
            if key in known:
                problems += unknown_fields(value, known[key], f"{at}{key}.")
            else:
                close = difflib.get_close_matches(key, [f.name for f in fields(kind)], n=1)
                problems.append(f"unknown field {at}{key}" + (f" (did you mean {close[0]}?)" if close else ""))
        return problems
    if get_origin(kind) is tuple and isinstance(raw, list):
        inner = get_args(kind)[0]
        return [p for i, item in enumerate(raw) for p in unknown_fields(item, inner, f"{at[:-1]}[{i}].")]
    return []
