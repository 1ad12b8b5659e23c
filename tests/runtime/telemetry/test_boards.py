"""Boards that are data: made from documented facts, played through the whole telemetry."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from edgehybrid.profiles import detect_device
from edgehybrid.runtime.energy import EnergyModel, Meter
from edgehybrid.runtime.telemetry import Snapshot, Telemetry
from edgehybrid.testing import Player, Recording

BOARDS = Path(__file__).parents[2] / "testing" / "boards"


def replay(name: str, root: Path, step_s: float = 5.0) -> list[Snapshot]:
    """Play a board."""
    player = Player(Recording.open(BOARDS / f"{name}.recording.jsonl"), root)
    telemetry = Telemetry(root, device=detect_device(root), clock=lambda: player.t_s, pack_wh=19.2)
    out = []
    while player.t_s <= player.recording.duration_s:
        out.append(telemetry.read())
        player.advance_to(player.t_s + step_s)
    return out


def maker() -> ModuleType:
    """The script that made them."""
    spec = importlib.util.spec_from_file_location("make_documented", BOARDS / "make_documented.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_files_are_what_their_script_makes() -> None:
    """Nobody edited them by hand, each says that it is made up, and each is small."""
    made = maker()
    for name in made.BOARDS:
        path = BOARDS / f"{name}.recording.jsonl"
        recording = Recording.open(path)

        assert made.build(name) == recording
        assert "not recorded" in recording.header.source
        assert path.stat().st_size < 20_000


@pytest.mark.parametrize("name", sorted(p.name.partition(".")[0] for p in BOARDS.glob("*.recording.jsonl")))
def test_a_sound_board_is_believed(name: str, tmp_path: Path) -> None:
    """Nothing of it is called insane or frozen, but for the Coral that is lost."""
    snapshots = replay(name, tmp_path)
    doubted = {f for s in snapshots for f, r in s.readings.items() if r.trust in {"insane", "frozen"}}

    assert ({"npu_temp_c"} if name == "cm4-coral" else set()) == doubted
    assert all(s.soc_temp_c is not None for s in snapshots)


@pytest.mark.parametrize(
    ("name", "idle_w", "busy_w", "scope"),
    [
        ("jetson-nano", 3.1, 4.5, "board"),
        ("jetson-orin-nano", 4.92, 13.78, "board"),
        ("pi5-hailo", 2.36, 5.75, "board"),
    ],
)
def test_power_at_rest_and_at_work(name: str, idle_w: float, busy_w: float, scope: str, tmp_path: Path) -> None:
    """The board's total, not a rail of it."""
    snapshots = replay(name, tmp_path)

    assert {scope} == {s.power_scope for s in snapshots}
    assert pytest.approx(idle_w, rel=0.01) == snapshots[10].power_w
    assert pytest.approx(busy_w, rel=0.01) == snapshots[60].power_w


def test_a_hat_behind_an_ina219(tmp_path: Path) -> None:
    """An hour of discharge: charge falls, the sign is proved, watts are those of the wire."""
    snapshots = replay("pi4-hat-ina219", tmp_path, 60.0)
    late = snapshots[len(snapshots) // 2 :]

    assert (snapshots[0].battery_pct or 0) > (snapshots[-1].battery_pct or 0) + 20
    assert all(s.battery_w is not None and 2.5 < s.battery_w < 7.5 for s in late)
    assert {"battery"} == {s.power_scope for s in late}
    assert {False} == {s.on_mains for s in late}


def test_a_coral_that_overheats_and_is_lost(tmp_path: Path) -> None:
    """Present and past its trip point, then gone."""
    snapshots = replay("cm4-coral", tmp_path)
    notes = {s.readings["npu_temp_c"].note for s in snapshots}

    assert any("past 1 of 3" in n for n in notes)
    assert (True, False) == (snapshots[0].npu_present, snapshots[-1].npu_present)


def test_a_jetsons_over_current_is_seen(tmp_path: Path) -> None:
    """The alarm from 300 to 320 s, and the event at 360 s."""
    slowed = [s.at_s for s in replay("jetson-orin-nano", tmp_path) if s.throttled]

    assert [300.0, 305.0, 310.0, 315.0, 360.0] == slowed


def test_an_orange_pi_has_an_npu_and_no_power_sensor(tmp_path: Path) -> None:
    """What it cannot tell stays ``None``."""
    work = replay("orange-pi-5", tmp_path)[60]

    assert (True, 64.0, 1000.0) == (work.npu_present, work.npu_load_pct, work.npu_mhz)
    assert (None, None, None) == (work.power_w, work.battery_pct, work.throttled)
    assert 2400.0 == work.cpu_mhz


def test_a_pi_5_teaches_its_profile_its_watts(tmp_path: Path) -> None:
    """Nine minutes of its own power controller: both levels are right within their doubt, which has shrunk."""
    snapshots = replay("pi5-hailo", tmp_path)
    model = EnergyModel(detect_device(tmp_path))
    meter = Meter(model=model)
    for snapshot in snapshots:
        meter = meter.add_snapshot(snapshot)
    idle, full = meter.model.watts(0.32), meter.model.watts(3.88)  # 8 and 97 % of four cores

    assert abs(idle.value - 2.36) <= idle.uncertainty
    assert abs(full.value - 5.75) <= full.uncertainty
    assert idle.uncertainty < model.watts(0.32).uncertainty
