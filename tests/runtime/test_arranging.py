"""The choice of an arrangement, as laws, and in an engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgehybrid import Arrangement, Engine
from edgehybrid.bundle import Bundle
from edgehybrid.profiles import load_policy
from edgehybrid.runtime.arranging import FreeCores, Pace, arrange, stream_figures
from edgehybrid.runtime.bench import PointFigures, StreamFigures, Table
from edgehybrid.runtime.execution import Mode
from edgehybrid.runtime.telemetry import Snapshot
from edgehybrid.testing import make_point


def figures(mode: Mode, workers: int, per_s: float, energy_mj: float = 1.0) -> StreamFigures:
    return StreamFigures(
        mode=mode, workers=workers, per_s=per_s, latency_ms=1e3 / per_s, cpu_ms=energy_mj, energy_mj=energy_mj
    )


SINGLE = figures("single", 1, 100.0, 1.0)
PIPELINE = figures("pipeline", 2, 170.0, 1.1)
REPLICAS = figures("replicas", 2, 190.0, 1.2)
THREADS = figures("threads", 2, 140.0, 1.6)
KNOWN = (SINGLE, PIPELINE, REPLICAS, THREADS)
known = st.lists(
    st.builds(
        figures,
        st.sampled_from(["pipeline", "replicas", "threads"]),
        st.integers(2, 8),
        st.floats(1, 1000),
        st.floats(0.1, 10),
    ),
    max_size=8,
).map(lambda more: (SINGLE, *more))
paces = st.none() | st.builds(
    Pace, per_s=st.floats(0, 500), starved=st.floats(0, 1), awaited=st.floats(0, 1), own_s=st.floats(0, 0.1)
)


def rate(chosen: Arrangement, among: tuple[StreamFigures, ...]) -> float:
    """The largest measured rate of what was chosen."""
    same = [f.per_s for f in among if (f.mode, f.workers) == (chosen.mode, chosen.workers)]
    return max(same, default=SINGLE.per_s)


@given(among=known, cores=st.integers(1, 8), pace=paces, deadline_s=st.none() | st.floats(0.001, 1.0))
def test_never_more_cores_than_are_free(
    among: tuple[StreamFigures, ...], cores: int, pace: Pace | None, deadline_s: float | None
) -> None:
    """Whatever was measured and met; and with one core, nothing that needs a second."""
    chosen = arrange(among, cores=cores, pace=pace, deadline_s=deadline_s)
    assert chosen.workers <= cores
    if cores == 1:
        assert "single" == chosen.mode


@given(among=known, cores=st.integers(2, 8), deadline_s=st.floats(0.001, 1.0))
def test_a_deadline_forbids_queues_that_break_it(
    among: tuple[StreamFigures, ...], cores: int, deadline_s: float
) -> None:
    """By Little's law: inputs under way over inputs a second stay within it, where anything does."""
    chosen = arrange(among, cores=cores, deadline_s=deadline_s)
    possible = any(
        (1 if f.mode == "threads" else f.workers) / f.per_s <= deadline_s for f in among if f.workers <= cores
    )
    if possible:
        assert chosen.in_flight / rate(chosen, among) <= deadline_s * (1 + 1e-9)
    else:
        assert 0 == chosen.ahead


@given(among=known, cores=st.integers(1, 7))
def test_another_core_never_slows_a_fast_source(among: tuple[StreamFigures, ...], cores: int) -> None:
    """Where nothing but the cores limits, one more gives no less, but for what is alike."""
    fewer, more = (rate(arrange(among, cores=n), among) for n in (cores, cores + 1))
    assert more >= fewer * 0.97


