"""Where measured figures are kept: a file for each bundle, device and supply, in the user's state folder."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import onnxruntime as ort

from edgehybrid.bundle import Bundle
from edgehybrid.errors import OutputError
from edgehybrid.points import EnergyMj, LatencyMs, OperatingPoint
from edgehybrid.profiles import DeviceProfile
from edgehybrid.runtime.bench.values import PointFigures, Supply, Table

_log = logging.getLogger("edgehybrid")


def fingerprint(device: DeviceProfile) -> str:
    """Return what of a device its figures depend on, as 16 hexadecimal digits: the board, its cores, the runtime."""
    cpu = device.cpu
    parts = (device.name, cpu.name, cpu.cores, cpu.max_mhz, cpu.isa, platform.machine(), ort.__version__)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


class Store:
    """The figures of one bundle on one device.

    Args:
        bundle: The bundle; another export of the same model is another bundle.
        device: The board.
        environ: Where ``XDG_STATE_HOME`` and ``HOME`` stand.
    """

    def __init__(self, bundle: Bundle, device: DeviceProfile, *, environ: Mapping[str, str] = os.environ) -> None:
        state = environ.get("XDG_STATE_HOME") or os.path.join(environ.get("HOME", "~"), ".local", "state")
        digest = bundle.doc.manifest_sha256[:16]
        self.key = fingerprint(device)
        self.folder = Path(state).expanduser() / "edgehybrid" / "bench" / f"{_plain(bundle.doc.bundle.name)}-{digest}"

    def path(self, supply: Supply) -> Path:
        """Return the file of one supply."""
        return self.folder / f"{self.key}-{supply}.json"

    def load(self) -> dict[Supply, Table]:
        """Return the tables that there are; a file that cannot be read counts as absent, and is said."""
        found: dict[Supply, Table] = {}
        supplies: tuple[Supply, ...] = ("mains", "battery", "unknown")
        for supply in supplies:
            path = self.path(supply)
            try:
                found[supply] = msgspec.json.decode(path.read_bytes(), type=Table)
            except FileNotFoundError:
                continue
            except (OSError, msgspec.DecodeError) as error:
                _log.warning("%s cannot be used (%s): run edgehybrid bench again", path, error)
        return found

    def save(self, table: Table) -> Path:
        """Write a table at once: a reader sees the old one or the new.

        Raises:
            OutputError: The folder cannot be written.
        """
        path = self.path(table.supply)
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            fresh.write_bytes(msgspec.json.format(msgspec.json.encode(table)) + b"\n")
            os.replace(fresh, path)
        except OSError as error:
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise OutputError(
                f"{path} cannot be written: {error.strerror}.", "Make room, or set XDG_STATE_HOME."
            ) from error
        return path

    def forget(self) -> int:
        """Remove the tables of this device; returns how many there were."""
        supplies: tuple[Supply, ...] = ("mains", "battery", "unknown")
        there = [self.path(supply) for supply in supplies if self.path(supply).exists()]
        for path in there:
            path.unlink(missing_ok=True)
        return len(there)


def choose(tables: Mapping[Supply, Table], on_mains: bool | None) -> Table | None:
    """Return the table for what feeds the board now; without one, that of another supply: still of this very device."""
    wanted: Supply = "unknown" if on_mains is None else "mains" if on_mains else "battery"
    order: tuple[Supply, ...] = (wanted, "mains", "battery", "unknown")
    return next((tables[supply] for supply in order if supply in tables), None)


def with_figures(points: Sequence[OperatingPoint], table: Table | None) -> tuple[OperatingPoint, ...]:
    """Return the points with the figures of ``table``; those that it lacks are scaled as the others were.

    A point that was carried for another processor than the exporter's is one like any other once it was measured here.
    Latencies were measured at full depth. What a point with exits takes at lesser depths, and on average, keeps its
    proportion to that.
    """
    if table is None:
        return tuple(points)
    here = {figures.name: figures for figures in table.points}
    pairs = [(full_ms(point), here[point.name].latency_ms.p50) for point in points if point.name in here]
    if not pairs:
        return tuple(points)
    ratios = sorted(measured / shipped for shipped, measured in pairs if shipped > 0)
    typical = ratios[len(ratios) // 2] if ratios else 1.0
    return tuple(_changed(point, here.get(point.name), typical) for point in points)


def _plain(name: str) -> str:
    """Return a bundle's name as a folder may be named: a foreign bundle may be called anything."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name)[:60]


def full_ms(point: OperatingPoint) -> float:
    """Median latency at full depth, as shipped."""
    return point.depths[-1].latency_ms if point.depths else point.latency_ms.p50


def _changed(point: OperatingPoint, here: PointFigures | None, typical: float) -> OperatingPoint:
    full = full_ms(point)
    ratio = typical if here is None or full <= 0 else here.latency_ms.p50 / full
    cpu_full = point.depths[-1].cpu_ms if point.depths else point.cpu_ms
    cpu_ratio = ratio if here is None or cpu_full <= 0 else here.cpu_ms / cpu_full
    energy, shipped = point.energy_mj, point.latency_ms
    if here is not None and not point.depths:
        return replace(point, latency_ms=here.latency_ms, cpu_ms=here.cpu_ms, energy_mj=here.energy_mj, carried="")
    share = 1.0 if here is None or point.cpu_ms <= 0 else point.cpu_ms / cpu_full  # of the full depth, on average
    scaled = EnergyMj(
        value=energy.value * cpu_ratio if here is None else here.energy_mj.value * share,
        method=energy.method if here is None else here.energy_mj.method,
        uncertainty=energy.uncertainty * cpu_ratio if here is None else here.energy_mj.uncertainty * share,
    )
    return replace(
        point,
        latency_ms=LatencyMs(
            p50=shipped.p50 * ratio,
            p95=shipped.p95 * ratio,
            mean=None if shipped.mean is None else shipped.mean * ratio,
        ),
        cpu_ms=point.cpu_ms * cpu_ratio,
        energy_mj=scaled,
        carried=point.carried if here is None else "",
        depths=tuple(
            replace(depth, latency_ms=depth.latency_ms * ratio, cpu_ms=depth.cpu_ms * cpu_ratio)
            for depth in point.depths
        ),
    )
