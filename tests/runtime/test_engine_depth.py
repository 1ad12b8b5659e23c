from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgehybrid import Engine
from edgehybrid.bundle import Bundle, GateInfo
from edgehybrid.errors import BackendError, DataError, RequestError
from edgehybrid.points import Exit
from edgehybrid.profiles import ExitsPolicy, GatePolicy, Policy, load_policy
from edgehybrid.runtime.backends import Array
from edgehybrid.testing import make_staged_bundle, staged_input

BALANCED = load_policy("balanced")
ALL_SURE = staged_input(sure=(0.95, 0.0))
GATE = GateInfo(scales={"x": 0.1}, threshold=0.5, epsilon=0.01, delta=0.1, n=500, pairs="successive")


def policy(*, audit_share: float = 0.0, enabled: bool = True, gate: bool = False) -> Policy:
    exits = ExitsPolicy(enabled=enabled, audit_share=audit_share)
    return replace(BALANCED, exits=exits, gate=GatePolicy(enabled=gate, max_age_s=5.0))


class Clock:
    """A clock that the test sets."""

    now_s = 1000.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def staged(tmp_path: Path) -> Bundle:
    return make_staged_bundle(tmp_path / "staged.bundle", gate=GATE)


@pytest.fixture
def open_engine(staged: Bundle, tmp_path: Path, clock: Clock) -> Iterator[Callable[..., Engine]]:
    """Open engines by hand on an empty device; close them all."""
    engines: list[Engine] = []

    def open_one(bundle: Bundle = staged, **options: object) -> Engine:
        settings = {"root": tmp_path, "device": "raspberry-pi-4b", "background": False, "clock": clock}
        engines.append(Engine(bundle, **{"policy": policy(), **settings, **options}))  # type: ignore[arg-type]  # ours
        return engines[-1]

    yield open_one
    for engine in engines:
        engine.close()


def test_results_tell_depth_and_confidence(open_engine: Callable[..., Engine]) -> None:
    """Each input leaves where an exit is sure of it; the status counts inputs by depth, rows of batches too."""
    engine = open_engine()
    for sure, depth, confidence in (((0.95, 0.0), 1, 0.95), ((0.0, 0.85), 2, 0.85), ((0.0, 0.0), 3, None)):
        result = engine.run(staged_input(sure=sure))
        assert ("max", depth) == (result.point, result.depth)
        assert (None if confidence is None else pytest.approx(confidence)) == result.confidence
    rows = np.concatenate([staged_input(sure=sure)["x"] for sure in ((0.95, 0.0), (0.92, 0.0), (0.0, 0.9))])
    batch = engine.run({"x": rows})
    assert 2 == batch.depth
    assert pytest.approx(0.9) == batch.confidence
    assert {1: 3, 2: 2, 3: 1} == engine.status().depths
    assert 4 == engine.status().inferences


def test_points_without_exits_have_no_confidence(open_engine: Callable[..., Engine]) -> None:
    """One stage: depth 1, no confidence."""
    engine = open_engine()
    engine.pin("min")
    engine.step(wait=True)
    result = engine.run(ALL_SURE)
    assert ("min", 1, None) == (result.point, result.depth, result.confidence)


def test_the_scalar_can_be_pinned(open_engine: Callable[..., Engine]) -> None:
    """It moves the thresholds at once; None lets nothing leave; given back, the promise holds again."""
    engine = open_engine()
    unsure = staged_input(sure=(0.55, 0.0))
    assert 3 == engine.run(unsure).depth
    engine.pin("max", exit_scalar=1.0)
    assert 1 == engine.run(unsure).depth
    assert 1.0 == engine.status().decision.exit_scalar
    engine.pin("max", exit_scalar=None)
    assert (3, None) == (engine.run(ALL_SURE).depth, engine.status().decision.exit_scalar)
    engine.pin(None)
    assert (1, 3, 0.0) == (
        engine.run(ALL_SURE).depth,
        engine.run(unsure).depth,
        engine.status().decision.exit_scalar,
    )
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(RequestError, match="exit_scalar"):
            engine.pin("max", exit_scalar=wrong)


