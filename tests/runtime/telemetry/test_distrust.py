"""Sensors that lie, hang, jump or vanish: each found out, none in the way."""

from __future__ import annotations

import os
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehybrid.runtime.telemetry import Reading, Snapshot, Telemetry
from edgehybrid.runtime.telemetry.plausible import Believed, judge
from edgehybrid.runtime.telemetry.sweep import Sweep
from edgehybrid.testing import DeviceTree


class Watch:
    """Telemetry of a tree whose clock the test moves."""

    def __init__(self, tree: DeviceTree) -> None:
        self.tree, self.now_s = tree, 0.0
        self.telemetry = Telemetry(tree.root, clock=lambda: self.now_s)

    def read(self, after_s: float = 2.0) -> Snapshot:
        """Read ``after_s`` later."""
        self.now_s += after_s
        return self.telemetry.read()


def test_a_temperature_that_jumps_is_doubted_until_it_repeats(tmp_path: Path) -> None:
    """50 to 127 °C in two seconds is no heat. One wild value passes by; a second near it is believed."""
    watch = Watch(DeviceTree.pi4_ups(tmp_path).temperature(50))
    watch.read()
    watch.tree.temperature(127)
    wild = watch.read()
    watch.tree.temperature(51)
    back = watch.read()
    watch.tree.temperature(110)
    watch.read()
    watch.tree.temperature(108)

    assert (None, "insane") == (wild.soc_temp_c, wild.readings["soc_temp_c"].trust)
    assert "127 after 50 2 s ago" in wild.readings["soc_temp_c"].note
    assert 2.0 == wild.readings["soc_temp_c"].age_s
    assert 51.0 == back.soc_temp_c
    assert 108.0 == watch.read().soc_temp_c


def test_a_battery_that_rises_by_magic_is_doubted_one_that_falls_is_not(tmp_path: Path) -> None:
    """20 to 90 % within two seconds is refused with its energy; 90 to 10 % is believed at once."""
    watch = Watch(DeviceTree.pi4_ups(tmp_path).battery(name="ups", pct=20))
    watch.read()
    watch.tree.battery(name="ups", pct=90)
    rose = watch.read()
    watch.read()
    watch.tree.battery(name="ups", pct=10)
    fell = watch.read()

    assert (None, None) == (rose.battery_pct, rose.battery_wh)
    assert "insane" == rose.readings["battery_pct"].trust
    assert 10.0 == fell.battery_pct


@given(values=st.lists(st.floats(-40, 150), min_size=2, max_size=40), step=st.floats(0, 100))
def test_no_value_is_refused_twice_running_if_it_stays(values: list[float], step: float) -> None:
    """Whatever came before, a temperature that is read twice is believed the second time."""
    believed: Believed | None = None
    for i, value in enumerate(v for v in values for _ in (0, 1)):
        believed, why = judge("soc_temp_c", believed, Reading(value=value, source="z"), step * i)

        assert not (i % 2 and why)


def test_a_power_that_repeats_itself_under_changing_load_is_frozen(tmp_path: Path) -> None:
    """An INA that still says 4.08 W after two minutes between idle and full load measures nothing."""
    watch = Watch(DeviceTree.pi5(tmp_path).ina(5.1, 0.8))
    for sweep in range(100):
        watch.tree.load(5 if sweep < 50 else 95, 2)
        last = watch.read()
    watch.tree.ina(5.1, 1.4)

    assert (None, "frozen") == (last.power_w, last.readings["power_w"].trust)
    assert "4.08 for" in last.readings["power_w"].note
    assert pytest.approx(7.14) == watch.read().power_w


def test_a_few_sweeps_far_apart_prove_no_freeze(tmp_path: Path) -> None:
    """Three readings in ten minutes may well be the same."""
    watch = Watch(DeviceTree.pi5(tmp_path).ina(5.1, 0.8))
    trusts = []
    for load in (5, 95, 5, 95):
        watch.tree.load(load, 150)
        trusts.append(watch.read(150).readings["power_w"].trust)

    assert ["good"] * 4 == trusts


def test_a_gauge_that_stands_while_watt_hours_flow_is_stale(tmp_path: Path) -> None:
    """5 W for an hour out of 37 Wh are 13 %: a gauge still at 80 % is old news. Its value stays."""
    watch = Watch(DeviceTree.pi4_ups(tmp_path))
    first = watch.read()
    for _ in range(60):
        last = watch.read(60)

    assert "good" == first.readings["battery_pct"].trust
    assert (80.0, "stale") == (last.battery_pct, last.readings["battery_pct"].trust)
    assert "Wh flowed" in last.readings["battery_pct"].note


def test_a_plateau_of_a_stepped_gauge_is_no_fault(tmp_path: Path) -> None:
    """Eight minutes at 8 W without a step are usual."""
    watch = Watch(DeviceTree.pi4_ups(tmp_path).battery(name="ups", power_w=8))

    assert {"good"} == {watch.read(30).readings["battery_pct"].trust for _ in range(16)}


