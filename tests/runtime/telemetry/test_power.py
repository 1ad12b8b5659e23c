"""Power of the board: INA chips, Jetson rails, the Pi 5's power controller, the battery, the processor's counter."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehybrid.runtime.telemetry import Reading, Snapshot, Telemetry
from edgehybrid.runtime.telemetry.pack import cells, rest_percent
from edgehybrid.runtime.telemetry.pmic import parse_pmic, wall_w
from edgehybrid.runtime.telemetry.polarity import Polarity
from edgehybrid.runtime.telemetry.rapl import used_uj
from edgehybrid.testing import DeviceTree, sensor_files


def put(tree: DeviceTree, files: sensor_files.Files) -> DeviceTree:
    """Write files into a tree."""
    for path, text in files.items():
        tree.write(path, text)
    return tree


def power(tree: DeviceTree) -> Reading:
    """What a fresh look says of the power."""
    return Telemetry(tree.root).read().readings["power_w"]


@pytest.mark.parametrize("chip", ["ina219", "ina226", "ina238", "ina260"])
def test_a_chip_at_the_boards_input(tmp_path: Path, chip: str) -> None:
    """5.1 V and 800 mA are 4.08 W of the whole board, ± 3 %, taken so by its volts."""
    reading = power(DeviceTree.pi5(tmp_path).ina(5.1, 0.8, chip=chip))

    assert pytest.approx(4.08) == reading.value
    assert pytest.approx(0.1224) == reading.uncertainty
    assert "board" == reading.scope
    assert "5.1 V" in reading.note


def test_other_hwmon_chips_are_no_power_sensors(tmp_path: Path) -> None:
    """A Raspberry Pi's own hwmon (``rpi_volt``, ``cpu_thermal``) measures no current."""
    tree = DeviceTree.pi5(tmp_path).write("sys/class/hwmon/hwmon0/name", "rpi_volt\n")
    tree.write("sys/class/hwmon/hwmon0/in0_lcrit_alarm", "0\n")

    assert ("missing", "no chip that measures power") == (power(tree).trust, power(tree).note)


def test_a_jetson_has_a_rail_for_everything(tmp_path: Path) -> None:
    """JetPack 5: VDD_IN alone, not the sum of the three; ``in7``, the sum of shunts, is no rail."""
    reading = power(DeviceTree.jetson_orin_nano(tmp_path))

    assert pytest.approx(6.15) == reading.value
    assert "board" == reading.scope
    assert "VDD_IN" in reading.source


def test_a_jetson_of_the_older_kind(tmp_path: Path) -> None:
    """JetPack 4: ``in_power0_input`` in mW under iio, POM_5V_IN is the total."""
    assert (4.3, "board") == (power(DeviceTree.jetson_nano(tmp_path)).value, "board")


def test_a_jetson_without_a_total_gives_the_sum_of_its_rails(tmp_path: Path) -> None:
    """Channels that are not connected are left out, and the sum is called a part of the board."""
    rails = (("VDD_GPU_SOC", 19.0, 0.4), ("NC", 0.0, 0.0), ("VIN_SYS_5V0", 5.0, 0.8))
    reading = power(put(DeviceTree(tmp_path), sensor_files.ina3221_files(rails)))

    assert pytest.approx(11.6) == reading.value
    assert "rail" == reading.scope
    assert "NC" not in reading.source


def test_rails_by_way_of_the_bus(tmp_path: Path) -> None:
    """The same chip where only ``/sys/bus/i2c`` is mounted."""
    folder = "sys/bus/i2c/devices/1-0040/hwmon/hwmon3"
    tree = put(DeviceTree(tmp_path), sensor_files.ina3221_files((("VDD_IN", 5.0, 1.0),), folder=folder))

    assert pytest.approx(5.0) == power(tree).value


@pytest.mark.parametrize(("volts", "amps"), [(5.0, 0.0), (5.0, 30.0), (5.0, 0.005)])
def test_watts_that_no_board_takes_are_refused(tmp_path: Path, volts: float, amps: float) -> None:
    """0 W, 150 W or 25 mW: a wrong shunt in the device tree is the usual reason, and the note says so."""
    reading = power(DeviceTree.pi5(tmp_path).ina(volts, amps))

    assert (None, "insane") == (reading.value, reading.trust)
    assert "shunt" in reading.note


