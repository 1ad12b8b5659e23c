from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehybrid.runtime.execution.probation import (
    FIRST_WAIT_S,
    LONGEST_WAIT_S,
    NEVER_WORKED_WAIT_S,
    RELAPSE_S,
    Out,
    Well,
    describe,
    fail,
    fail_probe,
    free,
    hold_reason,
    is_due,
    pass_probe,
)


@given(st.integers(0, 12), st.booleans())
def test_waits_double_up_to_a_limit(failures: int, served: bool) -> None:
    """Each failed probe doubles the wait: a device that is gone costs less and less."""
    out = fail(Well(served=served), 0.0, "gone")
    now_s = 0.0
    for _ in range(failures):
        now_s = out.due_s
        assert is_due(out, now_s)
        assert not is_due(out, now_s - 1e-6)
        out = fail_probe(out, now_s, "still gone")
    limit_s = LONGEST_WAIT_S if served else NEVER_WORKED_WAIT_S
    assert min(FIRST_WAIT_S * 2**failures, limit_s) == pytest.approx(out.due_s - now_s)


@given(st.floats(0.0, 1000.0))
def test_the_first_probe_after_its_return_brings_it_back(gone_s: float) -> None:
    """Whenever it is plugged in: of the probes from then on, the first passes."""
    out, passed, probes = fail(Well(served=True), 0.0, "gone"), None, 0
    while passed is None:
        now_s = out.due_s
        if now_s >= gone_s:
            probes += 1
            passed = pass_probe(out, now_s)
        else:
            out = fail_probe(out, now_s, "gone")
    assert 1 == probes


def test_a_loose_plug_does_not_flap() -> None:
    """Failing soon after coming back goes on with the doubled wait; after a calm time it begins anew."""
    well = pass_probe(fail_probe(fail(Well(served=True), 0.0, "gone"), 1.0, "gone"), 3.0)
    assert 4.0 == fail(well, 3.0 + RELAPSE_S - 1, "again").wait_s
    assert FIRST_WAIT_S == fail(well, 3.0 + RELAPSE_S + 1, "later").wait_s


def test_failing_twice_is_failing_once() -> None:
    """Threads that fail together do not push the probe away."""
    out = fail(Well(served=True), 0.0, "gone")
    assert out == fail(out, 0.9, "gone too")


def test_telemetry_holds_probes_back() -> None:
    """No probe while its node is gone or it is hot; the next one at once when that is over."""
    out = fail(Well(served=True), 0.0, "gone", held="it is gone")
    assert not is_due(out, 1e6)
    assert is_due(free(out, 50.0), 50.0)
    assert out.due_s == free(Out(why="", since_s=0, due_s=out.due_s, wait_s=1), 0.5).due_s


@pytest.mark.parametrize(
    ("present", "temp_c", "held", "says"),
    [
        (None, None, False, ""),
        (True, 84.9, False, ""),
        (True, 85.0, False, "its 85 °C have reached 85 °C"),
        (True, 80.0, True, "its 80 °C have reached 75 °C"),
        (True, 74.0, True, ""),
        (False, None, False, "it is gone, as its device node says"),
    ],
)
def test_what_telemetry_says(present: bool | None, temp_c: float | None, held: bool, says: str) -> None:
    """Gone, or hot with a hysteresis of ten degrees; what the device cannot tell speaks against nothing."""
    assert says == hold_reason(present, temp_c, held=held)


def test_health_in_words() -> None:
    """For status: since when, why, and when it is tried again."""
    out = fail_probe(fail(Well(served=True), 0.0, "unplugged"), 1.0, "unplugged")
    assert "out for 2 s: unplugged; 1 probes failed, the next in 1 s" == describe(out, 2.0)
    assert "well" == describe(Well(served=True), 0.0)
