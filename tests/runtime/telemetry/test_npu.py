"""Accelerators: presence, load, temperature and clock."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehybrid.runtime.telemetry import Snapshot, Telemetry
from edgehybrid.runtime.telemetry.npu import Kind, parse_load
from edgehybrid.testing import DeviceTree


def npu(now: Snapshot) -> tuple[bool | None, float | None, float | None, float | None]:
    """What a snapshot says of the accelerator."""
    return now.npu_present, now.npu_load_pct, now.npu_temp_c, now.npu_mhz


def test_none_is_unknown_not_absent(tmp_path: Path) -> None:
    """A board may have one that we do not know."""
    assert (None, None, None, None) == npu(Telemetry(DeviceTree.pi5(tmp_path).root).read())


def test_a_jetsons_gpu(tmp_path: Path) -> None:
    """Load per mille, its own thermal zone, its devfreq clock."""
    assert (True, 37.5, 47.1, 624.75) == npu(Telemetry(DeviceTree.jetson_orin_nano(tmp_path).root).read())


def test_a_rockchip_npu(tmp_path: Path) -> None:
    """``37@800000000Hz``; where devfreq has no load, debugfs gives the mean of its cores."""
    tree = DeviceTree.orange_pi_5(tmp_path)
    assert (True, 37.0, 52.7, 800.0) == npu(Telemetry(tree.root).read())
    tree.remove("sys/class/devfreq/fdab0000.npu/load")
    tree.write("sys/kernel/debug/rknpu/load", "NPU load:  Core0: 60%, Core1:  0%, Core2: 30%,\n")

    assert 30.0 == Telemetry(tree.root).read().npu_load_pct


def test_a_rockchip_npu_of_another_soc(tmp_path: Path) -> None:
    """Its node is named by its address."""
    tree = DeviceTree(tmp_path).write("sys/class/devfreq/ff300000.npu/load", "0@200000000Hz\n")

    assert (True, 0.0) == npu(Telemetry(tree.root).read())[:2]


def test_a_coral_and_its_trip_points(tmp_path: Path) -> None:
    """Its trip points are read, not assumed; past one, the clock is lowered, and the note says so."""
    tree = DeviceTree.pi5(tmp_path).coral(61.0)
    telemetry = Telemetry(tree.root)
    cool = telemetry.read()
    tree.coral(85.0)
    hot = telemetry.read()

    assert (True, None, 61.0, None) == npu(cool)
    assert "" == cool.readings["npu_temp_c"].note
    assert "past 1 of 3 trip points" in hot.readings["npu_temp_c"].note


def test_a_coral_that_has_gone_says_so(tmp_path: Path) -> None:
    """-89.70 °C is what the driver reads from a device that no longer answers."""
    now = Telemetry(DeviceTree.pi5(tmp_path).coral(-89.7).root).read()

    assert (False, None, None, None) == npu(now)
    assert "insane" == now.readings["npu_temp_c"].trust
    assert "-89.7" in now.readings["npu_present"].note


def test_a_hailo_is_known_by_its_node_and_never_opened(tmp_path: Path) -> None:
    """Nothing of it is polled; a hwmon of that name gives its temperature if there is one."""
    tree = DeviceTree.pi5(tmp_path).hailo()
    assert (True, None, None, None) == npu(Telemetry(tree.root).read())
    tree.write("sys/class/hwmon/hwmon4/name", "hailo8\n").write("sys/class/hwmon/hwmon4/temp1_input", "55000\n")

    assert 55.0 == Telemetry(tree.root).read().npu_temp_c


def test_a_hailo_without_a_driver_is_on_its_bus_only(tmp_path: Path) -> None:
    """PCI 1e60:2864 and no ``/dev/hailo0``: there, and of no use."""
    now = Telemetry(DeviceTree.pi5(tmp_path).hailo(node=False).root).read()

    assert now.npu_present is False
    assert "no driver" in now.readings["npu_present"].note


def test_an_accelerator_that_vanishes_and_returns(tmp_path: Path) -> None:
    """Gone at the next sweep; back at the next but one at the latest that looks for it."""
    tree = DeviceTree.pi5(tmp_path).hailo()
    telemetry = Telemetry(tree.root)
    before = telemetry.read().npu_present
    shutil.rmtree(tree.root / "dev")
    gone = telemetry.read().npu_present
    tree.hailo()

    assert [True, False, True] == [before, gone, telemetry.read().npu_present]


def test_a_usb_coral(tmp_path: Path) -> None:
    """By its USB id, and nothing else can be read of it."""
    assert (True, None, None, None) == npu(Telemetry(DeviceTree.pi4_hat(tmp_path).root).read())


@pytest.mark.parametrize(
    ("text", "kind", "load"),
    [
        ("37@800000000Hz", "rknpu", 37.0),
        ("137@800000000Hz", "rknpu", None),
        ("NPU load:  Core0:  0%, Core1: 50%, Core2:  0%,", "debugfs", 50 / 3),
        ("375", "permille", 37.5),
        ("1001", "permille", None),
    ],
)
def test_loads(text: str, kind: Kind, load: float | None) -> None:
    """Each driver has its own way to say it."""
    assert load == parse_load(text, kind)


@given(text=st.text(max_size=60), kind=st.sampled_from(["rknpu", "debugfs", "permille"]))
def test_any_text_is_a_share_or_nothing(text: str, kind: Kind) -> None:
    """Never beyond 0 to 100 %."""
    load = parse_load(text, kind)

    assert load is None or 0 <= load <= 100
