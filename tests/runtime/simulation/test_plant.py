"""The board warms up, throttles and drains as the formulas say."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehybrid.points import DepthFigures, OperatingPoint
from edgehybrid.profiles import DeviceProfile
from edgehybrid.runtime.control import Decision
from edgehybrid.runtime.simulation import Ambient, Board, Contention, Outcome, Pack, Random, Scenario, draw_world, drive
from edgehybrid.runtime.simulation.baselines import Fixed
from edgehybrid.runtime.simulation.battery import drain, full, gauge_pct
from edgehybrid.runtime.simulation.cases import HeatPath, case_names, heat_paths
from edgehybrid.runtime.simulation.drivers import Shares
from edgehybrid.runtime.simulation.options import make_option
from edgehybrid.runtime.simulation.plant import PlantState, board_w, speed_of, start, step, throttle, warm
from edgehybrid.runtime.simulation.scenario import Neighbours
from edgehybrid.runtime.simulation.sensing import sense
from edgehybrid.testing import make_point

HEAT = (HeatPath(kelvin_per_w=2.9, tau_s=5.0), HeatPath(kelvin_per_w=4.8, tau_s=100.0))
TRACES = Path(os.environ.get("EDGEHYBRID_DATA", Path(__file__).parents[4] / "shared" / "data")) / "traces"


def run(world_of: Scenario, points: tuple[OperatingPoint, ...], board: DeviceProfile, name: str) -> Outcome:
    """Run a fixed point through a scenario."""
    return drive(draw_world(world_of, points), points, Fixed(name), believed=board, interval_s=2.0)


@given(st.floats(0, 15), st.lists(st.floats(0.1, 30), min_size=1, max_size=20))
def test_heat_is_the_closed_step_response(watts: float, spans: list[float]) -> None:
    """In steps of any length, each pole follows ``R P (1 - exp(-t / tau))`` from cold."""
    rise: tuple[float, ...] = (0.0, 0.0)
    for span in spans:
        rise = warm(rise, HEAT, watts, span)
    wanted = [path.kelvin_per_w * watts * (1 - math.exp(-sum(spans) / path.tau_s)) for path in HEAT]

    assert wanted == pytest.approx(rise, abs=1e-9)


def test_full_load_warms_as_the_profile_was_measured(board: DeviceProfile) -> None:
    """Idle to full load adds the kelvins of the profile's two poles, with their time constants."""
    paths = heat_paths(board, None)
    rise = warm([path.kelvin_per_w * board.power.idle_w for path in paths], paths, board.power.busy_w[-1], 300.0)
    idle = sum(path.kelvin_per_w * board.power.idle_w for path in paths)
    wanted = sum(pole.kelvin * (1 - math.exp(-300.0 / pole.tau_s)) for pole in board.thermal.poles)

    assert wanted == pytest.approx(sum(rise) - idle)


def test_the_payload_is_as_warm_as_it_was_measured(board: DeviceProfile) -> None:
    """The closed payload has 6.7 K/W: 27.3 °C + 6.7 · P in the measurements."""
    assert sum(path.kelvin_per_w for path in heat_paths(board, "payload")) == pytest.approx(6.7, abs=0.1)


@pytest.mark.parametrize("case", case_names())
def test_every_case_has_two_poles(board: DeviceProfile, case: str) -> None:
    """Each case has a fast pole and a slow one."""
    fast, slow = heat_paths(board, case)

    assert 10 * fast.tau_s < 1.1 * slow.tau_s or fast.tau_s < slow.tau_s


def test_the_firmware_cuts_the_clock_on_a_line(board: DeviceProfile) -> None:
    """From 80 to 85 °C the clock falls to half, and comes back two degrees lower."""
    hot = throttle(1.0, False, 82.5, board.thermal)[0]
    cooler = throttle(hot, False, 81.0, board.thermal)[0]

    assert 0.75 == pytest.approx(hot)
    assert 0.5 == throttle(1.0, False, 99.0, board.thermal)[0]
    assert 0.75 == pytest.approx(cooler)
    assert 1.0 == throttle(hot, False, 77.9, board.thermal)[0]


