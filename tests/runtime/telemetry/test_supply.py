"""What one power supply says: units, signs, refusals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehybrid.runtime.telemetry.supply import KEYS, parse_supply, parse_uevent

BATTERY = {"TYPE": "Battery", "STATUS": "Discharging", "VOLTAGE_NOW": "3900000", "VOLTAGE_MIN_DESIGN": "3700000"}


def test_energy_family_is_taken_as_it_is() -> None:
    """µWh become Wh; power comes from power_now."""
    raw = {**BATTERY, "ENERGY_NOW": "20000000", "ENERGY_FULL": "40000000", "POWER_NOW": "5000000", "CAPACITY": "50"}
    supply = parse_supply(raw)

    assert (supply.wh, supply.full_wh, supply.power_w, supply.pct) == (20.0, 40.0, 5.0, 50.0)
    assert supply.notes == ()


def test_charge_is_turned_into_energy_by_the_design_voltage() -> None:
    """Wh = Ah times voltage_min_design, not times the present voltage."""
    supply = parse_supply({**BATTERY, "CHARGE_NOW": "1000000", "CHARGE_FULL": "2000000"})

    assert pytest.approx(3.7) == supply.wh
    assert pytest.approx(7.4) == supply.full_wh
    assert pytest.approx(50.0) == supply.pct


def test_without_a_design_voltage_the_present_one_serves_and_is_named() -> None:
    """The second best voltage is used, with a note."""
    raw = {k: v for k, v in BATTERY.items() if k != "VOLTAGE_MIN_DESIGN"}
    supply = parse_supply({**raw, "CHARGE_NOW": "1000000", "CHARGE_FULL": "2000000"})

    assert pytest.approx(3.9) == supply.wh
    assert "energy from charge and the present voltage" in supply.notes


@pytest.mark.parametrize("current", ["1000000", "-1000000"])
def test_the_size_of_the_power_does_not_depend_on_the_drivers_sign(current: str) -> None:
    """Drivers sign as they like; power_w is the size."""
    assert pytest.approx(3.9) == parse_supply({**BATTERY, "CURRENT_NOW": current}).power_w


def test_milliamperes_are_noticed() -> None:
    """A discharging current below 10,000 is in mA, for no board runs on 10 mA."""
    supply = parse_supply({**BATTERY, "CURRENT_NOW": "-1200"})

    assert pytest.approx(1.2 * 3.9) == supply.power_w
    assert "current is in mA" in supply.notes


def test_a_driver_proved_to_count_in_microamperes_stays_so() -> None:
    """A trickle of 8 mA after a proof is 8 mA, not 8 A."""
    raw = {**BATTERY, "STATUS": "Charging", "CURRENT_NOW": "8000"}

    assert pytest.approx(0.008 * 3.9) == parse_supply(raw, micro_proof=True).power_w
    assert parse_supply({**raw, "CURRENT_NOW": "500000"}).micro_proof


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ({"POWER_NOW": "900000000"}, "power_w"),  # 900 W
        ({"POWER_NOW": "0"}, "power_w"),  # nothing runs on nothing
        ({"CAPACITY": "255"}, "pct"),
        ({"CAPACITY": "-20"}, "pct"),
        ({"ENERGY_NOW": "90000000", "ENERGY_FULL": "20000000"}, "wh"),
    ],
)
def test_what_cannot_be_is_refused(raw: dict[str, str], field: str) -> None:
    """The value is None, its field is named, and a note says why."""
    supply = parse_supply({**BATTERY, **raw})

    assert getattr(supply, field) is None
    assert field in supply.insane
    assert supply.notes


def test_a_big_pack_may_give_more_power() -> None:
    """50 W is refused for an unknown pack, and fine for a laptop's 60 Wh."""
    raw = {**BATTERY, "POWER_NOW": "50000000"}

    assert parse_supply(raw).power_w is None
    assert 50.0 == parse_supply({**raw, "ENERGY_FULL": "60000000", "ENERGY_NOW": "30000000"}).power_w