def test_over_current_counts_as_throttling(tmp_path: Path) -> None:
    """An alarm of a rail while it lasts, and an event counter for the sweep that finds it grown."""
    tree = DeviceTree.jetson_orin_nano(tmp_path)
    telemetry = Telemetry(tree.root)
    calm = telemetry.read().throttled
    tree.write("sys/class/hwmon/hwmon1/curr1_crit_alarm", "1\n")
    alarm = telemetry.read()
    tree.write("sys/class/hwmon/hwmon1/curr1_crit_alarm", "0\n")
    tree.write("sys/class/hwmon/hwmon2/oc1_event_cnt", "3\n")
    event, after = telemetry.read(), telemetry.read()

    assert [False, True, True, False] == [calm, alarm.throttled, event.throttled, after.throttled]
    assert "curr1_crit_alarm" in alarm.readings["throttled"].note
    assert "oc1_event_cnt" in event.readings["throttled"].note


def test_a_pi_5_is_measured_by_its_own_rails(tmp_path: Path) -> None:
    """1.55 W of rails are 2.36 W at the socket by the published fit, ± 0.6 W."""
    reading = power(DeviceTree.pi5(tmp_path).pmic(core_w=0.39, others_w=1.16))

    assert pytest.approx(1.1451 * 1.55 + 0.5879) == reading.value
    assert "USB and HATs are not measured" in reading.note
    assert "board" == reading.scope


def test_rails_need_amperes_and_volts() -> None:
    """EXT5V and BATT have volts only and count for nothing; other boards print an error, which is nothing."""
    text = "     VDD_CORE_A current(7)=0.50000000A\n EXT5V_V volt(24)=5.1V\n     VDD_CORE_V volt(15)=0.80000000V\n"

    assert {"VDD_CORE": (0.5, 0.8)} == parse_pmic(text)
    assert pytest.approx(1.1451 * 0.4 + 0.5879) == wall_w(parse_pmic(text))
    assert {} == parse_pmic('error=1 error_msg="Command not registered"')


@pytest.mark.parametrize("text", ['error=1 error_msg="Command not registered"', "\x00\xff", "VDD_CORE_A current(7)=9A"])
def test_a_power_controller_that_talks_nonsense(tmp_path: Path, text: str) -> None:
    """No figures, no power."""
    reading = power(DeviceTree.pi5(tmp_path).write("vcgencmd/pmic_read_adc", text))

    assert (None, "insane") == (reading.value, reading.trust)


def test_a_battery_stands_in_while_it_feeds_the_board(tmp_path: Path) -> None:
    """What leaves it is what the board and its converter take; while it charges nobody can tell."""
    tree = DeviceTree.pi4_ups(tmp_path)
    drains = Telemetry(tree.root).read()
    tree.battery(name="ups", status="Charging").mains(True, name="ups-charger")
    charges = Telemetry(tree.root).read()

    assert pytest.approx(5.0) == drains.power_w
    assert "battery" == drains.power_scope
    assert (None, None) == (charges.power_w, charges.power_scope)


def test_a_chip_at_the_input_is_surer_than_the_battery(tmp_path: Path) -> None:
    """Both are there: the board's own figure counts."""
    reading = power(DeviceTree.pi4_ups(tmp_path).ina(5.1, 0.8))

    assert pytest.approx(4.08) == reading.value
    assert "board" == reading.scope


def test_the_processors_counter_is_a_part_of_the_board(tmp_path: Path) -> None:
    """Two sweeps, 20 J in 4 s: 5 W of the package; it wraps without harm."""
    now = [0.0]
    tree = put(DeviceTree(tmp_path), sensor_files.rapl_files(262140.0))
    telemetry = Telemetry(tree.root, clock=lambda: now[0])
    first = telemetry.read()
    now[0] = 4.0
    put(tree, sensor_files.rapl_files(262160.0))
    second = telemetry.read()

    assert first.power_w is None
    assert pytest.approx(5.0, rel=1e-3) == second.power_w
    assert "rail" == second.power_scope