def test_throttling_hides_the_clock(
    points: tuple[OperatingPoint, ...], scenario: Callable[..., Scenario], board: DeviceProfile
) -> None:
    """A throttled board still tells its nominal clock; latency and the firmware's flag alone tell the truth."""
    world = draw_world(scenario(ambient=Ambient(celsius=70.0)), points)
    state = start(world)
    for _ in range(100):
        state = step(state, world, 2.0, 0.0)
    seen = sense(state, world, 0.0)
    cool = run(scenario(duration_h=0.1), points, board, "max")
    hot = run(scenario(duration_h=0.1, ambient=Ambient(celsius=70.0)), points, board, "max")

    assert speed_of(state) < 1.0
    assert board.cpu.max_mhz == seen.cpu_mhz == seen.cpu_cap_mhz
    assert seen.throttled
    assert hot.latency_s > 1.5 * cool.latency_s
    assert 0.0 == cool.throttled


@pytest.mark.parametrize("name", ["fp32", "min"])
def test_energy_is_conserved(
    points: tuple[OperatingPoint, ...], scenario: Callable[..., Scenario], board: DeviceProfile, name: str
) -> None:
    """What left the battery is what board and inner resistance took, and the board's is idle, neighbours and ours."""
    pack = Pack(capacity_wh=20.0)
    made = scenario(battery=pack, contention=Contention(model="compute"))
    world = draw_world(made, points)
    outcome = drive(world, points, Fixed(name), believed=board, interval_s=2.0)
    taken_j = (1.0 - (outcome.battery_pct or 0.0) / 100) * pack.capacity_wh * 3600
    power = world.device.power
    others_j = sum(board_w(power, n) - power.idle_w for n in world.neighbours[::2]) * 2.0

    assert taken_j == pytest.approx(outcome.energy_wh * 3600 + outcome.lost_j)
    assert outcome.energy_wh * 3600 == pytest.approx(power.idle_w * made.duration_s + others_j + outcome.ours_j)


def test_an_inference_costs_its_cpu_time(
    points: tuple[OperatingPoint, ...], scenario: Callable[..., Scenario], board: DeviceProfile
) -> None:
    """Without noise an input takes the bundle's CPU time times the slowdown, at the watts of one core."""
    quiet = make_option(points[1])
    world = replace(draw_world(scenario(), points), jitter=np.zeros(3600), drift=np.ones(3600))
    outcome = drive(world, points, Fixed("max"), believed=board, interval_s=2.0)
    watts = board.power.busy_w[0] - board.power.idle_w

    assert outcome.ours_j == pytest.approx(3600 * quiet.cpu_s[0] * 5.0 * watts)
    assert outcome.latency_s == pytest.approx(quiet.latency_s[0] * 5.0)


@given(st.floats(0, 3), st.sampled_from([1.0, 2.0, 3.0]), st.floats(0, 6.3))
def test_the_gauge_steps_and_plateaus(error: float, size: float, phase: float) -> None:
    """The gauge shows multiples of its step, full and empty rightly, and is never further off than error and step."""
    pack = Pack(capacity_wh=10, gauge_step_pct=size, gauge_error_pct=error)
    shown, last = [], None
    for soc in np.linspace(1.0, 0.0, 500):
        last = gauge_pct(pack, phase, float(soc), last)
        shown.append(last)
        assert abs(last - 100 * soc) <= error + 1.5 * size + 1e-9

    assert all(abs(value / size - round(value / size)) < 1e-9 or value == 100 for value in shown)
    assert 100 - size / 2 <= shown[0]
    assert shown[-1] <= size
    assert len(set(shown)) < 150