def test_the_sign_of_a_current_is_learned_from_the_status_and_kept(tmp_path: Path) -> None:
    """A driver with the wrong sign, whose status then turns to unknown: the sign that was proved still tells."""
    watch = Watch(DeviceTree(tmp_path).battery(power_w=4.0))
    uevent = "sys/class/power_supply/BAT0/uevent"
    wrong = (watch.tree.root / uevent).read_text().replace("CURRENT_NOW=-", "CURRENT_NOW=")
    watch.tree.write(uevent, wrong)
    watch.read()
    unknown = wrong.replace("STATUS=Discharging", "STATUS=Unknown")
    watch.tree.write(uevent, unknown)
    drains = watch.read().battery_w
    watch.tree.write(uevent, unknown.replace("CURRENT_NOW=", "CURRENT_NOW=-"))

    assert pytest.approx(4.0, rel=1e-3) == drains
    assert pytest.approx(-4.0, rel=1e-3) == watch.read().battery_w


@pytest.mark.parametrize("path", ["sys/class/hwmon/hwmon0/in1_input", "sys/class/hwmon/hwmon0/curr1_input"])
@pytest.mark.parametrize("data", [b"", b"\xff\xfe\x00", b"1e9", b"9" * 30, b"-5100 mV"])
def test_garbage_of_a_power_chip(tmp_path: Path, path: str, data: bytes) -> None:
    """No power, a reason, and everything else goes on."""
    now = Telemetry(DeviceTree.pi5(tmp_path).ina(5.1, 0.8).garbage(path, data).root).read()

    assert now.power_w is None
    assert now.readings["power_w"].trust in {"insane", "missing"}
    assert now.readings["power_w"].note
    assert 48.2 == now.soc_temp_c


def test_a_chip_that_vanishes_and_returns_under_another_number(tmp_path: Path) -> None:
    """Hwmon numbers change when a driver reloads."""
    watch = Watch(DeviceTree.pi5(tmp_path).ina(5.1, 0.8))
    watch.read()
    watch.tree.remove("rails")
    gone = watch.read()
    for _ in range(60):
        watch.read()
    watch.tree.ina(5.1, 0.9, index=7)
    seen = [watch.read().power_w for _ in range(61)]

    assert (None, "missing", 2.0) == (gone.power_w, *(getattr(gone.readings["power_w"], k) for k in ("trust", "age_s")))
    assert pytest.approx(4.59) == seen[-1]


def test_a_driver_that_answers_with_an_error(tmp_path: Path) -> None:
    """A file that opens and then fails to read, as ENODATA of a gauge does."""
    tree = DeviceTree.pi5(tmp_path)
    tree.remove("sys/class/thermal/thermal_zone0/temp")
    (tree.root / "sys/class/thermal/thermal_zone0/temp").symlink_to("/proc/self/mem")
    reading = Telemetry(tree.root).read().readings["soc_temp_c"]

    assert (None, "missing") == (reading.value, reading.trust)
    assert reading.note


@contextmanager
def powerless() -> Iterator[None]:
    """Be nobody for a while, if we are root: root may read everything."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if before == 0:
            os.seteuid(before)


def test_files_that_we_may_not_read_are_named_so() -> None:
    """RAPL and debugfs are root's: missing, with the system's own words."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        tree = DeviceTree.pi4_ups(folder)
        for path in tree.root.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        for name in ("sys/class/thermal/thermal_zone0/temp", "sys/class/power_supply/ups/uevent"):
            (tree.root / name).chmod(stat.S_IWUSR)
        with powerless():
            now = Telemetry(tree.root).read()

    assert (None, None) == (now.soc_temp_c, now.battery_pct)
    assert "Permission denied" == now.readings["soc_temp_c"].note
    assert "Permission denied" in now.readings["battery_pct"].note
    assert now.memory_free_mib is not None


def test_a_throttled_clock_is_marked_as_a_wish(tmp_path: Path) -> None:
    """The kernel goes on to report the requested clock; the note says which it is."""
    tree = DeviceTree.pi4_ups(tmp_path)
    calm = Telemetry(tree.root).read().readings["cpu_mhz"].note
    slowed = Telemetry(tree.throttled(0x4).root).read().readings["cpu_mhz"].note

    assert "as requested" in calm
    assert "not real" in slowed


def test_a_hang_costs_one_wait_and_then_nothing() -> None:
    """Work that never returns is left behind; the rest is done, at once from the next sweep on; it may come back."""
    stuck = threading.Event()
    sweep: Sweep[str] = Sweep(patience_s=0.1)
    work: Mapping[str, Callable[[], str]] = {
        "first": lambda: "a",
        "bus": lambda: "late" if stuck.wait(60) else "",
        "last": lambda: "b",
    }
    first = sweep.run(work)
    started = time.perf_counter()
    second = sweep.run(work)
    waited_s = time.perf_counter() - started
    hung = sweep.hanging
    stuck.set()
    for _ in range(200):
        if "bus" in (third := sweep.run(work)):
            break
        time.sleep(0.01)

    assert {"first": "a", "last": "b"} == first == second
    assert {"bus"} == hung
    assert waited_s < 0.1
    assert {"first": "a", "bus": "late", "last": "b"} == third
    assert not sweep.hanging


def test_what_a_source_raises_reaches_the_caller() -> None:
    """A fault of ours is not a hang."""

    def fail() -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Sweep[str](patience_s=5.0).run({"bad": fail})


def test_a_sweep_on_a_thread_says_the_same_and_leaves_none_behind(tmp_path: Path) -> None:
    """With patience or without, one tree gives one snapshot."""
    tree = DeviceTree.jetson_orin_nano(tmp_path)
    before = threading.active_count()
    patient = Telemetry(tree.root, clock=lambda: 1.0, patience_s=30.0).read()

    assert Telemetry(tree.root, clock=lambda: 1.0).read() == patient
    assert before == threading.active_count()
