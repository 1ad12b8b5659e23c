from __future__ import annotations

import time
from dataclasses import replace

import pytest

from edgehybrid.points import DepthFigures
from edgehybrid.profiles import load_device
from edgehybrid.runtime import Observation, Snapshot
from edgehybrid.runtime.accounts import Accounts
from edgehybrid.runtime.energy import EnergyModel
from edgehybrid.testing.bundles import make_point

DEVICE = load_device("raspberry-pi-4b")
POINTS = (make_point("max", energy_mj=1, latency_ms=10), make_point("wide", energy_mj=1, latency_ms=10, threads=2))


def accounts() -> tuple[Accounts, list[Observation]]:
    told: list[Observation] = []
    return Accounts(POINTS, DEVICE, told.append), told


def burn(seconds: float) -> None:
    """Use a core for so long."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_joules_follow_cpu_time() -> None:
    """A run of 50 ms on one core costs what the profile says of one busy core for 50 ms."""
    books, _ = accounts()
    burn(0.08)
    books.add([(1.0, "max", 1, 0.05, None, 1, 0.0)])
    assert EnergyModel(DEVICE).inference(0.05, 0.05).value == pytest.approx(books.joules.value)


def test_a_run_never_costs_more_than_the_process_used() -> None:
    """A latency that grew because others had the core is no energy of ours."""
    books, _ = accounts()
    books.add([(1.0, "max", 1, 500.0, None, 1, 0.0)])
    assert books.joules.value < EnergyModel(DEVICE).inference(5.0, 5.0).value


def test_the_controller_is_told_of_each_run_in_order() -> None:
    """Point, depth and latency are those of the run; two busy cores cost more than one."""
    books, told = accounts()
    books.add([(1.0, "max", 1, 0.01, None, 1, 0.0), (2.0, "wide", 1, 0.01, None, 2, 0.0)])
    assert [(1.0, "max", 1, 0.01), (2.0, "wide", 1, 0.01)] == [(o.at_s, o.point, o.depth, o.latency_s) for o in told]
    one, two = (o.energy_j for o in told)
    assert one is not None
    assert two is not None
    assert one < two


def test_a_flood_is_counted_whole_but_told_in_part() -> None:
    """Thousands of runs in one batch: all are counted, the latest are told."""
    books, told = accounts()
    books.add([(float(i), "max", 1, 0.01, None, 1, 0.0) for i in range(5000)])
    assert 5000 == books.inferences
    assert 4999.0 == told[-1].at_s
    assert len(told) < 100


def test_looking_at_the_device_changes_no_counter() -> None:
    """A snapshot goes to the energy account only."""
    books, told = accounts()
    books.look(Snapshot(at_s=0.0, battery_wh=10.0, cpu_load_pct=50.0))
    assert (0, [], {}, {}) == (books.inferences, told, books.points, books.depths)


def test_early_answers_cost_what_their_depth_does() -> None:
    """A depth that kept one core busy costs less than one of two, for the same time; a repeat is of one."""
    figures = (
        DepthFigures(share=0.5, relaxed_share=0.5, latency_ms=2, cpu_ms=2),
        DepthFigures(share=0.5, relaxed_share=0.5, latency_ms=10, cpu_ms=20),
    )
    told: list[Observation] = []
    books = Accounts([replace(POINTS[1], depths=figures)], DEVICE, told.append)
    books.add([(1.0, "wide", depth, 0.01, None, 2, 0.0) for depth in (0, 1, 2)])
    again, first, full = (o.energy_j for o in told)
    assert again == first
    assert first is not None
    assert full is not None
    assert first < full
