"""The protocol of the controllers' comparison."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.control.protocol import ENVIRONMENTS, LARGEST_S, Judged, harmonic, scenario_of, settings, slowdown_of
from benchmarks.control.table import markdown, summarize
from benchmarks.control.works import works


@pytest.mark.parametrize("name", works())
def test_there_are_enough_settings(name: str) -> None:
    """At least 35 constraint settings in each environment, deadlines from 0.4 to 2 times the largest latency."""
    points = works()[name]
    found = settings(points)
    deadlines = {scenario_of(setting, points, 0).deadline_s or 0.0 for setting in found}

    assert set(ENVIRONMENTS) == set(Counter(setting.environment for setting in found))
    assert 35 <= min(Counter(setting.environment for setting in found).values())
    assert (0.4 * LARGEST_S, 2.0 * LARGEST_S) == pytest.approx((min(deadlines), max(deadlines)))
    assert all((setting.min_quality is None) != (setting.energy_mj is None) for setting in found)


def test_the_largest_point_takes_what_is_said() -> None:
    """The slowdown brings the largest point to its latency."""
    points = works()["family"]

    assert LARGEST_S == pytest.approx(slowdown_of(points) * points[0].latency_ms.p50 / 1e3)


def test_distances_are_over_the_settings_that_were_kept() -> None:
    """A controller that is late in half of its settings is judged on the other half, and the page says both."""
    setting = settings(works()["family"])[0]
    judged = [
        Judged(
            setting=setting,
            name="alert",
            late=late,
            missed=False,
            energy=energy,
            error=None,
            static=energy,
            blind=1.1,
            equal=None if late else 1.3,
            equal_blind=None if late else 1.15,
            switches=0.5,
        )
        for late, energy in ((True, 0.1), (False, 1.2))
    ]
    found = {"family": summarize(judged)}
    others = ("sensor", "two_points", "battery_many", "second_day", "heat", "foreign", "prediction")
    parts: dict[str, dict[str, object]] = {name: {} for name in others}
    page = markdown({**parts, "settings": found, "battery": {"family": {"alert": _BATTERY}}})

    assert 0.5 == found["family"]["alert"]["late"]
    assert 0.2 == pytest.approx(found["family"]["alert"]["energy_to_oracle"])
    assert "| alert | 50.0 % |" in page
    assert "+20.0 %" in page
    assert 0.15 == pytest.approx(found["family"]["alert"]["energy_equal_blind"])


_BATTERY = {
    "draws": 1.0,
    "lasted": 1.0,
    "lost_pt": float("nan"),
    "worst_lost_pt": 0.0,
    "left_pct": 1.0,
    "switches_per_10s": 0.0,
    "above_oracle_pct": 1.0,
    "most_above_oracle_pct": 2.0,
}


def test_harmonic_means() -> None:
    """Of 1 and 3 it is 1.5; of nothing there is none."""
    assert 1.5 == harmonic([1.0, 3.0])
    assert harmonic([]) is None
