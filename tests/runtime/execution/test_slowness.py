from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from edgehybrid.runtime.execution.slowness import SLOW_S, Slowness
from edgehybrid.runtime.execution.taker import Taker


def learnt(slowness: Slowness, took_s: float, times: int) -> int:
    """Teach it; returns how often it changed its mind."""
    return sum(slowness.learn(took_s) for _ in range(times))


def test_once_is_not_slow() -> None:
    """However long one of them takes, what is usually quick stays quick; what keeps being slow is found out."""
    slowness = Slowness()
    learnt(slowness, 1e-6, 20)
    assert not slowness.learn(60.0)
    assert not slowness.slow
    assert 1 == learnt(slowness, 2 * SLOW_S, 20)
    assert slowness.slow


def test_it_does_not_waver() -> None:
    """What was slow is so until it is clearly quick."""
    slowness = Slowness()
    learnt(slowness, 2 * SLOW_S, 40)
    assert 0 == learnt(slowness, 0.7 * SLOW_S, 40)
    assert slowness.slow
    assert 1 == learnt(slowness, 0.3 * SLOW_S, 40)
    assert not slowness.slow


@given(times=st.lists(st.floats(0.0, 1e6), max_size=60), quick=st.integers(25, 40))
def test_it_forgets(times: list[float], quick: int) -> None:
    """Whatever came before, a few quick ones are enough."""
    slowness = Slowness()
    for took_s in times:
        slowness.learn(took_s)
    learnt(slowness, 0.0, quick)
    assert not slowness.slow


def test_who_stays_away_serves_nobody() -> None:
    """What waits for it is run soon while it is at work, or just gone; no more once it is away for long."""
    taker = Taker()
    taker.helps = taker.naps = True
    assert taker.serves
    taker.leave()
    assert not taker.naps
    time.sleep(2 * SLOW_S)
    assert not taker.serves
    took_s, changed = taker.come_back()
    assert took_s >= SLOW_S
    assert not changed
    assert taker.serves
    assert not taker.away