def test_an_empty_battery_ends_the_mission(
    points: tuple[OperatingPoint, ...], scenario: Callable[..., Scenario], board: DeviceProfile
) -> None:
    """When the battery gives up, inputs stay unanswered and count nothing; the time is told."""
    outcome = run(scenario(battery=Pack(capacity_wh=1.4)), points, board, "max")

    assert outcome.died_h == pytest.approx(0.5, abs=0.05)
    assert outcome.worth == pytest.approx(0.9 * outcome.answered / 3600)


def test_heavy_loads_collapse_a_tired_battery() -> None:
    """The voltage sags with the current: a load that a full battery bears ends a nearly empty one."""
    pack = Pack(capacity_wh=10, resistance_ohm=0.3, charge=0.03)
    sagging, dead = drain(full(pack, 0.0), pack, 0.0, 6.0, 0.0, 1.0, was_dead=False)

    assert dead
    assert sagging.volts < 3.0
    assert not drain(full(replace(pack, charge=1.0), 0.0), pack, 0.0, 6.0, 0.0, 1.0, was_dead=False)[1]


def test_the_sun_charges_and_spills() -> None:
    """More sun than load fills the battery, and no further than full."""
    pack = Pack(capacity_wh=1.0, charge=0.99, resistance_ohm=0.0)
    charge = full(pack, 0.0)
    for _ in range(60):
        charge, _ = drain(charge, pack, 0.0, 1.0, 3.0, 1.0, was_dead=False)

    assert 1.0 == charge.soc
    assert charge.spilled_j == pytest.approx(60 * 2.0 - 36.0)


@pytest.mark.parametrize("model", ["compute", "memory"])
def test_neighbours_slow_us_down(
    points: tuple[OperatingPoint, ...], scenario: Callable[..., Scenario], board: DeviceProfile, model: Neighbours
) -> None:
    """Bursts come and go, about half of the time, and make inferences slower and the board busier."""
    calm, made = scenario(), scenario(contention=Contention(model=model))
    world = draw_world(made, points)
    busy = float(np.mean(world.neighbours > 0))

    assert 0.3 < busy < 0.7
    assert run(made, points, board, "max").latency_s > 1.05 * run(calm, points, board, "max").latency_s
    assert run(made, points, board, "max").energy_wh > run(calm, points, board, "max").energy_wh


def test_the_same_seed_gives_the_same_world(
    points: tuple[OperatingPoint, ...], scenario: Callable[..., Scenario], board: DeviceProfile
) -> None:
    """Seed and run decide everything; another run differs."""
    made = scenario(battery=Pack(capacity_wh=20.0), contention=Contention(model="memory"))
    first, again, other = (
        drive(draw_world(made, points, n), points, Fixed("max"), believed=board, interval_s=2.0) for n in (0, 0, 1)
    )

    assert repr(first) == repr(again)
    assert repr(first) != repr(other)


def test_model_error_is_what_controllers_do_not_know(
    points: tuple[OperatingPoint, ...], scenario: Callable[..., Scenario], board: DeviceProfile
) -> None:
    """Each run has its own watts, resistances and latencies around the profile's; without error they are the same."""
    exact = draw_world(scenario(), points)
    idles = [draw_world(scenario(random=Random(model_error=0.1)), points, n).device.power.idle_w for n in range(200)]

    assert board.power == exact.device.power
    assert np.mean(idles) == pytest.approx(board.power.idle_w, rel=0.03)
    assert np.std(idles) == pytest.approx(0.1 * board.power.idle_w, rel=0.2)


@given(st.floats(0, 1), st.floats(0, 1))
def test_depth_falls_with_the_exit_scalar(first: float, second: float) -> None:
    """A larger scalar never sends an input deeper; quality goes from the point's to its relaxed one."""
    point = make_point("min", energy_mj=2)
    point = replace(
        point,
        depths=tuple(
            DepthFigures(share=s, relaxed_share=r, latency_ms=k, cpu_ms=k) for k, s, r in ((1, 0.2, 0.7), (2, 0.8, 0.3))
        ),
        relaxed_quality=replace(point.quality, value=point.quality.value - 0.1),
    )
    low, high = make_option(point, min(first, second)), make_option(point, max(first, second))
    difficulty = (np.arange(1000) + 0.5) / 1000

    assert (high.depths_of(difficulty) <= low.depths_of(difficulty)).all()
    assert point.quality.value == pytest.approx(make_option(point, 0.0).mean_worth)
    assert point.quality.value - 0.1 == pytest.approx(make_option(point, 1.0).mean_worth)
    assert high.mean_worth == pytest.approx(float(high.worths_of(difficulty).mean()), abs=3e-4)


