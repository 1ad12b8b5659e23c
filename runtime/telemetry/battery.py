"""Battery and mains, from ``/sys/class/power_supply``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edgehybrid.runtime.telemetry.files import names, read, shown
from edgehybrid.runtime.telemetry.polarity import Polarity
from edgehybrid.runtime.telemetry.slope import Slope
from edgehybrid.runtime.telemetry.snapshot import Reading
from edgehybrid.runtime.telemetry.source import insane, missing
from edgehybrid.runtime.telemetry.supply import KEYS, Supply, parse_supply, parse_uevent

_FOLDER = "sys/class/power_supply"


@dataclass(slots=True, kw_only=True)
class Battery:
    """All batteries of the device taken as one, and whether it hangs on the mains.

    Args:
        root: Where the device tree begins.
        pack_wh: Energy of the full pack, for gauges that know only percent.
    """

    root: str
    pack_wh: float | None = None
    name: str = "battery"
    fields: tuple[str, ...] = ("battery_pct", "battery_wh", "battery_w", "on_mains")
    _supplies: dict[str, dict[str, str]] = field(default_factory=dict)  # folder -> properties that uevent lacks
    _micro: set[str] = field(default_factory=set)  # folders proved to count in µA
    _slope: Slope = field(default_factory=Slope)
    _polarity: Polarity = field(default_factory=Polarity)

    def discover(self) -> None:
        """List the supplies; read what their uevent leaves out and what never changes."""
        base = f"{self.root}{_FOLDER}"
        self._supplies = {}
        for entry in names(base):
            path = f"{base}/{entry}"
            known = parse_uevent(read(f"{path}/uevent").text or "")
            constant = {k: t for k in ("TYPE", "SCOPE") if k not in known and (t := read(f"{path}/{k.lower()}").text)}
            self._supplies[path] = constant

    def read(self, at_s: float) -> Mapping[str, Reading]:
        """Read every supply once, sum the batteries."""
        batteries: list[Supply] = []
        mains: list[Supply] = []
        silent: list[str] = []
        paths: list[str] = []
        for path, constant in self._supplies.items():
            raw, note = self._properties(path, constant)
            supply = parse_supply(raw, micro_proof=path in self._micro, pack_wh=self.pack_wh)
            if supply.micro_proof:
                self._micro.add(path)
            if not raw or raw.keys() <= {"TYPE", "SCOPE"}:
                silent.append(f"{path.rpartition('/')[2]}: {note}")
            elif supply.kind == "battery":
                batteries.append(supply)
                paths.append(shown(path, self.root))
            elif supply.kind == "mains":
                mains.append(supply)
        where = ", ".join(paths) or f"/{_FOLDER}"
        total = combine(batteries)
        self._advance(at_s, total)
        signed = total.signed_w if total is not None else None
        direction = self._slope.direction or (self._polarity.direction(signed) if signed is not None else 0)
        return _readings(where, batteries, mains, total, self._slope, direction, at_s, "; ".join(silent))

    def _properties(self, path: str, constant: Mapping[str, str]) -> tuple[dict[str, str], str]:
        uevent = read(f"{path}/uevent")
        found = parse_uevent(uevent.text or "")
        if found.keys() - {"TYPE", "SCOPE", "NAME"}:
            return {**constant, **found}, ""
        single = {k: t for k in KEYS if (t := read(f"{path}/{k.lower()}").text)}  # a driver without a useful uevent
        return {**constant, **single}, uevent.note or "nothing of use in uevent"

    def _advance(self, at_s: float, total: Supply | None) -> None:
        if total is None or total.wh is None:
            self._slope = Slope()
        else:
            self._slope = self._slope.push(at_s, total.wh)
        if total is not None and total.signed_w is not None:
            told = {"discharging": 1, "charging": -1}.get(total.status, 0 if total.status == "idle" else None)
            self._polarity = self._polarity.proved(total.signed_w, self._slope.direction if told is None else told)


def combine(batteries: Sequence[Supply]) -> Supply | None:
    """Take several batteries as one: energies and powers add up; ``None`` for none."""
    if len(batteries) < 2:
        return batteries[0] if batteries else None
    wh, full = (_sum([getattr(b, k) for b in batteries]) for k in ("wh", "full_wh"))
    shares = [b.pct for b in batteries if b.pct is not None]
    pct = 100 * min(wh / full, 1.0) if wh is not None and full else (sum(shares) / len(shares) if shares else None)
    directed = [_directed(b, None, 0)[0] for b in batteries]
    power = _sum(directed)
    states = {b.status for b in batteries}
    status = next((s for s in ("discharging", "charging", "unknown") if s in states), "idle")
    return Supply(
        kind="battery",
        status=status,  # type: ignore[arg-type]  # one of the words of Supply.status
        pct=pct,
        wh=wh,
        full_wh=full,
        power_w=abs(power) if power is not None else None,
        signed_w=power,
        notes=tuple(n for b in batteries for n in b.notes),
        insane=frozenset(n for b in batteries for n in b.insane),
    )


def _sum(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) if known and len(known) == len(values) else None


def _directed(b: Supply, mains: bool | None, proved: int) -> tuple[float | None, str]:
    """Power with a sign that something proves: the status, else the gauge, else the absence of mains."""
    if b.power_w is None:
        return None, ""
    if b.status == "discharging" or (b.status == "unknown" and proved > 0):
        return b.power_w, ""
    if b.status == "charging" or (b.status == "unknown" and proved < 0):
        return -b.power_w, ""
    if b.status == "idle":
        return (0.0 if b.power_w < 0.5 else -b.power_w), ""
    if mains is False:
        return b.power_w, "discharging, for it is not on the mains"
    return None, "the direction of the current is not proved yet"


def _readings(
    where: str,
    batteries: Sequence[Supply],
    mains: Sequence[Supply],
    total: Supply | None,
    slope: Slope,
    direction: int,
    at_s: float,
    silent: str,
) -> dict[str, Reading]:
    plugged = _plugged(where, mains, total)
    if total is None:
        none = missing(where, silent or "no battery")
        return {"battery_pct": none, "battery_wh": none, "battery_w": none, "on_mains": plugged}
    note = "; ".join((*total.notes, *([silent] if silent else [])))
    pct = _figure(total.pct, "pct" in total.insane, where, note, "the gauge gives no percentage")
    wh = _figure(total.wh, "wh" in total.insane, where, note, "the gauge knows no energy")
    online = None if plugged.value is None else bool(plugged.value)
    if len(batteries) > 1:
        power, why = total.signed_w, "" if total.signed_w is not None else "not every battery gives its power"
    else:
        power, why = _directed(total, online, direction)
    if power is None and (fall := slope.watts(at_s)) is not None:
        age = at_s - (slope.moved_at_s or at_s)
        text = f"slope of the gauge, ± {fall[1]:.1f} W"
        drain = Reading(value=fall[0], source=where, trust="stale" if age > 600 else "good", age_s=age, note=text)
    else:
        drain = _figure(power, "power_w" in total.insane, where, why or note, why or "no current, and no slope yet")
    return {"battery_pct": pct, "battery_wh": wh, "battery_w": drain, "on_mains": plugged}


def _figure(value: float | None, refused: bool, where: str, note: str, absent: str) -> Reading:
    if value is not None:
        return Reading(value=value, source=where, note=note)
    return insane(where, note) if refused else missing(where, note or absent)


def _plugged(where: str, mains: Sequence[Supply], total: Supply | None) -> Reading:
    states = [m.online for m in mains if m.online is not None]
    if states:
        return Reading(value=float(any(states)), source=f"/{_FOLDER}")
    if total is not None and total.status != "unknown":
        return Reading(value=float(total.status != "discharging"), source=where, note="from the battery's status")
    return missing(f"/{_FOLDER}", "nothing tells whether it is plugged in")
