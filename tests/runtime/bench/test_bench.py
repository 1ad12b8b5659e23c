from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import edgehybrid as eh
from edgehybrid.bundle import Bundle
from edgehybrid.errors import BackendError, OutputError
from edgehybrid.points import DepthFigures, EnergyMj, LatencyMs, OperatingPoint
from edgehybrid.profiles import load_device, load_policy
from edgehybrid.runtime import Context, Controller, Snapshot
from edgehybrid.runtime.backends import Backend
from edgehybrid.runtime.bench import (
    BackgroundBench,
    PointFigures,
    Store,
    Supply,
    Table,
    choose,
    fingerprint,
    full_ms,
    measure,
    with_figures,
)
from edgehybrid.tensors import TensorSpec
from edgehybrid.testing import Behaviour, FakeBackend, make_bundle, make_point

PI4 = load_device("raspberry-pi-4b")
X, Y = (
    TensorSpec(name="x", dtype="float32", shape=("batch", 3)),
    TensorSpec(name="y", dtype="float32", shape=("batch", 2)),
)
BROKEN = "out of memory"


def _fakes(*, broken: tuple[str, ...] = ()) -> dict[str, Backend]:
    behaviours = {name: Behaviour(fails_on_load=BROKEN) for name in broken}
    return {"onnx": FakeBackend(inputs=(X,), outputs=(Y,), behaviours=behaviours)}


def _figures(name: str, ms: float, *, mj: float = 3.0) -> PointFigures:
    energy = EnergyMj(value=mj, method="model", uncertainty=mj / 5)
    return PointFigures(name=name, latency_ms=LatencyMs(p50=ms, p95=ms * 2), cpu_ms=ms, energy_mj=energy, runs=20)


def _table(*points: PointFigures, supply: Supply = "mains", device: str = "d") -> Table:
    return Table(
        device=device, profile="p", supply=supply, measured_at="2026-01-01T00:00:00+00:00", points=points, failed={},
        rounds=20, throttled_rounds=0, steady=True,
    )  # fmt: skip


def _bundle(path: Path, names: tuple[str, ...]) -> Bundle:
    """Write a bundle whose sessions are fakes: all points of full quality at 2 ms, but ``min``, which is quick."""
    zeros = {"y": np.zeros((1, 2), np.float32)}
    quick = make_point("min", energy_mj=1.0, latency_ms=0.5, drop=0.1)
    return make_bundle(
        path,
        points=tuple(quick if name == "min" else make_point(name, energy_mj=4.0, latency_ms=2.0) for name in names),
        inputs=(X,),
        outputs=(Y,),
        golden_inputs={"x": np.ones((1, 3), np.float32)},
        golden_outputs=dict.fromkeys(names, zeros),
    )


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """Two points."""
    return _bundle(tmp_path / "two.bundle", ("fp32", "min"))


def _snapshots(*parts: dict[str, Any]) -> Callable[[], Snapshot]:
    """Say each in turn, then the last for ever."""
    found = itertools.chain(parts, itertools.repeat(parts[-1]))
    return lambda: replace(Snapshot(at_s=0.0), **next(found))


def test_every_point_is_measured_in_every_round(bundle: Bundle) -> None:
    """Each point gets as many runs as there were rounds, the latency that it has here, and joules of its CPU time."""
    table = measure(bundle, PI4, _snapshots({"on_mains": True}), key="k", seconds=0, backends=_fakes())

    assert ["fp32", "min"] == [figures.name for figures in table.points]
    assert {15} == {figures.runs for figures in table.points}
    assert ("mains", "k", "raspberry-pi-4b", 15, 0) == (
        table.supply, table.device, table.profile, table.rounds, table.throttled_rounds,
    )  # fmt: skip
    for figures in table.points:
        assert 0 < figures.latency_ms.p50 <= figures.latency_ms.p95
        assert figures.energy_mj.value >= 0