@given(full=st.integers(1, 10**12), before=st.integers(0, 10**12), used=st.integers(0, 10**11))
def test_a_counter_may_wrap_once(full: int, before: int, used: int) -> None:
    """What was used is found whatever the counter stood at."""
    before, used = before % full, used % full

    assert used == used_uj(before, (before + used) % full, full)


def wire(tmp_path: Path, *, sign: int, minutes: int, pack_wh: float | None = 20.0) -> list[Snapshot]:
    """Discharge two cells behind an INA219, then charge them; ``sign`` is how it is wired."""
    now = [0.0]
    tree = DeviceTree.pi4_hat(tmp_path)
    telemetry = Telemetry(tree.root, clock=lambda: now[0], pack_wh=pack_wh)
    cell, out = 4.05, []
    for minute in range(minutes):
        empties = minute < minutes * 2 / 3
        cell += -0.01 if empties else 0.02
        amps = 0.8 if empties else -1.0
        tree.ina(2 * (cell - 0.08 * amps), sign * amps)
        now[0] = 60.0 * minute
        out.append(telemetry.read())
    return out


@pytest.mark.parametrize("sign", [1, -1])
def test_a_hat_without_a_gauge_is_a_battery(tmp_path: Path, sign: int) -> None:
    """Charge by the volts at rest; power once its direction is proved; the wiring's sign is learned, not assumed."""
    seen = wire(tmp_path, sign=sign, minutes=30)
    proved = [s for s in seen if s.battery_w is not None]

    assert seen[0].battery_pct is not None
    assert "not proved" in seen[0].readings["battery_w"].note
    assert all(s.battery_w is not None for s in seen[8:])
    assert all((s.battery_w or 0) > 5 for s in proved if s.at_s < 20 * 60)
    assert all((s.battery_w or 0) < -5 for s in seen[21:])
    assert (False, True) == (seen[15].on_mains, seen[-1].on_mains)
    assert seen[15].power_w is not None
    assert seen[-1].power_w is None
    assert (seen[15].battery_wh or 0) < (seen[0].battery_wh or 0)


def test_without_the_packs_size_there_is_no_energy(tmp_path: Path) -> None:
    """A percentage is not invented into watt hours."""
    seen = wire(tmp_path, sign=1, minutes=3, pack_wh=None)

    assert seen[0].battery_pct is not None
    assert "not known" in seen[0].readings["battery_wh"].note


def test_a_supply_of_3_3_volts_is_no_empty_battery(tmp_path: Path) -> None:
    """But a cell that was seen full stays a battery when it has come down to 3.3 V."""
    tree = DeviceTree(tmp_path).ina(3.3, 0.2)
    assert Telemetry(tree.root).read().battery_pct is None
    tree.ina(3.8, 0.9)
    telemetry = Telemetry(tree.root, clock=lambda: 0.0)
    telemetry.read()
    tree.ina(3.3, 0.9)

    assert telemetry.read().battery_pct is not None


@given(volts=st.floats(0, 10), more=st.floats(0, 1))
def test_more_volts_never_mean_less_charge(volts: float, more: float) -> None:
    """From 0 to 100 %, and never down; the table's own points are hit."""
    assert 0 <= rest_percent(volts) <= rest_percent(volts + more) <= 100
    assert (0.0, 50.0, 100.0) == (rest_percent(3.27), rest_percent(3.84), rest_percent(4.2))
    assert (1, 2, None, None) == (cells(3.7), cells(7.4), cells(5.1), cells(12.0))


@given(currents=st.lists(st.floats(0.05, 10), min_size=1), wired=st.sampled_from([1, -1]))
def test_a_sign_that_was_proved_once_serves_from_then_on(currents: list[float], wired: int) -> None:
    """Either wiring; but a driver that gives sizes only, the same sign both ways, is never believed."""
    polarity = Polarity()
    assert 0 == polarity.direction(currents[0])
    for amps in currents:
        polarity = polarity.proved(wired * amps, 1)

        assert (1, -1) == (polarity.direction(wired * amps), polarity.direction(-wired * amps))
    unsigned = polarity.proved(wired * currents[0], -1)
    assert 0 == unsigned.direction(wired * currents[0]) == unsigned.direction(-wired * currents[0])
