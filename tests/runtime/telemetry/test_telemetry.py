"""Whole device trees to snapshots."""

from __future__ import annotations

import shutil
import time
from dataclasses import fields
from pathlib import Path

import pytest

from edgehybrid.profiles import load_device
from edgehybrid.runtime.telemetry import Snapshot, Telemetry
from edgehybrid.testing import DeviceTree

PI4 = load_device("raspberry-pi-4b")


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now_s


def test_a_pi_4_on_a_ups_tells_everything(tmp_path: Path) -> None:
    """Every field has the value that the tree was given, and every reading is good."""
    tree = DeviceTree.pi4_ups(tmp_path).pressure(12.5, 1.5)
    telemetry = Telemetry(tree.root, device=PI4, clock=lambda: 5.0)
    telemetry.read()
    tree.load(40, 10)
    snapshot = telemetry.read()

    expected = Snapshot(
        at_s=5.0,
        battery_pct=80.0,
        battery_wh=29.6,
        battery_w=5.0,
        on_mains=False,
        power_w=5.0,
        power_scope="battery",
        soc_temp_c=61.5,
        throttled=False,
        under_voltage=False,
        cpu_load_pct=40.0,
        cpu_mhz=1500,
        cpu_cap_mhz=1800,
        cpu_cores=4,
        cpu_pressure_pct=12.5,
        memory_pressure_pct=1.5,
        memory_free_mib=3500,
        readings=snapshot.readings,
    )
    for field in fields(Snapshot):
        want = getattr(expected, field.name)
        assert (pytest.approx(want) if isinstance(want, float) else want) == getattr(snapshot, field.name)
    assert all(("missing" if n.startswith("npu") else "good") == r.trust for n, r in snapshot.readings.items())


def test_every_field_has_its_reading(tmp_path: Path) -> None:
    """Also on a device without any sensor, each field has a reading that says what is wrong."""
    snapshot = Telemetry(tmp_path).read()
    names = {f.name for f in fields(Snapshot)} - {"at_s", "power_scope", "readings"}

    assert names == set(snapshot.readings)
    assert all(getattr(snapshot, n) is None for n in names)
    assert {"missing"} == {r.trust for r in snapshot.readings.values()}
    assert all(r.note and r.age_s is None for r in snapshot.readings.values())


def test_a_pi_5_without_a_battery(tmp_path: Path) -> None:
    """Its firmware node lies elsewhere; no battery is no zero."""
    snapshot = Telemetry(DeviceTree.pi5(tmp_path).throttled(0x50005).root).read()

    assert (None, None) == (snapshot.battery_pct, snapshot.on_mains)
    assert (snapshot.throttled, snapshot.under_voltage) == (True, True)


def test_a_zero_has_no_under_voltage_detector(tmp_path: Path) -> None:
    """Bit 0 means nothing on a board without the detector."""
    tree = DeviceTree.zero2w(tmp_path).throttled(0x1)
    snapshot = Telemetry(tree.root, device=load_device("raspberry-pi-zero-2w")).read()

    assert snapshot.under_voltage is None
    assert snapshot.throttled is False


def test_a_laptops_batteries_add_up_and_its_mouse_does_not_count(tmp_path: Path) -> None:
    """60 % of 24 Wh and 90 % of 48 Wh are 80 % of 72 Wh; the package zone is the processor's."""
    snapshot = Telemetry(DeviceTree.laptop(tmp_path).root).read()

    assert pytest.approx(57.6) == snapshot.battery_wh
    assert pytest.approx(80) == snapshot.battery_pct
    assert pytest.approx(6, rel=0.01) == snapshot.battery_w
    assert 52.0 == snapshot.soc_temp_c


def test_a_container_is_bounded_by_its_quota(tmp_path: Path) -> None:
    """1.5 of 16 cores, 400 of 30,000 MiB, no sensors."""
    snapshot = Telemetry(DeviceTree.container(tmp_path).root).read()

    assert (snapshot.cpu_cores, snapshot.memory_free_mib) == (1.5, 400.0)
    assert snapshot.soc_temp_c is None


