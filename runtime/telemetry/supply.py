"""What one entry of ``/sys/class/power_supply`` says, in sane units. Pure: text in, figures out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from edgehybrid.runtime.telemetry.files import integer
from edgehybrid.units import MICRO, clip

KEYS = (
    "TYPE",
    "SCOPE",
    "STATUS",
    "PRESENT",
    "ONLINE",
    "CAPACITY",
    "CAPACITY_ERROR_MARGIN",
    "ENERGY_NOW",
    "ENERGY_FULL",
    "ENERGY_FULL_DESIGN",
    "CHARGE_NOW",
    "CHARGE_FULL",
    "CHARGE_FULL_DESIGN",
    "VOLTAGE_NOW",
    "VOLTAGE_MIN_DESIGN",
    "CURRENT_NOW",
    "CURRENT_AVG",
    "POWER_NOW",
)
_MILLIAMPS_BELOW = 10_000  # µA; a running board takes far more, so such a figure is in mA
_MILLIWATTS_BELOW = 50_000  # µW; the same for power
_SMALLEST_CHARGE = 50_000  # µAh; no pack holds less than 50 mAh, so such a figure is in mAh
_SMALLEST_ENERGY = 150_000  # µWh
_LEAST_W = 0.05  # no running board takes less
_MOST_W = 40.0  # more than any board or phone, for a pack of unknown size
_MOST_PER_H = 3.0  # a pack that empties in less than 20 minutes does not exist here


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """One power supply; ``None`` where it does not say, or says what cannot be.

    Attributes:
        kind: ``battery`` (or UPS), ``mains`` (or USB, wireless), or ``other``: a mouse, an empty slot.
        status: ``charging``, ``discharging``, ``idle`` (full, or not charging), or ``unknown``.
        online: For ``mains``: whether it delivers.
        pct: Charge in percent.
        wh: Energy left.
        full_wh: Energy when full.
        power_w: Size of the power, without a trusted sign.
        signed_w: As the driver signs it, by the kernel's rule: positive when discharging. Many drivers break the rule.
        micro_proof: A current was seen that can only be in µA.
        notes: What was corrected or refused, in words.
        insane: Fields (``pct``, ``wh``, ``power_w``) that were refused.
    """

    kind: Literal["battery", "mains", "other"]
    status: Literal["charging", "discharging", "idle", "unknown"] = "unknown"
    online: bool | None = None
    pct: float | None = None
    wh: float | None = None
    full_wh: float | None = None
    power_w: float | None = None
    signed_w: float | None = None
    micro_proof: bool = False
    notes: tuple[str, ...] = ()
    insane: frozenset[str] = frozenset()


def parse_uevent(text: str) -> dict[str, str]:
    """Read ``POWER_SUPPLY_KEY=value`` lines; other lines are ignored."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {k.removeprefix("POWER_SUPPLY_"): v.strip() for k, eq, v in pairs if eq and k.startswith("POWER_SUPPLY_")}


def parse_supply(raw: Mapping[str, str], *, micro_proof: bool = False, pack_wh: float | None = None) -> Supply:
    """Make sense of the properties of one supply.

    Args:
        raw: Properties as the kernel names them, without ``POWER_SUPPLY_``.
        micro_proof: This driver has shown before that it counts in µA.
        pack_wh: Energy of the full pack, for gauges that know only percent.
    """
    kind = _kind(raw)
    if kind != "battery":
        return Supply(kind=kind, online=_flag(raw.get("ONLINE")))
    notes: list[str] = []
    insane: set[str] = set()
    volts = _volts(raw.get("VOLTAGE_NOW"), notes)
    status = _status(raw.get("STATUS", ""))
    wh, full = _energy(raw, volts, notes)
    full = full or pack_wh
    pct = _percent(raw, wh, full, notes, insane)
    if wh is None and full is not None and pct is not None:
        wh = full * pct / 100
        notes.append("energy from percent")
    elif wh is not None and full is not None and wh > 1.5 * full:
        notes.append(f"holds {wh:.1f} of {full:.1f} Wh")
        insane.add("wh")
        wh = None
    signed, proof = _power(raw, volts, status, micro_proof, notes)
    power = abs(signed) if signed is not None else None
    if power is not None and (reason := _implausible(power, status, full)):
        notes.append(reason)
        insane.add("power_w")
        power = signed = None
    return Supply(
        kind="battery",
        status=status,
        pct=pct,
        wh=wh,
        full_wh=full,
        power_w=power,
        signed_w=signed,
        micro_proof=proof,
        notes=tuple(notes),
        insane=frozenset(insane),
    )