def test_a_fast_source_gets_the_most_and_a_slow_one_the_cheapest() -> None:
    """What keeps up with the source and costs least; with the app's own work counted where it does not overlap."""

    def chosen(per_s: float, starved: float, own_s: float = 0.0) -> str:
        return str(arrange(KNOWN, cores=2, pace=Pace(per_s=per_s, starved=starved, awaited=0.9, own_s=own_s)))

    assert "replicas on 2 cores" == chosen(190, 0.0)
    assert "single" == chosen(50, 0.5)
    assert "pipeline on 2 cores" == chosen(120, 0.2)
    assert "pipeline on 2 cores" == chosen(60, 0.2, own_s=0.006)


def test_a_slow_taker_gets_no_more_than_it_takes() -> None:
    """One worker beside it is enough, and stays beside it: alone it would be slower."""
    pace = Pace(per_s=50, starved=0.0, awaited=0.02)
    assert Arrangement(mode="replicas", workers=1) == arrange(KNOWN, cores=2, pace=pace)


def test_unmeasured_points_are_believed_to_scale() -> None:
    """Replicas are believed in, pipelines are not; what was measured here counts more."""
    point = make_point("max", energy_mj=5, latency_ms=10)
    believed = stream_figures(point, None, 4)
    assert "replicas on 4 cores" == str(arrange(believed, cores=4))
    assert {"single", "replicas", "threads"} == {f.mode for f in believed}
    here = PointFigures(
        name="max", latency_ms=point.latency_ms, cpu_ms=1.0, energy_mj=point.energy_mj, runs=9, streams=KNOWN
    )
    table = Table(
        device="d", profile="p", supply="mains", measured_at="2026-01-01T00:00:00+00:00", points=(here,), failed={},
        rounds=9, throttled_rounds=0, steady=True,
    )  # fmt: skip
    assert KNOWN == stream_figures(point, table, 4)


def test_free_cores_are_what_others_leave() -> None:
    """Quota and affinity bound them; our own load does not count, that of others does."""
    used = 0.0
    free = FreeCores(4, used_s=lambda: used)

    def look(at_s: float, load_pct: float, cores: float | None = None) -> int:
        return free.look(Snapshot(at_s=at_s, cpu_load_pct=load_pct, cpu_cores=cores))

    assert 4 == look(0.0, 0.0)
    used = 8.0
    assert 4 == look(4.0, 50.0)  # two busy cores, both ours
    for k in range(10):
        count = look(8.0 + 4 * k, 50.0)
    assert 2 == count  # by now they are others'
    assert 1 == look(60.0, 50.0, cores=1.0)
    assert 1 == look(64.0, 100.0)


def test_the_engine_arranges_its_streams(marks_bundle: Bundle, tmp_path: Path) -> None:
    """While a stream is under way the status says how, the reason names it, and threads follow; then no more."""
    allowed = tmp_path / "proc" / "self" / "status"
    allowed.parent.mkdir(parents=True)
    allowed.write_text("Cpus_allowed_list:\t0-2\n")
    inputs = [{"x": np.ones((1, 4), np.float32)}] * 50
    with Engine(marks_bundle, root=tmp_path, device="raspberry-pi-4b", background=False) as engine:
        assert Arrangement() == engine.status().arrangement
        for k, _ in enumerate(engine.stream(inputs)):
            if k == 10:
                status = engine.status()
                assert "replicas on 3 cores" == str(status.arrangement)
                assert "stream: replicas on 3 cores" in status.reason
                assert 1 == status.decision.threads
        engine.step()
        assert Arrangement() == engine.status().arrangement


def test_the_ceiling_of_the_policy_holds_for_streams(marks_bundle: Bundle, tmp_path: Path) -> None:
    """``max_threads`` bounds workers too."""
    balanced = load_policy("balanced")
    policy = replace(balanced, execution=replace(balanced.execution, max_threads=1))
    with Engine(marks_bundle, root=tmp_path, device="raspberry-pi-4b", background=False, policy=policy) as engine:
        results = engine.stream([{"x": np.ones((1, 4), np.float32)}] * 5)
        next(results)
        assert Arrangement() == engine.status().arrangement
        assert 4 == len(list(results))
