"""Reads scenarios; says every problem with its fix."""

from __future__ import annotations

import os
from dataclasses import fields, is_dataclass
from pathlib import Path

import msgspec

from edgehybrid.errors import ProfileError, ScenarioError
from edgehybrid.profiles import load_device, unknown_fields
from edgehybrid.runtime.simulation.cases import case_names
from edgehybrid.runtime.simulation.scenario import Document, Scenario
from edgehybrid.runtime.simulation.traces import Trace, read_trace

SCHEMA = 1
_REFERENCE = "docs/reference/scenario.md has every field."


def load_scenario(path: str | os.PathLike[str]) -> Scenario:
    """Load and validate a scenario with its traces, whose paths are relative to it.

    Raises:
        ScenarioError: The file or a trace cannot be read or does not validate; says each problem.
    """
    file = Path(path)
    doc = _decode(file)
    _refuse(file, problems(doc))
    ambient, solar, load, contention = (
        _trace(file.parent, name)
        for name in (doc.ambient.trace, doc.solar.trace if doc.solar else None, doc.load.trace, doc.contention.trace)
    )
    return Scenario(name=file.stem, doc=doc, ambient=ambient, solar=solar, load=load, contention=contention, path=file)


def problems(doc: Document) -> list[str]:
    """Say what is out of range or does not go together in ``doc``; empty when all is well."""
    found = _out_of_range(doc)
    found += [f"device.{name}: {error}" for name, error in _bad_profiles(doc).items()]
    if doc.device.case is not None and doc.device.case not in case_names():
        found.append(f"device.case {doc.device.case!r} is not known, there are {', '.join(case_names())}")
    if (doc.ambient.celsius is None) == (doc.ambient.trace is None):
        found.append("ambient needs either celsius or trace")
    if doc.load.arrivals == "trace" and doc.load.trace is None:
        found.append('load.arrivals = "trace" needs load.trace')
    if doc.load.arrivals != "trace" and doc.load.rate_hz is None:
        found.append(f'load.arrivals = "{doc.load.arrivals}" needs load.rate_hz')
    if doc.load.arrivals != "trace" and doc.load.trace is not None:
        found.append('load.trace goes with load.arrivals = "trace"')
    if (doc.contention.model == "trace") != (doc.contention.trace is not None):
        found.append('contention.trace and contention.model = "trace" go together')
    if doc.solar is not None and doc.battery is None:
        found.append("solar needs a battery to charge")
    return found


def _out_of_range(doc: Document) -> list[str]:
    positive = {
        "device.slowdown": doc.device.slowdown,
        "device.idle_w": doc.device.idle_w,
        "load.rate_hz": doc.load.rate_hz,
        "contention.cores": doc.contention.cores,
        "contention.mean_on_s": doc.contention.mean_on_s,
        "contention.mean_off_s": doc.contention.mean_off_s,
        "mission.duration_h": doc.mission.duration_h,
        "mission.deadline_ms": doc.mission.deadline_ms,
        "mission.energy_mj": doc.mission.energy_mj,
        "random.runs": doc.random.runs,
    }
    between: dict[str, tuple[float, float, float]] = {
        "contention.slowdown": (doc.contention.slowdown, 1, 100),
        "random.model_error": (doc.random.model_error, 0, 0.5),
        "random.seed": (doc.random.seed, 0, 2**63),
        "mission.duration_h": (doc.mission.duration_h, 0, 24 * 366),
    }
    if doc.ambient.celsius is not None:
        between["ambient.celsius"] = (doc.ambient.celsius, -60, 100)
    if doc.battery is not None:
        positive["battery.capacity_wh"] = doc.battery.capacity_wh
        positive["battery.gauge_step_pct"] = doc.battery.gauge_step_pct
        between["battery.charge"] = (doc.battery.charge, 0, 1)
        between["battery.gauge_error_pct"] = (doc.battery.gauge_error_pct, 0, 5)
        between["battery.resistance_ohm"] = (doc.battery.resistance_ohm, 0, 1)
    if doc.solar is not None:
        positive["solar.panel_w"] = doc.solar.panel_w
        between["solar.efficiency"] = (doc.solar.efficiency, 0, 1)
    found = _not_finite(doc, "")
    found += [f"{name} is {v:g}, it must be above 0" for name, v in positive.items() if v is not None and v <= 0]
    found += [
        f"{name} is {v:g}, it must be {low:g} to {high:g}"
        for name, (v, low, high) in between.items()
        if not low <= v <= high
    ]
    return found


def _not_finite(value: object, at: str) -> list[str]:
    if isinstance(value, float) and value - value != 0:
        return [f"{at} is {value}, it must be a number"]
    if is_dataclass(value):
        dot = f"{at}." if at else ""
        return [p for f in fields(value) for p in _not_finite(getattr(value, f.name), f"{dot}{f.name}")]
    return []


def _bad_profiles(doc: Document) -> dict[str, str]:
    found = {}
    for field in ("profile", "believed"):
        name = getattr(doc.device, field)
        try:
            if name is not None:
                load_device(name)
        except ProfileError as error:
            found[field] = str(error).rstrip(".")
    return found


def _decode(path: Path) -> Document:
    try:
        raw = msgspec.toml.decode(path.read_bytes())
    except OSError as error:
        raise ScenarioError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path} is not TOML: {error}.", "Correct that line.") from error
    if raw.get("schema") != SCHEMA:
        raise ScenarioError(f"{path} does not say which schema it follows.", f"Write at its top: schema = {SCHEMA}")
    _refuse(path, unknown_fields(raw, Document))
    try:
        return msgspec.convert(raw, Document)
    except msgspec.ValidationError as error:
        raise ScenarioError(f"{path} is no valid scenario: {error}.", _REFERENCE) from error


def _refuse(path: Path, found: list[str]) -> None:
    if found:
        raise ScenarioError(f"{path}: {'; '.join(found)}.", f"Correct the file; {_REFERENCE}")


def _trace(folder: Path, name: str | None) -> Trace | None:
    """Read ``file.csv`` or ``file.csv:column``."""
    if name is None:
        return None
    file, _, column = name.partition(".csv:")
    return read_trace(folder / (f"{file}.csv" if column else file), column or None)
