"""Which plans stay loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgehybrid import Engine
from edgehybrid.bundle import Bundle
from edgehybrid.profiles import ExecutionPolicy, MemoryPolicy, load_policy
from edgehybrid.runtime.execution import Dial, Part, Plan
from edgehybrid.runtime.plans import Plans, budget_bytes
from edgehybrid.runtime.telemetry import Snapshot
from edgehybrid.testing import FakeBackend, make_point
from edgehybrid.units import MIB

NAMES = ("fp32", "max", "balanced", "min")  # each takes 1,000 bytes alone


@pytest.fixture
def bundle(write_marks: Callable[..., Bundle]) -> Bundle:
    return write_marks(real=False)


@pytest.fixture
def make(bundle: Bundle, fake_backend: FakeBackend) -> Callable[[float], Plans]:
    """Make plans with a budget of so many bytes."""

    def build(budget: float) -> Plans:
        memory = MemoryPolicy(resident_mib=budget / MIB)
        return Plans(bundle, ExecutionPolicy(), memory, Dial(), {"onnx": fake_backend})

    return build


def test_what_served_lately_is_not_loaded_again(make: Callable[[float], Plans], fake_backend: FakeBackend) -> None:
    """Within the budget the same plan comes back; beyond it, the one that served longest ago has gone."""
    plans = make(2000.5)
    first = plans.load(Part("max"))
    plans.retire([first], [])
    second = plans.load(Part("min"))
    plans.retire([second], [first])
    assert first is plans.load(Part("max"))
    assert 2 == len(fake_backend.loaded)
    plans.retire([first], [second])
    third = plans.load(Part("balanced"))
    assert ("max", "balanced") == plans.loaded
    assert [second] == plans.retire([third], [second])  # it had made room, and whoever served on it is done


@given(asked=st.lists(st.sampled_from(NAMES), min_size=1, max_size=12), budget=st.integers(0, 4000))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_budget_holds_and_what_serves_stays(make: Callable[[float], Plans], asked: list[str], budget: int) -> None:
    """Whatever is asked for in whatever order: together within the budget, or nothing but what serves."""
    plans, serving = make(budget + 0.5), list[Plan]()
    for name in asked:
        plan = plans.load(Part(name))
        plans.retire([plan], serving)
        serving = [plan]
        assert name == plan.point.name == plans.loaded[-1]
        assert len(plans.loaded) <= max(budget // 1000, 1)
        assert len(plans.loaded) == len(set(plans.loaded))


def test_pressure_shrinks_what_is_kept(make: Callable[[float], Plans]) -> None:
    """Little free memory, or processes that wait for it, leave only what serves; later there is room again."""
    plans = make(10_000)
    loaded = [plans.load(Part(name)) for name in NAMES]
    calm = Snapshot(at_s=0.0, memory_free_mib=500.0, memory_pressure_pct=0.0)
    assert not plans.look(calm, 64.0)
    assert [] == plans.retire(loaded[-1:], [])
    assert plans.look(replace(calm, memory_free_mib=100.0), 64.0)
    assert loaded[:-1] == plans.retire(loaded[-1:], [])
    assert not plans.look(replace(calm, memory_pressure_pct=30.0), 64.0)  # nothing is left to let go of


def test_without_a_budget_half_as_much_again_as_the_largest() -> None:
    """And the policy's, where it has one."""
    points = [replace(make_point("a", energy_mj=1), resident_bytes=n * MIB) for n in (10, 40)]
    assert 60 * MIB == budget_bytes(MemoryPolicy(), points)
    assert 5 * MIB == budget_bytes(MemoryPolicy(resident_mib=5.0), points)


def test_an_engine_comes_back_without_loading(bundle: Bundle, fake_backend: FakeBackend, tmp_path: Path) -> None:
    """Switching to and fro loads each point once; the status says what is loaded; under pressure it is released."""
    policy = replace(load_policy("balanced"), memory=MemoryPolicy(resident_mib=1.0))
    tree = tmp_path / "proc"
    tree.mkdir()

    def free(mib: int) -> None:
        (tree / "meminfo").write_text(f"MemTotal: 1000000 kB\nMemAvailable: {mib * 1024} kB\n")

    free(500)
    with Engine(
        bundle, root=tmp_path, background=False, backends={"onnx": fake_backend}, policy=policy, start="max"
    ) as engine:
        for name in ("min", "max", "balanced", "min", "max"):
            engine.pin(name)
            engine.step(wait=True)
            assert name == engine.run({"x": np.ones((1, 4), np.float32)}).point
        assert 3 == len(fake_backend.loaded)
        assert ("balanced", "min", "max") == engine.status().loaded
        free(70)
        engine.step(wait=True)
        assert ("max",) == engine.status().loaded
