"""What the controller has learnt outlives the app."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from edgehybrid import Bundle, Engine
from edgehybrid.runtime.control import State, lasting, load_state, renewed, save_state
from edgehybrid.runtime.control.arrivals import Arrivals
from edgehybrid.runtime.control.fuel import Fuel, count, prospect
from edgehybrid.runtime.control.slowdown import Slowdown
from edgehybrid.runtime.memory import KEEP_EVERY_S, Memory
from edgehybrid.testing import make_staged_bundle, staged_input

LEARNT = State(
    slow=Slowdown(means=(0.7,), covariance=(0.01,), at_s=900.0, stayed_s=40.0, inferences=12),
    arrivals=Arrivals(count=5.0, window_s=100.0, at_s=900.0, hours=(2.0,) * 24, hour=7, hour_count=9.0, hour_s=3.0),
    watts_scale=1.2,
    point="min",
    since_s=890.0,
)


@pytest.fixture
def staged(tmp_path: Path) -> Bundle:
    return make_staged_bundle(tmp_path / "staged.bundle")


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "state" / "controller.json"


def test_what_lasts_knows_no_clock() -> None:
    """The slowdown, the pattern of the day and the joules last; what hangs on a clock or a moment does not."""
    after = lasting(LEARNT)

    assert (0.7, (2.0,) * 24, 1.2) == (after.slow.log, after.arrivals.hours, after.watts_scale)
    assert (None, None, None, None) == (after.slow.at_s, after.arrivals.at_s, after.point, after.since_s)
    assert lasting(after) == after == load_state(save_state(after))


def test_what_a_discharge_taught_lasts() -> None:
    """How many joules of the gauge a counted one is: known better after a discharge than before, never for sure."""
    fuel = Fuel()
    for minute in range(170):  # the board takes a tenth more than is counted
        left_pct = 100 - 2 * (minute // 4)
        fuel = count(fuel, left_pct / 10, left_pct, 2.7, 1.0, 60.0 * minute)
    fresh, taught = prospect(fuel, sensor=False), lasting(State(fuel=fuel)).fuel
    again = count(taught, 10.0, 100.0, 2.7, 1.0, 0.0)
    known = prospect(again, sensor=False)

    assert taught.start_wh is None
    assert fresh.factor == taught.usual == known.factor
    assert (
        fresh.factor_sd < known.factor_sd < prospect(count(Fuel(), 10.0, 100.0, 2.7, 1.0, 0.0), sensor=False).factor_sd
    )
    assert lasting(State(fuel=taught)).fuel == taught


def test_it_is_written_now_and_then_and_at_the_end(kept: Path) -> None:
    """Not on every round; the last word always."""
    memory = Memory(kept, 0.0)
    memory.keep(LEARNT, KEEP_EVERY_S - 1)
    assert not kept.exists()
    memory.keep(LEARNT, KEEP_EVERY_S)
    assert lasting(LEARNT) == Memory(kept, 0.0).recall()
    memory.keep(replace(LEARNT, watts_scale=0.9), KEEP_EVERY_S + 1, last=True)
    recalled = Memory(kept, 0.0).recall()
    assert recalled is not None
    assert 0.9 == recalled.watts_scale
    assert ["controller.json"] == [path.name for path in kept.parent.iterdir()]


def test_no_file_no_memory() -> None:
    """Without a path nothing is read or written."""
    memory = Memory(None, 0.0)
    memory.keep(LEARNT, 1e9, last=True)
    assert memory.recall() is None


@pytest.mark.parametrize("damage", [b"", b"{", b"[1, 2]", b'{"slow": 3}', b"\xff\x00"])
def test_a_damaged_file_is_said_and_left_out(kept: Path, damage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """The controller starts as if there were none."""
    kept.parent.mkdir()
    kept.write_bytes(damage)
    assert Memory(kept, 0.0).recall() is None
    assert "starts without it" in caplog.text


def test_a_place_that_cannot_be_written_harms_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A folder that is a file, say."""
    (tmp_path / "file").write_text("")
    Memory(tmp_path / "file" / "controller.json", 0.0).keep(LEARNT, 1.0, last=True)
    assert "cannot be written" in caplog.text


def test_an_engine_of_one_input_has_learnt(staged: Bundle, kept: Path, tmp_path: Path) -> None:
    """A service that wakes, answers once and ends still keeps what that run taught."""
    with Engine(staged, root=tmp_path, device="raspberry-pi-4b", background=False, memory=kept) as engine:
        engine.run(staged_input(sure=(0.95, 0.0)))
    assert 0.0 != load_state(kept.read_bytes()).slow.log


def test_new_figures_leave_what_is_known_of_the_board() -> None:
    """The pace of points is learnt anew; heat, battery and the pattern of the day stay."""
    after = renewed(LEARNT)
    assert (State().slow, 1.0) == (after.slow, after.watts_scale)
    assert (LEARNT.arrivals, LEARNT.fuel, LEARNT.heat, LEARNT.point) == (
        after.arrivals,
        after.fuel,
        after.heat,
        after.point,
    )


def test_an_engine_goes_on_where_the_last_one_stopped(staged: Bundle, kept: Path, tmp_path: Path) -> None:
    """It keeps what it learnt when it closes, and begins with it."""
    options = {"root": tmp_path, "device": "raspberry-pi-4b", "background": False, "memory": kept}
    with Engine(staged, **options) as engine:  # type: ignore[arg-type]  # a mapping of mixed values
        for _ in range(30):
            engine.run(staged_input(sure=(0.95, 0.0)))
        engine.step()
    first = load_state(kept.read_bytes())
    with Engine(staged, **options):  # type: ignore[arg-type]  # a mapping of mixed values
        pass
    again = load_state(kept.read_bytes())

    assert first.slow.means != State().slow.means
    assert first.slow.means == pytest.approx(again.slow.means)