def test_a_policy_may_forbid_exits(open_engine: Callable[..., Engine]) -> None:
    """Without exits every input runs to the end."""
    assert 3 == open_engine(policy=policy(enabled=False)).run(ALL_SURE).depth


def drive(engine: Engine, count: int, *, wrong_share: float, seed: int = 0) -> list[int]:
    """Run sure inputs, some of which the exit gets wrong; return the depths."""
    rng = np.random.default_rng(seed)
    depths = []
    for i in range(count):
        sure = (float(rng.uniform(0.9, 1.0)), 0.0)
        depths.append(engine.run(staged_input(sure=sure, early=int(rng.random() < wrong_share), full=0)).depth)
        if i % 50 == 49:
            engine.step()
    return depths


def without_quantiles(path: Path) -> Bundle:
    exits = [Exit(thresholds=(0.9, 0.5)), Exit(thresholds=(0.8, 0.3))]
    return make_staged_bundle(path, exits=exits)


def test_drift_switches_exits_off_and_on_again(open_engine: Callable[..., Engine], tmp_path: Path) -> None:
    """Exits that begin to disagree are noticed within 100 audits and answer no more; once they agree again, they do."""
    engine = open_engine(without_quantiles(tmp_path / "plain.bundle"), policy=policy(audit_share=0.2))
    assert 1 in drive(engine, 500, wrong_share=0.0)
    before = engine.status().exits["max"]
    assert before.on
    drive(engine, 500, wrong_share=0.2)
    engine.step()
    report = engine.status().exits["max"]
    assert not report.on
    assert 1.0 == report.audit_share
    assert "exits off" in report.reason
    assert "exits off" in engine.journal[-1].reason
    assert ("max", "max") == (engine.journal[-1].source, engine.journal[-1].target)
    result = engine.run(staged_input(sure=(0.99, 0.0), early=1, full=0))
    assert (3, None) == (result.depth, result.confidence)
    np.testing.assert_array_equal([[1, 0]], result.outputs["y"])
    drive(engine, 3000, wrong_share=0.0)
    engine.step()
    assert engine.status().exits["max"].on
    assert "exits on again" in engine.journal[-1].reason
    assert 1 in drive(engine, 10, wrong_share=0.0)
    assert 0 == engine.status().switches


def test_changed_confidences_switch_exits_off(open_engine: Callable[..., Engine]) -> None:
    """Confidences unlike the calibration's: nothing leaves until audits show that nothing is lost; then it does."""
    engine = open_engine(policy=policy(audit_share=0.02))
    drive(engine, 400, wrong_share=0.0)  # all above 0.9, where the calibration was even
    report = engine.status().exits["max"]
    assert not report.on
    assert 1.0 == report.audit_share
    assert "confidences have changed" in engine.journal[-1].reason
    drive(engine, 3000, wrong_share=0.0)
    engine.step()
    assert engine.status().exits["max"].on


def test_without_audits_changed_confidences_switch_exits_off(open_engine: Callable[..., Engine]) -> None:
    """Nobody can tell whether they still agree."""
    engine = open_engine(policy=policy(audit_share=0.0))
    drive(engine, 400, wrong_share=0.0)
    assert not engine.status().exits["max"].on
    assert 3 == engine.run(ALL_SURE).depth


def test_an_unchanged_input_gets_the_last_answer(open_engine: Callable[..., Engine], clock: Clock) -> None:
    """Depth 0, a copy of the answer, until it is too old or the input too far; slow changes add up."""
    engine = open_engine(policy=policy(gate=True))
    first = engine.run(ALL_SURE)
    again = engine.run({"x": ALL_SURE["x"] + np.float32(0.04)})
    assert (1, 0, None) == (first.depth, again.depth, again.confidence)
    np.testing.assert_array_equal(first.outputs["y"], again.outputs["y"])
    again.outputs["y"][:] = 99
    kept = engine.run(ALL_SURE)
    np.testing.assert_array_equal(first.outputs["y"], kept.outputs["y"])
    assert 1 == engine.run({"x": ALL_SURE["x"] + np.float32(0.08)}).depth
    assert 0 == engine.run({"x": ALL_SURE["x"] + np.float32(0.12)}).depth
    clock.now_s += 5.1
    assert 1 == engine.run({"x": ALL_SURE["x"] + np.float32(0.12)}).depth
    clock.now_s -= 60
    assert 1 == engine.run({"x": ALL_SURE["x"] + np.float32(0.12)}).depth
    assert {0: 3, 1: 4} == engine.status().depths