def test_throttled_rounds_do_not_count(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds with a lowered clock are left out and counted; if all were, they count, and the table says so."""
    monkeypatch.setattr("edgehybrid.runtime.bench.measuring.WEATHER_S", 0.0)
    backends = _fakes()
    look = _snapshots(*[{"throttled": True}] * 6, {"throttled": False})
    some = measure(bundle, PI4, look, key="k", seconds=0, backends=backends)
    all_of_them = measure(bundle, PI4, _snapshots({"throttled": True}), key="k", seconds=0, backends=backends)

    assert (10, 5) == (some.rounds, some.throttled_rounds)
    assert (15, 15) == (all_of_them.rounds, all_of_them.throttled_rounds)
    assert "throttled throughout" in all_of_them.note


def test_a_table_is_of_one_supply(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unplugged while measuring, it begins anew: nothing of the mains is left in the battery's figures."""
    monkeypatch.setattr("edgehybrid.runtime.bench.measuring.WEATHER_S", 0.0)
    look = _snapshots(*[{"on_mains": True}] * 9, {"on_mains": False})
    backends = _fakes()
    table = measure(bundle, PI4, look, key="k", seconds=0, backends=backends)

    assert ("battery", 15) == (table.supply, table.rounds)


def test_a_point_that_does_not_run_is_named(bundle: Bundle) -> None:
    """Its reason is in the table, the others are measured; if none runs, that is an error."""
    look = _snapshots({})
    table = measure(bundle, PI4, look, key="k", seconds=0, backends=_fakes(broken=("fp32",)))

    assert ["min"] == [figures.name for figures in table.points]
    assert "out of memory" in table.failed["fp32"]
    with pytest.raises(BackendError, match="No point of"):
        measure(bundle, PI4, look, key="k", seconds=0, backends=_fakes(broken=("fp32", "min")))


def test_tables_are_kept_apart(bundle: Bundle, tmp_path: Path) -> None:
    """Mains, battery and unknown each have their file; another device sees none of them; forgetting removes them."""
    environ = {"XDG_STATE_HOME": str(tmp_path / "state")}
    store = Store(bundle, PI4, environ=environ)
    mains, battery = _table(_figures("min", 1.0)), _table(_figures("min", 2.0), supply="battery")
    store.save(mains)
    store.save(battery)

    assert {"mains": mains, "battery": battery} == store.load()
    assert {} == Store(bundle, load_device("raspberry-pi-5"), environ=environ).load()
    assert fingerprint(PI4) != fingerprint(load_device("raspberry-pi-5"))
    assert (battery, mains, mains) == tuple(choose(store.load(), there) for there in (False, True, None))
    assert (2, 0) == (store.forget(), store.forget())
    assert choose(store.load(), True) is None


def test_a_torn_table_counts_as_absent(bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that cannot be read is said, and the bundle's figures hold; a full disk is an error with a fix."""
    store = Store(bundle, PI4, environ={"HOME": str(tmp_path)})
    path = store.save(_table(_figures("min", 1.0)))
    path.write_text(path.read_text()[:40])

    assert {} == store.load()
    assert "run edgehybrid bench again" in caplog.text
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        Store(bundle, PI4, environ={"XDG_STATE_HOME": str(tmp_path / "file")}).save(_table())


def _exits(point: OperatingPoint) -> OperatingPoint:
    depths = (
        DepthFigures(share=0.5, relaxed_share=0.8, latency_ms=0.5, cpu_ms=0.5),
        DepthFigures(share=0.5, relaxed_share=0.2, latency_ms=2.0, cpu_ms=2.0),
    )
    return replace(point, depths=depths, latency_ms=LatencyMs(p50=0.5, p95=2.0, mean=1.25), cpu_ms=1.25)


@given(ratio=st.floats(0.1, 300))
def test_points_get_what_was_measured(ratio: float) -> None:
    """A point takes its figures; one with exits keeps the proportions of its depths; one not measured goes along."""
    plain, staged, unseen = (make_point(name, energy_mj=2.0, latency_ms=2.0) for name in ("fp32", "max", "min"))
    table = _table(_figures("fp32", 2.0 * ratio, mj=7.0), _figures("max", 2.0 * ratio, mj=8.0))
    got = with_figures((plain, _exits(staged), unseen), table)

    assert (table.points[0].latency_ms, 7.0) == (got[0].latency_ms, got[0].energy_mj.value)
    assert full_ms(got[1]) == pytest.approx(2.0 * ratio)
    assert [0.5 * ratio, 2.0 * ratio] == pytest.approx([depth.latency_ms for depth in got[1].depths])
    assert 1.25 * ratio == pytest.approx(got[1].latency_ms.mean)
    assert 8.0 * 1.25 / 2.0 == pytest.approx(got[1].energy_mj.value)
    assert (2.0 * ratio, 2.0 * ratio) == pytest.approx((got[2].latency_ms.p50, got[2].energy_mj.value))
    assert (plain, unseen) == with_figures((plain, unseen), None)
    assert (unseen,) == with_figures((unseen,), _table(_figures("other", 1.0)))


def test_the_engine_chooses_by_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the bundle's figures keep a deadline and the measured ones do not, the engine takes the quicker point."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    backends, three = _fakes(), _bundle(tmp_path / "three.bundle", ("fp32", "max", "min"))

    def opened() -> tuple[str, bool]:
        with eh.Engine(three, device=PI4, deadline_ms=20, root=tmp_path, background=False, backends=backends) as engine:
            return engine.status().point, engine.status().figures is not None

    assert ("max", False) == opened()
    Store(three, PI4).save(_table(_figures("fp32", 90.0), _figures("max", 80.0), _figures("min", 5.0, mj=1.0)))
    assert ("min", True) == opened()


def test_what_is_carried_waits_until_it_was_measured_here() -> None:
    """A point meant for another processor than the exporter's is chosen by this device's figures, or not at all."""
    best, carried = make_point("max", energy_mj=9.0, latency_ms=9.0), make_point("min", energy_mj=1.0, latency_ms=1.0)
    shipped = (best, replace(carried, carried="slower than float: 0.5×"))

    def chosen(points: tuple[OperatingPoint, ...]) -> str:
        controller = Controller(points, PI4, load_policy("balanced"))
        return controller.decide(Snapshot(at_s=0.0), Context(deadline_s=0.005)).point

    assert "max" == chosen(shipped)
    assert "max" == chosen(with_figures(shipped, _table(_figures("max", 18.0))))  # others were measured, it was not
    assert "min" == chosen(with_figures(shipped, _table(_figures("max", 18.0), _figures("min", 2.0))))
    assert "max" == chosen(with_figures(shipped, _table(_figures("max", 2.0), _figures("min", 18.0))))
    assert "min" == chosen(shipped[1:])  # better than none


def test_measuring_beside_the_work_ends_with_its_allowance(bundle: Bundle, tmp_path: Path) -> None:
    """It hands over and keeps the table of all points; with too few joules it ends, and keeps nothing."""
    store, took = Store(bundle, PI4, environ={"HOME": str(tmp_path)}), list[Table]()
    for joules, tables in ((0.0, 0), (100.0, 1)):
        backends = _fakes()
        bench = BackgroundBench(bundle, PI4, _snapshots({}), store, joules=joules, done=took.append, backends=backends)
        bench.start()
        bench._thread.join(20)
        bench.close()
        assert tables == len(took) == len(store.load())
    assert ["fp32", "min"] == [figures.name for figures in took[0].points]


def test_the_engine_measures_beside_its_work(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``bench_joules`` makes the engine choose by its own figures, without being opened again."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    backends = _fakes()
    with eh.Engine(bundle, device=PI4, root=tmp_path, background=False, backends=backends, bench_joules=50.0) as engine:
        bench = engine._figures._bench
        assert bench is not None
        bench._thread.join(20)
        engine.step(wait=True)
        assert engine.status().figures is not None
    assert ["unknown"] == list(Store(bundle, PI4).load())
    assert json.loads(next((tmp_path / "state").rglob("*.json")).read_text())["profile"] == "raspberry-pi-4b"
