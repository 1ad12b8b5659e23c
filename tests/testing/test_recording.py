"""Recorded devices."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehybrid.errors import DataError
from edgehybrid.profiles import detect_device
from edgehybrid.runtime.telemetry import Snapshot, Telemetry
from edgehybrid.testing import DeviceTree, Player, Recording, record

HEADER = '{"schema":1,"board":"b","source":"s","licence":"l"}\n'
SAMPLE = Path(__file__).parents[2] / "samples/keyword_spotter/pi4-ups.recording.jsonl"
BOARDS = Path(__file__).parent / "boards"


def replay(recording: Recording, root: Path, step_s: float) -> list[Snapshot]:
    """Play a recording through telemetry."""
    player = Player(recording, root)
    telemetry = Telemetry(root, device=detect_device(root), clock=lambda: player.t_s)
    snapshots = []
    while player.t_s <= recording.duration_s:
        snapshots.append(telemetry.read())
        player.advance_to(player.t_s + step_s)
    return snapshots


def test_the_sample_recording_drains_heats_cools_and_is_charged(tmp_path: Path) -> None:
    """The demonstration's device: 85 to 5 %, some minutes above 75 °C in the middle, back below 70, charger at last."""
    recording = Recording.open(SAMPLE)
    snapshots = replay(recording, tmp_path, 12)
    hot = [s.at_s for s in snapshots if s.soc_temp_c is not None and s.soc_temp_c > 75]
    charge = [s.battery_pct for s in snapshots if s.battery_pct is not None]

    assert recording.duration_s > 90 * 60
    assert SAMPLE.stat().st_size < 300_000
    assert 85 == charge[0]
    assert min(charge) <= 5
    assert charge[-1] >= 15
    assert snapshots[-1].on_mains is True
    assert 5 * 60 < hot[-1] - hot[0] < 30 * 60
    assert 0.2 < hot[0] / recording.duration_s < hot[-1] / recording.duration_s < 0.8
    assert all(s.throttled == (s.soc_temp_c is not None and s.soc_temp_c >= 80) for s in snapshots)
    assert all(r.trust == "good" for s in snapshots[1:] for n, r in s.readings.items() if n[:3] not in {"npu", "pow"})
    assert all((s.power_w is not None) == (not s.on_mains) for s in snapshots)


def test_the_sample_recording_is_consistent_with_its_own_watts(tmp_path: Path) -> None:
    """What left the gauge is the integral of the power that was shown, within two of its steps."""
    snapshots = [s for s in replay(Recording.open(SAMPLE), tmp_path, 12) if not s.on_mains]
    drained = sum((s.battery_w or 0) * 12 / 3600 for s in snapshots)
    first, last = snapshots[0].battery_wh, snapshots[-1].battery_wh

    assert first is not None
    assert last is not None
    assert abs((first - last) - drained) < 2 * 9.25 / 100


@pytest.mark.parametrize(
    ("board", "device", "hottest"),
    [("zero2w", "raspberry-pi-zero-2w", 64.5), ("pi5", "raspberry-pi-5", 55.6), ("pi3b", "generic-linux", 84.9)],
)
def test_recorded_boards(tmp_path: Path, board: str, device: str, hottest: float) -> None:
    """Three more boards, from real traces: known by name, heat as traced, no battery, nothing frozen."""
    snapshots = replay(Recording.open(BOARDS / f"{board}.recording.jsonl"), tmp_path, 1)

    assert device == detect_device(tmp_path).name
    assert hottest == max(s.soc_temp_c for s in snapshots if s.soc_temp_c is not None)
    assert all(s.battery_pct is None for s in snapshots)
    assert (board == "pi3b") == any(s.throttled for s in snapshots)
    assert {"good", "stale", "missing"} >= {r.trust for s in snapshots for r in s.readings.values()}