def test_the_gate_is_off_unless_the_policy_wants_it(open_engine: Callable[..., Engine], tmp_path: Path) -> None:
    """And unless the bundle says how near is near enough."""
    engine = open_engine()
    assert [1, 1] == [engine.run(ALL_SURE).depth for _ in range(2)]
    engine = open_engine(make_staged_bundle(tmp_path / "no-gate.bundle"), policy=policy(gate=True))
    assert [1, 1] == [engine.run(ALL_SURE).depth for _ in range(2)]


def test_an_answer_of_a_better_point_stays_and_of_a_worse_one_goes(open_engine: Callable[..., Engine]) -> None:
    """Down the ladder the last answer may stay; up, and with stricter exits, it is computed anew."""
    engine = open_engine(policy=policy(gate=True))
    unsure = staged_input(sure=(0.0, 0.0))
    engine.run(unsure)
    engine.pin("min")
    engine.step(wait=True)
    assert 0 == engine.run(unsure).depth
    other = staged_input(sure=(0.6, 0.0), full=1)
    assert 1 == engine.run(other).depth
    engine.pin("max", exit_scalar=1.0)
    engine.step(wait=True)
    assert 1 == engine.run(other).depth
    assert 0 == engine.run(other).depth
    engine.pin("max", exit_scalar=0.0)
    assert 3 == engine.run(other).depth
    engine.pin("max", exit_scalar=1.0)
    assert 0 == engine.run(other).depth


def test_the_gate_answers_no_wrong_input(open_engine: Callable[..., Engine]) -> None:
    """Feeds that do not fit are refused, batches always run, NaN is near nothing, a closed engine stays closed."""
    engine = open_engine(policy=policy(gate=True))
    engine.run(ALL_SURE)
    with pytest.raises(DataError):
        engine.run({"x": ALL_SURE["x"].astype(np.float64)})
    with pytest.raises(DataError):
        engine.run({**ALL_SURE, "z": ALL_SURE["x"]})
    with pytest.raises(DataError):
        engine.run({})
    batch = {"x": np.repeat(ALL_SURE["x"], 2, axis=0)}
    assert [1, 1] == [engine.run(batch).depth for _ in range(2)]
    nothing: dict[str, Array] = {"x": np.full((1, 6), np.nan, np.float32)}
    assert [3, 3] == [engine.run(nothing).depth for _ in range(2)]
    engine.run(ALL_SURE)
    engine.close()
    with pytest.raises(BackendError, match="closed"):
        engine.run(ALL_SURE)


@pytest.mark.parametrize("gate", [False, True])
def test_threads_and_switches_never_mix_answers(staged: Bundle, tmp_path: Path, gate: bool) -> None:
    """Runs from two threads, while the point and the dial move: each answer is that of its own input; close waits."""
    wrong: list[object] = []
    stop = threading.Event()
    engine = Engine(
        staged, root=tmp_path, device="raspberry-pi-4b", background=False, policy=policy(audit_share=0.1, gate=gate)
    )

    def serve(worker: int) -> None:
        i = 0
        while not stop.is_set():
            i += 1
            feeds = staged_input(sure=((0.95, 0.0), (0.0, 0.9), (0.0, 0.0))[i % 3], early=worker, full=worker)
            try:
                result = engine.run(feeds)
            except BackendError as error:
                if "closed" not in str(error):
                    wrong.append(error)
                return
            if int(result.outputs["y"].argmax()) != worker:
                wrong.append(result)

    threads = [threading.Thread(target=serve, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for n in range(15):
        engine.pin(("min", "max")[n % 2], exit_scalar=(0.0, 1.0, None)[n % 3])
        engine.step(wait=True)
    engine.close()
    stop.set()
    for thread in threads:
        thread.join()
    assert [] == wrong