def test_control_groups_of_the_first_generation(tmp_path: Path) -> None:
    """cpu.cfs_quota_us and memory.limit_in_bytes bound us as well; file pages count as free."""
    tree = DeviceTree.pi5(tmp_path)
    tree.write("proc/self/cgroup", "4:memory:/box\n1:cpu,cpuacct:/box\n")
    tree.write("sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "50000\n").write(
        "sys/fs/cgroup/cpu/box/cpu.cfs_period_us", "100000\n"
    )
    tree.write("sys/fs/cgroup/memory/box/memory.limit_in_bytes", f"{100 << 20}\n")
    tree.write("sys/fs/cgroup/memory/box/memory.usage_in_bytes", f"{60 << 20}\n")
    tree.write("sys/fs/cgroup/memory/box/memory.stat", f"total_inactive_file {20 << 20}\n")
    snapshot = Telemetry(tree.root).read()

    assert (snapshot.cpu_cores, snapshot.memory_free_mib) == (0.5, 60.0)


@pytest.mark.parametrize(("status", "sign"), [("Discharging", 1), ("Charging", -1), ("Full", -1), ("Not charging", -1)])
def test_the_status_gives_the_sign(tmp_path: Path, status: str, sign: int) -> None:
    """Positive is discharging, whatever the driver writes before the current."""
    tree = DeviceTree(tmp_path).battery(status=status, power_w=4.0)
    uevent = tree.root / "sys/class/power_supply/BAT0/uevent"
    for text in (uevent.read_text(), uevent.read_text().replace("CURRENT_NOW=-", "CURRENT_NOW=")):
        tree.write("sys/class/power_supply/BAT0/uevent", text)

        assert pytest.approx(sign * 4.0, rel=1e-3) == Telemetry(tree.root).read().battery_w


def test_an_unknown_status_waits_for_the_gauge_to_prove_the_sign(tmp_path: Path) -> None:
    """Until the gauge has fallen three times nothing is said; then the current counts as discharging."""
    clock = Clock()
    tree = DeviceTree(tmp_path).battery(status="Unknown", power_w=4.0)
    telemetry = Telemetry(tree.root, clock=clock)
    first = telemetry.read()
    for pct in (79, 78, 77):
        clock.now_s += 60
        last = telemetry_at(tree, telemetry, pct)

    assert first.battery_w is None
    assert "not proved" in first.readings["battery_w"].note
    assert pytest.approx(4.0, rel=1e-3) == last.battery_w


def telemetry_at(tree: DeviceTree, telemetry: Telemetry, pct: float) -> Snapshot:
    """Read with the gauge at ``pct``."""
    tree.battery(status="Unknown", power_w=4.0, pct=pct)
    return telemetry.read()


def test_a_gauge_without_current_gives_power_by_its_slope(tmp_path: Path) -> None:
    """A MAX17040 with a pack that the owner names: 1 % of 36 Wh a minute is 21.6 W; without the pack, None."""
    clock = Clock()
    tree = DeviceTree.zero2w(tmp_path)
    knows, guesses = Telemetry(tree.root, clock=clock, pack_wh=36), Telemetry(tree.root, clock=clock)
    for pct in (71, 70, 69, 68):
        clock.now_s += 60
        tree.battery(pct=pct, power_w=None, status="Unknown", family="capacity", name="max17040")
        known, unknown = knows.read(), guesses.read()

    assert pytest.approx(21.6) == known.battery_w
    assert "slope" in known.readings["battery_w"].note
    assert (unknown.battery_pct, unknown.battery_wh, unknown.battery_w) == (68.0, None, None)


def test_a_driver_without_uevent_is_read_file_by_file(tmp_path: Path) -> None:
    """Each property also has a file of its own."""
    tree = DeviceTree(tmp_path)
    for name, text in (("type", "Battery"), ("status", "Discharging"), ("capacity", "55")):
        tree.write(f"sys/class/power_supply/hat/{name}", f"{text}\n")
    snapshot = Telemetry(tree.root).read()

    assert (snapshot.battery_pct, snapshot.on_mains) == (55.0, False)