def test_any_moment_can_be_seen_and_played(tmp_path: Path) -> None:
    """Jumping about, back as well, leaves in the folder just what the recording held at that moment."""
    recording = Recording.open(SAMPLE)
    player = Player(recording, tmp_path)
    for t_s in (0, 3000, 12, 6600, 6600, 5, 99999):
        player.advance_to(t_s)
        found = {p.relative_to(tmp_path).as_posix(): p.read_text() for p in tmp_path.rglob("*") if p.is_file()}

        assert recording.at(t_s) == found


def test_playing_writes_only_what_changed(tmp_path: Path) -> None:
    """A step of the device touches a few files, none twice for the same moment."""
    player = Player(Recording.open(SAMPLE), tmp_path)

    assert 0 < player.advance_to(12) <= 5
    assert 0 == player.advance_to(12)


def test_a_file_that_went_away_is_removed(tmp_path: Path) -> None:
    """Null takes a file out of the tree."""
    file = tmp_path / "r.jsonl"
    file.write_text(HEADER + '{"t_s":0,"files":{"a":"1","b/c":"2"}}\n{"t_s":5,"files":{"b/c":null}}\n')
    player = Player(Recording.open(file), tmp_path / "root")
    assert "2" == (tmp_path / "root/b/c").read_text()
    player.advance_to(5)

    assert not (tmp_path / "root/b/c").exists()
    assert {"a": "1"} == Recording.open(file).at(5)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("{}\n", "no header"),
        ("junk\n", "no header"),
        ("[]\n", "no header"),
        (HEADER.replace('"schema":1', '"schema":2'), "schema 2"),
        (HEADER, "nothing else"),
        (HEADER + '{"t_s":0}\n', "line 2"),
        (HEADER + '{"t_s":0,"files":{"a":1}}\n', "line 2"),
        (HEADER + '{"t_s":0,"files":{"a":"1"', "line 2"),
        (HEADER + '{"t_s":0,"files":{}}\n{"t_s":0,"files":{}}\n', "line 3"),
        (HEADER + '{"t_s":0,"files":{"../x":"1"}}\n', "out of the tree"),
        (HEADER + '{"t_s":0,"files":{"/etc/x":"1"}}\n', "out of the tree"),
    ],
)
def test_a_bad_recording_is_refused_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    """Truncated, of another schema, going back in time, or leading out of the folder."""
    file = tmp_path / "r.jsonl"
    file.write_text(text)

    with pytest.raises(DataError, match=says):
        Recording.open(file)


def test_a_recording_that_is_not_there(tmp_path: Path) -> None:
    """No file is our error as well."""
    with pytest.raises(DataError, match="cannot be read"):
        Recording.open(tmp_path / "no")


@given(raw=st.binary(max_size=100), headed=st.booleans())
def test_any_bytes_are_a_recording_or_our_error(
    raw: bytes, headed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No content gets past as anything else."""
    file = tmp_path_factory.mktemp("r") / "r.jsonl"
    file.write_bytes(HEADER.encode() * headed + raw)

    with pytest.raises(DataError):
        Recording.open(file)


def test_a_device_can_be_recorded_and_played_back(tmp_path: Path) -> None:
    """What was recorded from a device reads as the device did; serial numbers stay out."""
    tree = DeviceTree.pi4_ups(tmp_path / "device")
    uevent = "sys/class/power_supply/ups/uevent"
    tree.write(uevent, (tree.root / uevent).read_text() + "POWER_SUPPLY_SERIAL_NUMBER=secret\n")
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds
        tree.temperature(60 + now[0]).battery(name="ups", pct=80 - now[0])

    taken = record(tree.root, 10, 2.0, clock=lambda: now[0], sleep=sleep)
    taken.save(tmp_path / "taken.jsonl")
    snapshots = replay(Recording.open(tmp_path / "taken.jsonl"), tmp_path / "played", 2)

    assert "Raspberry Pi 4 Model B Rev 1.4" == taken.header.board
    assert [61.5, 62, 64, 66, 68, 70] == [s.soc_temp_c for s in snapshots]
    assert [80, 78, 76, 74, 72, 70] == [s.battery_pct for s in snapshots]
    assert "secret" not in (tmp_path / "taken.jsonl").read_text()