def _kind(raw: Mapping[str, str]) -> Literal["battery", "mains", "other"]:
    kind = raw.get("TYPE", "").lower()
    if raw.get("SCOPE", "").lower() == "device" or _flag(raw.get("PRESENT")) is False:
        return "other"  # the battery of a mouse, or an empty slot
    if kind in {"battery", "ups"}:
        return "battery"
    return "mains" if kind in {"mains", "wireless"} or kind.startswith("usb") else "other"


def _status(text: str) -> Literal["charging", "discharging", "idle", "unknown"]:
    match text.strip().lower():
        case "charging":
            return "charging"
        case "discharging":
            return "discharging"
        case "full" | "not charging":
            return "idle"
        case _:
            return "unknown"


def _flag(text: str | None) -> bool | None:
    value = integer(text)
    return None if value is None or value < 0 else value > 0


def _volts(text: str | None, notes: list[str]) -> float | None:
    """Volts from µV; from mV where that is the only sense."""
    value = integer(text)
    if value is None:
        return None
    if 1_000 <= value < 100_000:
        notes.append("voltage is in mV")
        return value / 1e3
    volts = value * MICRO
    if not 1.0 <= volts <= 100.0:
        notes.append(f"voltage of {volts:g} V refused")
        return None
    return volts


def _energy(raw: Mapping[str, str], volts: float | None, notes: list[str]) -> tuple[float | None, float | None]:
    """Energy left and energy when full, in Wh, from whichever family the driver has."""
    now, full = _amount(raw, "ENERGY", _SMALLEST_ENERGY, notes)
    if now is not None:
        return now, full
    charge, charge_full = _amount(raw, "CHARGE", _SMALLEST_CHARGE, notes)
    nominal = _volts(raw.get("VOLTAGE_MIN_DESIGN"), []) or volts
    if nominal is None:
        return None, full
    if raw.get("VOLTAGE_MIN_DESIGN") is None and (charge is not None or charge_full is not None):
        notes.append("energy from charge and the present voltage")
    wh = charge * nominal if charge is not None else None
    return wh, full or (charge_full * nominal if charge_full is not None else None)


def _amount(raw: Mapping[str, str], family: str, least: int, notes: list[str]) -> tuple[float | None, float | None]:
    """``NOW`` and ``FULL`` of a family in Wh or Ah; a family that is a thousand times too small is in milli."""
    now, full, design = (integer(raw.get(f"{family}_{k}")) for k in ("NOW", "FULL", "FULL_DESIGN"))
    whole = full if full is not None and full > 0 else design
    if whole is not None and whole <= 0:
        whole = None
    scale = MICRO
    if whole is not None and whole < least:
        scale = 1e-3
        notes.append(f"{family.lower()} is in milli units")
    left = now * scale if now is not None and now >= 0 else None
    return left, whole * scale if whole is not None else None


def _percent(
    raw: Mapping[str, str], wh: float | None, full: float | None, notes: list[str], insane: set[str]
) -> float | None:
    if (integer(raw.get("CAPACITY_ERROR_MARGIN")) or 0) >= 100:
        notes.append("the gauge calls its own percentage useless")
    elif (capacity := integer(raw.get("CAPACITY"))) is not None:
        if -5 <= capacity <= 150:  # gauges overshoot when full
            return clip(float(capacity), 0.0, 100.0)
        notes.append(f"capacity of {capacity} % refused")
        insane.add("pct")
    if wh is not None and full:
        return clip(100 * wh / full, 0.0, 100.0)
    return None


def _power(
    raw: Mapping[str, str], volts: float | None, status: str, micro_proof: bool, notes: list[str]
) -> tuple[float | None, bool]:
    """Power in W, positive when the driver says that it discharges, and the proof that it counts in µA."""
    current = next((c for k in ("CURRENT_NOW", "CURRENT_AVG") if (c := integer(raw.get(k))) is not None), None)
    proof = micro_proof or (current is not None and abs(current) >= _MILLIAMPS_BELOW)
    power = integer(raw.get("POWER_NOW"))
    if power is not None:
        milli = 0 < abs(power) < _MILLIWATTS_BELOW and status == "discharging"
        if milli:
            notes.append("power is in mW")
        sign = -1 if current is not None and current > 0 else 1
        return sign * abs(power) * (1e-3 if milli else MICRO), proof
    if current is None or volts is None:
        return None, proof
    milli = not proof and current != 0 and status != "idle"
    if milli:
        notes.append("current is in mA")
    return -current * (1e-3 if milli else MICRO) * volts, proof


def _implausible(power: float, status: str, full: float | None) -> str:
    """Say why such a power cannot be; nothing when it can."""
    most = max(_MOST_PER_H * full, 5.0) if full else _MOST_W
    if power > most:
        return f"power of {power:.3g} W refused, more than {most:.3g} W"
    if status == "discharging" and power < _LEAST_W:
        return f"power of {power:.2g} W refused, less than a running board takes"
    return ""