def test_a_usb_supply_that_delivers_means_mains(tmp_path: Path) -> None:
    """Also when the battery says otherwise: a weak charger."""
    tree = DeviceTree(tmp_path).battery()
    tree.write("sys/class/power_supply/usb/uevent", "POWER_SUPPLY_TYPE=USB\nPOWER_SUPPLY_ONLINE=1\n")
    snapshot = Telemetry(tree.root).read()

    assert snapshot.on_mains is True
    assert snapshot.battery_w is not None
    assert snapshot.battery_w > 0


@pytest.mark.parametrize("celsius", [-89.7, 151.0])
def test_an_insane_temperature_is_refused_and_not_replaced_by_another_parts(tmp_path: Path, celsius: float) -> None:
    """The battery's 25 °C is no stand-in for a dead sensor of the chip."""
    tree = DeviceTree(tmp_path).temperature(celsius).temperature(25, zone=1, kind="battery")
    snapshot = Telemetry(tree.root).read()

    assert snapshot.soc_temp_c is None
    assert "insane" == snapshot.readings["soc_temp_c"].trust


def test_zero_degrees_are_believed_only_alone(tmp_path: Path) -> None:
    """Exactly 0 °C beside another living zone is a dead sensor; alone it may be winter."""
    tree = DeviceTree(tmp_path).temperature(0)
    alone = Telemetry(tree.root).read()
    beside = Telemetry(tree.temperature(31, zone=1, kind="wifi").root).read()

    assert 0.0 == alone.soc_temp_c
    assert beside.soc_temp_c is None
    assert "insane" == beside.readings["soc_temp_c"].trust


def test_hwmon_serves_where_the_zone_is_dead(tmp_path: Path) -> None:
    """Another sensor of the same chip may stand in."""
    tree = DeviceTree(tmp_path).temperature(-89.7)
    tree.write("sys/class/hwmon/hwmon0/name", "k10temp\n").write("sys/class/hwmon/hwmon0/temp1_input", "58000\n")

    assert 58.0 == Telemetry(tree.root).read().soc_temp_c


def test_the_hottest_zone_serves_where_none_is_the_processors(tmp_path: Path) -> None:
    """A guess, and called so."""
    tree = DeviceTree(tmp_path).temperature(25, kind="acpitz").temperature(47, zone=1, kind="thermal-fan-est")
    reading = Telemetry(tree.root).read().readings["soc_temp_c"]

    assert 47.0 == reading.value
    assert "hottest" in reading.note


def test_a_vanished_battery_is_missing_with_its_age_and_found_again(tmp_path: Path) -> None:
    """The age grows from the last sane reading; a battery that comes back is seen within 60 sweeps."""
    clock = Clock()
    tree = DeviceTree.pi4_ups(tmp_path)
    telemetry = Telemetry(tree.root, clock=clock)
    telemetry.read()
    tree.remove("battery")
    clock.now_s += 30
    gone = telemetry.read()
    tree.battery(pct=33, name="other")
    back = [telemetry.read().battery_pct for _ in range(61)]

    assert gone.battery_pct is None
    assert (gone.readings["battery_pct"].trust, gone.readings["battery_pct"].age_s) == ("missing", 30.0)
    assert 33.0 == back[-1]


def test_a_battery_that_took_another_name_is_found_at_once(tmp_path: Path) -> None:
    """A HAT that reconnects is numbered anew, while its charger stays where it was."""
    tree = DeviceTree.pi4_ups(tmp_path)
    telemetry = Telemetry(tree.root)
    telemetry.read()
    tree.remove("sys/class/power_supply/ups")
    tree.battery(pct=42, name="ups-1")

    assert 42.0 == telemetry.read().battery_pct


def test_a_zone_that_moved_is_found_at_once(tmp_path: Path) -> None:
    """Zones are renumbered when a driver reloads."""
    tree = DeviceTree(tmp_path).temperature(50)
    telemetry = Telemetry(tree.root)
    telemetry.read()
    shutil.rmtree(tree.root / "sys/class/thermal/thermal_zone0")
    tree.temperature(51, zone=3)

    assert 51.0 == telemetry.read().soc_temp_c