@pytest.mark.parametrize(("shown", "taken"), [("104", 100.0), ("-1", 0.0), ("0", 0.0), ("100", 100.0)])
def test_a_gauge_that_overshoots_a_little_is_clipped(shown: str, taken: float) -> None:
    """Percent is always 0 to 100."""
    assert taken == parse_supply({**BATTERY, "CAPACITY": shown}).pct


def test_a_gauge_that_calls_itself_useless_is_believed() -> None:
    """An error margin of 100 % makes the percentage worthless."""
    assert parse_supply({**BATTERY, "CAPACITY": "80", "CAPACITY_ERROR_MARGIN": "100"}).pct is None


def test_percent_and_a_known_pack_make_energy() -> None:
    """A MAX17040 gives percent and voltage only; the owner knows the pack."""
    raw = {"TYPE": "Battery", "STATUS": "Unknown", "CAPACITY": "50", "VOLTAGE_NOW": "3800000"}

    assert parse_supply(raw).wh is None
    assert 5.0 == parse_supply(raw, pack_wh=10.0).wh


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        ({"TYPE": "Battery", "SCOPE": "Device", "CAPACITY": "5"}, "other"),
        ({"TYPE": "Battery", "PRESENT": "0"}, "other"),
        ({"TYPE": "UPS", "CAPACITY": "50"}, "battery"),
        ({"TYPE": "USB_PD", "ONLINE": "1"}, "mains"),
        ({"TYPE": "Wireless", "ONLINE": "0"}, "mains"),
        ({}, "other"),
    ],
)
def test_kinds(raw: dict[str, str], kind: str) -> None:
    """The type decides, not the name; a mouse's battery is none of ours."""
    assert kind == parse_supply(raw).kind


def test_milli_units_of_charge_are_noticed() -> None:
    """A pack of 2000 µAh does not exist: it is 2000 mAh."""
    supply = parse_supply({**BATTERY, "CHARGE_NOW": "1000", "CHARGE_FULL": "2000"})

    assert pytest.approx(3.7) == supply.wh
    assert "charge is in milli units" in supply.notes


def test_millivolts_are_noticed_and_zero_volts_refused() -> None:
    """3900 is 3.9 V; 0 µV is a dead chip, and no power comes from it."""
    assert pytest.approx(3.9) == parse_supply({**BATTERY, "VOLTAGE_NOW": "3900", "CURRENT_NOW": "1000000"}).power_w
    dead = {**BATTERY, "VOLTAGE_NOW": "0", "CURRENT_NOW": "1000000"}
    assert parse_supply(dead).power_w is None


def test_uevent_lines_are_read_and_others_ignored() -> None:
    """Only POWER_SUPPLY_ lines with a value count."""
    text = "DEVTYPE=power_supply\nPOWER_SUPPLY_NAME=ups\nPOWER_SUPPLY_CAPACITY=50\nPOWER_SUPPLY_BROKEN\n\x00\n"

    assert parse_uevent(text) == {"NAME": "ups", "CAPACITY": "50"}


VALUES = st.one_of(
    st.text(max_size=12), st.integers(-(10**18), 10**18).map(str), st.sampled_from(["Battery", "Charging"])
)


@given(raw=st.dictionaries(st.sampled_from(KEYS), VALUES), pack=st.none() | st.floats(0.1, 1000))
def test_any_properties_give_bounded_figures(raw: dict[str, str], pack: float | None) -> None:
    """Whatever a driver says: percent in 0 to 100, energies not below zero, power neither negative nor absurd."""
    supply = parse_supply({**raw, "TYPE": "Battery"}, pack_wh=pack)

    assert supply.pct is None or 0 <= supply.pct <= 100
    assert supply.wh is None or supply.wh >= 0
    assert supply.power_w is None or 0 <= supply.power_w <= max(40.0, 3 * (supply.full_wh or 0))