def test_time_shares_and_duties_are_dealt_evenly(points: tuple[OperatingPoint, ...]) -> None:
    """A share of 0.3 gives three of ten inputs to the first point; a duty of 0.5 leaves out every other."""
    shares = Shares(points)
    shares.follow(Decision(at_s=0, point="max", alternate="balanced", share=0.3, reason=""))
    dealt = [option.point for option in (shares.next() for _ in range(100)) if option]
    shares.follow(Decision(at_s=0, point="max", reason="", numbers={"duty": 0.5, "threads": 4}))
    halved = [shares.next() for _ in range(100)]

    assert 30 == dealt.count("max")
    assert 50 == halved.count(None)
    assert {4} == {option.threads for option in halved if option}


def test_a_real_board_throttles_where_ours_does() -> None:
    """A Pi 3B with a full load ran between our half clock and its nominal one above 80 °C."""
    file = TRACES / "board-thermal-power" / "4hOp.csv"
    if not file.exists():
        pytest.skip("the recorded traces are not here")
    with file.open(encoding="utf-8") as rows:
        hot = [row for row in csv.DictReader(rows) if row["temp_c"] and float(row["temp_c"]) > 81]
    shares = [float(row["freq_b_mhz"]) / float(row["freq_a_mhz"]) for row in hot]

    assert 0.5 <= min(shares) < 1.0


def test_a_power_sensor_tells_what_the_board_takes(
    points: tuple[OperatingPoint, ...], scenario: Callable[..., Scenario], board: DeviceProfile
) -> None:
    """Where there is one, it tells the watts of the last step within some percent; elsewhere nothing does."""
    blind, seeing = (
        draw_world(
            scenario(device=Board(profile=board.name, power_sensor=there), random=Random(model_error=0.0)), points
        )
        for there in (False, True)
    )
    before = step(start(seeing), seeing, 2.0, 0.0)
    after = step(before, seeing, 2.0, 1.0)

    assert sense(after, blind, 0.0).power_w is None
    assert board.power.idle_w == pytest.approx(sense(before, seeing, 0.0).power_w, rel=0.1)
    assert board.power.idle_w + 0.5 == pytest.approx(sense(after, seeing, 0.0).power_w, rel=0.1)
    assert "board" == sense(after, seeing, 0.0).power_scope


def test_a_dead_board_takes_nothing(points: tuple[OperatingPoint, ...], scenario: Callable[..., Scenario]) -> None:
    """Without its battery the board draws no power and cools to ambient."""
    world = draw_world(scenario(battery=Pack(capacity_wh=1.0, charge=0.0)), points)
    state: PlantState = replace(start(world), dead=True)
    for _ in range(1000):
        state = step(state, world, 2.0, 1.0)

    assert 0.0 == state.out_j
    assert 0.0 == pytest.approx(sum(state.rise_c), abs=1e-3)


def test_a_case_moves_the_heat(
    points: tuple[OperatingPoint, ...], scenario: Callable[..., Scenario], board: DeviceProfile
) -> None:
    """A board with a fan stays cooler than a bare one under the same work."""
    bare = run(scenario(device=Board(profile="raspberry-pi-4b", slowdown=10)), points, board, "fp32")
    fan = run(scenario(device=Board(profile="raspberry-pi-4b", case="fan", slowdown=10)), points, board, "fp32")

    assert fan.max_temp_c < bare.max_temp_c - 5