def test_a_frozen_temperature_is_noticed_and_recovers(tmp_path: Path) -> None:
    """The same value for over two minutes, while the load went from idle to full, is no measurement."""
    clock = Clock()
    tree = DeviceTree.pi4_ups(tmp_path).temperature(50)
    telemetry = Telemetry(tree.root, clock=clock)
    trusts = []
    for sweep in range(100):
        clock.now_s += 2
        reading = telemetry_under(tree, telemetry, 5 if sweep < 50 else 95).readings["soc_temp_c"]
        trusts.append(reading.trust)
    tree.temperature(50.5)
    recovered = telemetry.read()

    assert "good" == trusts[0]
    assert "frozen" == trusts[-1]
    assert reading.value is None
    assert 50.5 == recovered.soc_temp_c


def test_a_steady_temperature_under_steady_load_is_not_frozen(tmp_path: Path) -> None:
    """A sensor of 0.5 °C steps may well repeat itself when nothing changes."""
    clock = Clock()
    tree = DeviceTree.pi4_ups(tmp_path)
    telemetry = Telemetry(tree.root, clock=clock)
    for _ in range(300):
        clock.now_s += 2
        snapshot = telemetry_under(tree, telemetry, 50)

    assert 61.5 == snapshot.soc_temp_c


def telemetry_under(tree: DeviceTree, telemetry: Telemetry, load_pct: float) -> Snapshot:
    """Read after two seconds of load."""
    tree.load(load_pct, 2)
    return telemetry.read()


def test_load_needs_two_sweeps_and_survives_a_counter_that_goes_back(tmp_path: Path) -> None:
    """The first sweep has nothing to compare with; a counter reset gives no nonsense."""
    tree = DeviceTree(tmp_path).cores(4).load(10, 100)
    telemetry = Telemetry(tree.root)
    first = telemetry.read()
    tree.load(80, 10)
    second = telemetry.read()
    again = telemetry.read()
    tree.write("proc/stat", "cpu  1 1 1 1\n")
    reset = telemetry.read()

    assert first.cpu_load_pct is None
    assert pytest.approx(80) == second.cpu_load_pct
    assert second.cpu_load_pct == again.cpu_load_pct
    assert reset.cpu_load_pct is None


def test_a_throttle_event_between_two_sweeps_is_seen_once(tmp_path: Path) -> None:
    """A new bit since boot counts for the sweep that finds it."""
    tree = DeviceTree.pi4_ups(tmp_path)
    telemetry = Telemetry(tree.root, device=PI4)
    telemetry.read()
    tree.throttled(0x40000)

    assert [telemetry.read().throttled, telemetry.read().throttled] == [True, False]


def test_doctor_sees_each_source(tmp_path: Path) -> None:
    """Sources say what they offer, what they lack, from where and how sure."""
    reports = {r.name: r for r in Telemetry(DeviceTree.pi5(tmp_path).temperature(-89.7).root).sources()}

    assert "missing" == reports["battery"].trust
    assert "no battery" in reports["battery"].note
    assert "insane" == reports["temperature"].trust
    assert reports["cpu clock"].offers == ("cpu_mhz", "cpu_cap_mhz")
    assert "/sys/devices/system/cpu/cpufreq/policy0" in reports["cpu clock"].path


def test_the_real_device_can_be_read() -> None:
    """On the machine that runs this test: memory and cores at least, and nothing raises."""
    snapshot = Telemetry("/").read()

    assert snapshot.memory_free_mib is not None
    assert snapshot.memory_free_mib > 0
    assert snapshot.cpu_cores is not None
    assert snapshot.cpu_cores > 0


def test_a_sweep_is_cheap_beside_reading_the_same_files(tmp_path: Path) -> None:
    """A full sweep costs less than ten times the opening and reading of 25 small files."""
    telemetry = Telemetry(DeviceTree.pi4_ups(tmp_path).root, device=PI4)
    telemetry.read()
    file = tmp_path / "proc/stat"
    sweeps, opens = [], []
    for _ in range(30):
        start = time.perf_counter()
        telemetry.read()
        middle = time.perf_counter()
        for _ in range(25):
            file.read_bytes()
        sweeps.append(middle - start)
        opens.append(time.perf_counter() - middle)

    assert min(sweeps) < 10 * min(opens)
