"""What the control groups leave us: cores and memory, of both generations of the interface."""

from __future__ import annotations

from dataclasses import dataclass

from edgehybrid.runtime.telemetry.files import integer, read

_BASE = "sys/fs/cgroup"
_NO_LIMIT = 1 << 60  # the first generation writes a huge number for "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """One control group on the way from ours to the root."""

    path: str
    v2: bool


def parse_membership(text: str) -> dict[str, str]:
    """Controller to our path from ``/proc/self/cgroup``; the second generation stands under ``""``.

    Within a container the path may be that of the host, or climb with ``..``; such steps are left out.
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3:
            steps = [s for s in parts[2].split("/") if s and s != ".." and "\0" not in s]
            found |= dict.fromkeys(parts[1].split(","), "/".join(steps))
    return found


def parse_cpu_max(text: str) -> float | None:
    """Cores from ``quota period`` in µs; ``None`` for ``max`` and for what cannot be."""
    parts = text.split()
    quota, period = (integer(parts[0]), integer(parts[1])) if len(parts) == 2 else (None, None)
    return quota / period if quota and period and quota > 0 and period > 0 else None


def parse_limit(text: str | None) -> int | None:
    """Bytes; ``None`` for ``max``, for no limit at all, and for what cannot be."""
    value = integer(text)
    return value if value is not None and 0 < value < _NO_LIMIT else None


def folders(root: str, controller: str, probe: tuple[str, str]) -> tuple[Folder, ...]:
    """Find the groups that can limit us: ours and all above it, that have the ``probe`` file of v2 or v1."""
    member = parse_membership(read(f"{root}proc/self/cgroup").text or "")
    places = [(f"{root}{_BASE}", member.get("", ""), True), (f"{root}{_BASE}/unified", member.get("", ""), True)]
    places.append((f"{root}{_BASE}/{controller}", member.get(controller, ""), False))
    found = []
    for base, inner, v2 in places:
        steps = inner.split("/") if inner else []
        for n in range(min(len(steps), 16), -1, -1):
            path = "/".join([base, *steps[:n]])
            if read(f"{path}/{probe[0 if v2 else 1]}").text is not None:
                found.append(Folder(path=path, v2=v2))
    return tuple(found)


def cores(where: tuple[Folder, ...]) -> float | None:
    """The tightest quota, in cores; ``None`` without any."""
    quotas = []
    for f in where:
        if f.v2:
            quotas.append(parse_cpu_max(read(f"{f.path}/cpu.max").text or ""))
        else:
            parts = (read(f"{f.path}/cpu.cfs_{k}_us").text or "" for k in ("quota", "period"))
            quotas.append(parse_cpu_max(" ".join(parts)))
    return min((q for q in quotas if q is not None), default=None)


def free_bytes(where: tuple[Folder, ...]) -> int | None:
    """The least that any group still allows; file pages that may go count as free. ``None`` without a limit."""
    left = []
    for f in where:
        limit = parse_limit(read(f"{f.path}/{'memory.max' if f.v2 else 'memory.limit_in_bytes'}").text)
        used = parse_limit(read(f"{f.path}/{'memory.current' if f.v2 else 'memory.usage_in_bytes'}").text)
        if limit is not None and used is not None:
            left.append(max(limit - used + min(_inactive(f), used), 0))
    return min(left, default=None)


def _inactive(f: Folder) -> int:
    for line in (read(f"{f.path}/memory.stat").text or "").splitlines():
        key, _, value = line.partition(" ")
        if key == ("inactive_file" if f.v2 else "total_inactive_file"):
            return max(integer(value) or 0, 0)
    return 0
