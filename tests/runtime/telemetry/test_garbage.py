"""Any bytes in any file of any board."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgehybrid.runtime.telemetry import Telemetry
from edgehybrid.testing import DeviceTree


def files_of(tree: DeviceTree) -> list[str]:
    """Every path of a tree."""
    return sorted(p.relative_to(tree.root).as_posix() for p in tree.root.rglob("*") if p.is_file())


BOARDS = [
    "pi4_ups",
    "pi4_hat",
    "pi5",
    "zero2w",
    "jetson_orin_nano",
    "jetson_nano",
    "orange_pi_5",
    "laptop",
    "container",
]
RAW = st.one_of(
    st.binary(max_size=80),
    st.integers(-(10**20), 10**20).map(lambda n: str(n).encode()),
    st.sampled_from(
        [b"", b"\n", b"\0", b"nan", b"inf", b"max max", b"cpu  0 0 0 0", b"POWER_SUPPLY_TYPE=Battery", b"9" * 5000]
    ),
)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), board=st.sampled_from(BOARDS))
def test_nothing_in_a_tree_makes_it_raise(
    data: st.DataObject, board: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Any bytes in any files, on any board: a snapshot comes out, and its figures are within their ranges."""
    tree: DeviceTree = getattr(DeviceTree, board)(tmp_path_factory.mktemp("t"))
    now = [1000.0]
    telemetry = Telemetry(tree.root, clock=lambda: now[0])
    telemetry.read()
    for path in data.draw(st.lists(st.sampled_from(files_of(tree)), max_size=6, unique=True)):
        tree.garbage(path, data.draw(RAW))
    for fresh in (telemetry, Telemetry(tree.root, clock=lambda: now[0])):
        now[0] += 2
        snapshot = fresh.read()
        assert snapshot.battery_pct is None or 0 <= snapshot.battery_pct <= 100
        assert snapshot.power_w is None or 0 < snapshot.power_w <= 1000
        assert (snapshot.power_w is None) == (snapshot.power_scope is None)
        assert snapshot.npu_load_pct is None or 0 <= snapshot.npu_load_pct <= 100
        assert snapshot.npu_temp_c is None or -40 <= snapshot.npu_temp_c <= 150
        assert snapshot.battery_wh is None or snapshot.battery_wh >= 0
        assert snapshot.soc_temp_c is None or -40 <= snapshot.soc_temp_c <= 150
        assert snapshot.cpu_load_pct is None or 0 <= snapshot.cpu_load_pct <= 100
        assert snapshot.cpu_cores is None or snapshot.cpu_cores > 0
        assert snapshot.memory_free_mib is None or snapshot.memory_free_mib >= 0
        assert all((r.value is None) == (r.trust not in {"good", "stale"}) for r in snapshot.readings.values())
        fresh.sources()


def test_folders_pipes_and_dead_links_where_files_belong(tmp_path: Path) -> None:
    """A folder, a pipe nobody writes to, and a link to nowhere are read as nothing, at once."""
    tree = DeviceTree.pi4_ups(tmp_path)
    for path in ("proc/stat", "proc/meminfo", "sys/class/thermal/thermal_zone0/temp"):
        tree.remove(path)
    (tmp_path / "proc/stat").mkdir()
    os.mkfifo(tmp_path / "proc/meminfo")
    (tmp_path / "sys/class/thermal/thermal_zone0/temp").symlink_to("nowhere")
    snapshot = Telemetry(tree.root).read()

    assert (snapshot.cpu_load_pct, snapshot.memory_free_mib, snapshot.soc_temp_c) == (None, None, None)
