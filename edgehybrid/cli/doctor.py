"""``edgehybrid doctor``."""

from __future__ import annotations

import time
from pathlib import Path

import click

from edgehybrid.cli.documents import DoctorDocument
from edgehybrid.cli.printing import emit_json, json_option, out, prose_table, root_option, table
from edgehybrid.profiles import DeviceProfile, detect_device, load_device
from edgehybrid.runtime.backends import BackendReport, survey_backends
from edgehybrid.runtime.telemetry import AcceleratorReport, Snapshot, SourceReport, Telemetry, find_accelerators

_LOOK_S = 0.2  # loads and slopes need two readings


@click.command(name="doctor")
@root_option
@click.option("--device", help="Device profile: a name or a file; without, the board is recognised.")
@json_option
def command(root: Path, device: str | None, as_json: bool) -> None:
    """Say which sensors, accelerators and back ends this device has, and how far to trust them."""
    profile = detect_device(root) if device is None else load_device(device)
    telemetry = Telemetry(root, device=profile)
    telemetry.read()
    time.sleep(_LOOK_S)
    snapshot = telemetry.read()
    sources = telemetry.sources()
    backends, accelerators = survey_backends(), find_accelerators(root)
    if as_json:
        emit_json(
            DoctorDocument(
                schema=1,
                device=profile,
                sources=sources,
                snapshot=snapshot,
                accelerators=accelerators,
                backends=backends,
            )
        )
        return
    console = out()
    console.print(f"Device: {profile.title} (profile {profile.name})")
    here = tuple(s for s in sources if not _absent(s))
    console.print(_sensors(here, snapshot))
    if gone := [s.name for s in sources if _absent(s)]:
        console.print(f"Not on this device: {', '.join(gone)}")
    console.print(_accelerators(accelerators))
    console.print(_backends(backends))
    if any(b.problem for b in backends):
        console.print(_not_offered(backends))
    console.print(_limits(profile))
    for line in _advice(snapshot, profile):
        console.print(f"• {line}")


def _absent(source: SourceReport) -> bool:
    """Whether there is nothing of the kind, as against something that does not work."""
    return source.trust == "missing" and source.note.startswith("no ")


def _sensors(sources: tuple[SourceReport, ...], snapshot: Snapshot) -> object:
    rows = []
    for source in sources:
        says = ", ".join(f"{name} {_value(snapshot, name)}" for name in source.offers) or "-"
        rows.append((source.name, source.trust, says, source.path, source.note))
    return prose_table("Sensors", ("source", "trust", "says now", "from", "note"), rows)


def _value(snapshot: Snapshot, name: str) -> str:
    value = getattr(snapshot, name)
    if value is None:  # gone since, or not there yet
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if name == "power_w" and snapshot.power_scope is not None:
        return f"{_amount(value)} ({snapshot.power_scope}){_doubt(snapshot, name)}"
    return _amount(value) + _doubt(snapshot, name)


def _doubt(snapshot: Snapshot, name: str) -> str:
    half = snapshot.readings[name].uncertainty
    return "" if half is None else f" ± {half:.2g}"


def _amount(value: float) -> str:
    return f"{value:.0f}" if value >= 1000 else f"{value:.4g}"


def _accelerators(found: tuple[AcceleratorReport, ...]) -> object:
    if not found:
        return "Accelerators: none found"
    rows = ((a.name, a.path, a.note) for a in found)
    return prose_table("Accelerators", ("accelerator", "node", "note"), rows)


def _backends(backends: tuple[BackendReport, ...]) -> object:
    offered = [b for b in backends if b.problem is None]
    rows = [(b.name, b.version or "-", ", ".join(b.providers), ", ".join(b.devices) or "-") for b in offered]
    return prose_table("Back ends", ("back end", "version", "offers", "devices"), rows)


def _not_offered(backends: tuple[BackendReport, ...]) -> object:
    """One row for a reason, since back ends of one package lack the same."""
    names: dict[str, list[str]] = {}
    for backend in backends:
        if backend.problem is not None:
            names.setdefault(backend.problem, []).append(backend.name)
    rows = ((", ".join(missing), why) for why, missing in names.items())
    return prose_table("Not offered here", ("back end", "why"), rows)


def _limits(profile: DeviceProfile) -> object:
    power, thermal = profile.power, profile.thermal
    rows = [
        ("idle", f"{power.idle_w:g} W"),
        ("all cores busy", f"{power.busy_w[-1]:g} W"),
        ("throttles from", f"{thermal.throttle_c:g} °C"),
        ("critical at", f"{thermal.critical_c:g} °C"),
    ]
    return table("What the profile says", ("figure", "value"), rows)


def _advice(snapshot: Snapshot, profile: DeviceProfile) -> list[str]:
    """Say in words what the engine can and cannot do here."""
    advice = []
    if snapshot.battery_pct is None and snapshot.on_mains is None:
        advice.append("No battery is visible: the engine takes this device to be on mains power.")
    if snapshot.power_w is None:
        source = "the profile's watts"
        if snapshot.battery_wh is not None:
            source += ", corrected by the slope of the battery gauge"
        advice.append(f"No power sensor is visible: joules come from CPU time and {source}.")
    elif snapshot.power_scope == "rail":
        advice.append("The power sensor sees a part of the board only: joules come from the profile's watts.")
    else:
        advice.append("A power sensor measures this device: joules come from it, and it corrects the profile's watts.")
    if snapshot.npu_present is False:
        advice.append(f"The accelerator is of no use now: {snapshot.readings['npu_present'].note}.")
    if snapshot.soc_temp_c is None:
        advice.append("No thermometer is visible: heat shows only as slower inferences.")
    if snapshot.cpu_pressure_pct is None:
        advice.append("No pressure figures (PSI): add psi=1 to the kernel's command line to see contention.")
    if profile.name == "generic-linux":
        advice.append(
            "The board is not known: watts are those of a generic Linux board. Write a profile: --device FILE."
        )
    return advice
