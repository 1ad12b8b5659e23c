"""Devices made of files."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from edgehybrid.errors import RequestError
from edgehybrid.runtime.telemetry import Telemetry
from edgehybrid.testing import DeviceTree


def test_what_is_written_is_what_telemetry_reads(tmp_path: Path) -> None:
    """Each setter shows in the snapshot."""
    tree = DeviceTree(tmp_path).cores(4).battery(pct=12, energy_full_wh=10, power_w=3).temperature(71.2)
    tree.throttled(0x4).clock(600, cap_mhz=1500, max_mhz=1800).pressure(33, 4).memory(123).quota(cores=0.5)
    tree.mains(True)
    now = Telemetry(tree.root).read()

    assert pytest.approx(1.2) == now.battery_wh
    assert (12.0, True) == (now.battery_pct, now.on_mains)
    assert (71.2, True, 600.0, 1500.0) == (now.soc_temp_c, now.throttled, now.cpu_mhz, now.cpu_cap_mhz)
    assert (33.0, 4.0, 123.0, 0.5) == (
        now.cpu_pressure_pct,
        now.memory_pressure_pct,
        now.memory_free_mib,
        now.cpu_cores,
    )


@pytest.mark.parametrize("family", ["energy", "charge"])
def test_both_families_mean_the_same_energy(tmp_path: Path, family: str) -> None:
    """80 % of 37 Wh, written in µWh or in µAh."""
    tree = DeviceTree(tmp_path).battery(family=family)  # type: ignore[arg-type]  # both words are allowed

    assert pytest.approx(29.6, rel=1e-4) == Telemetry(tree.root).read().battery_wh


def test_removing_what_is_not_there_says_what_is(tmp_path: Path) -> None:
    """A slip in a name is not silently nothing."""
    with pytest.raises(RequestError, match="batery"):
        DeviceTree.pi4_ups(tmp_path).remove("batery")


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    """While a writer replaces the temperature, every reading is one of the two that were written."""
    tree = DeviceTree(tmp_path).temperature(40)
    telemetry = Telemetry(tree.root)
    done = threading.Event()

    def write() -> None:
        for n in range(400):
            tree.temperature((40, 60)[n % 2])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not done.is_set():
        seen.add(telemetry.read().soc_temp_c)
    writer.join()

    assert seen <= {40.0, 60.0}
