from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgehybrid.bundle import Bundle
from edgehybrid.errors import BackendError, DataError
from edgehybrid.profiles import ExecutionPolicy
from edgehybrid.runtime.backends import Array, OnnxBackend, make_backend
from edgehybrid.runtime.execution import LoadedStage, Plan, load_plan
from edgehybrid.tensors import TensorSpec
from edgehybrid.testing.backends import Behaviour, FakeBackend, FakeSession
from edgehybrid.testing.bundles import make_bundle, make_point

X: Array = np.ones((1, 4), np.float32)
QUIET = ExecutionPolicy()


def spec(name: str) -> TensorSpec:
    return TensorSpec(name=name, dtype="float32", shape=("batch", 4))


def plan_of(bundle: Bundle, name: str, backend: FakeBackend | None = None, policy: ExecutionPolicy = QUIET) -> Plan:
    find = make_backend if backend is None else lambda _: backend
    return load_plan(bundle, bundle.point(name), policy, find)


def test_a_plan_runs_its_point(marks_bundle: Bundle, marks: dict[str, float]) -> None:
    """Every point loads, passes its self-test and gives its own outputs at depth one."""
    for name, mark in marks.items():
        outputs, depth, _ = plan_of(marks_bundle, name).run({"x": X})
        np.testing.assert_array_equal(X + mark, outputs["y"])
        assert 1 == depth


def test_threads_and_spinning_reach_the_back_end(write_marks: Callable[..., Bundle], fake_backend: FakeBackend) -> None:
    """A point runs with the threads it was measured with, under the policy's ceiling, and spins only when asked."""
    bundle = write_marks(real=False)
    four = replace(bundle.point("max"), threads=4)
    for policy in (QUIET, ExecutionPolicy(max_threads=2, spinning=True), ExecutionPolicy(max_threads=8)):
        load_plan(bundle, four, policy, lambda _: fake_backend)
    assert [(4, False), (2, True), (4, False)] == [(r.threads, r.spinning) for r in fake_backend.loaded]


def test_a_stage_may_have_its_own_threads(write_marks: Callable[..., Bundle], fake_backend: FakeBackend) -> None:
    """It is loaded with them, under the same ceiling; asked for another number, every stage has that."""
    bundle = write_marks(real=False)
    own = replace(bundle.point("max"), threads=4, stage_threads={"main": 3})
    for point, policy in (
        (own, QUIET),
        (own, ExecutionPolicy(max_threads=2)),
        (own.on_threads(4), QUIET),
        (own.on_threads(1), QUIET),
    ):
        load_plan(bundle, point, policy, lambda _: fake_backend)
    assert [3, 2, 3, 1] == [request.threads for request in fake_backend.loaded]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda feeds: {"y": feeds["x"] + np.float32(1.001)}, "'y' differs by 0.001, at most 0.0001 is allowed"),
        (lambda feeds: {"y": feeds["x"] * np.float32(np.nan)}, "'y' differs by nan"),
        (lambda feeds: {"y": feeds["x"] * np.float32(np.inf)}, "'y' differs by inf"),
        (lambda feeds: {"y": feeds["x"][:, :3]}, "'y' has shape [1, 3], not [1, 4]"),
        (lambda feeds: {"z": feeds["x"]}, "'y' is missing"),
    ],
)
def test_the_self_test_names_tensor_and_difference(
    write_marks: Callable[..., Bundle],
    fake_backend: FakeBackend,
    wrong: Callable[[dict[str, Array]], dict[str, Array]],
    says: str,
) -> None:
    """A variant that computes something else on this device is refused before it serves."""
    fake_backend.behaviours["max"] = Behaviour(outputs=lambda feeds: wrong(dict(feeds)))
    with pytest.raises(BackendError) as caught:
        plan_of(write_marks(real=False), "max", fake_backend)
    assert says in str(caught.value)
    assert "Variant 'max' of stage 'main'" in str(caught.value)


def test_a_small_difference_passes(write_marks: Callable[..., Bundle], fake_backend: FakeBackend) -> None:
    """What lies within the bundle's tolerance is another processor's rounding, not a fault."""
    fake_backend.behaviours["max"] = Behaviour(outputs=lambda feeds: {"y": feeds["x"] + np.float32(1.00005)})
    assert "max" == plan_of(write_marks(real=False), "max", fake_backend).point.name


def test_equal_infinities_pass(tmp_path: Path, fake_backend: FakeBackend) -> None:
    """Golden outputs that are not finite are compared by what they are."""
    golden: dict[str, Array] = {"y": np.asarray([[np.nan, np.inf, -np.inf, 1.0]], np.float32)}
    fake_backend.behaviours["fp32"] = Behaviour(outputs=lambda _: golden)
    bundle = make_bundle(
        tmp_path / "odd.bundle",
        points=[make_point("fp32", energy_mj=1)],
        inputs=[spec("x")],
        outputs=[spec("y")],
        golden_inputs={"x": X},
        golden_outputs={"fp32": golden},
    )
    assert "fp32" == plan_of(bundle, "fp32", fake_backend).point.name


def test_a_failing_load_is_told(write_marks: Callable[..., Bundle], fake_backend: FakeBackend) -> None:
    """The back end's own words reach whoever asked."""
    fake_backend.behaviours["max"].fails_on_load = "no room"
    with pytest.raises(BackendError, match="no room"):
        plan_of(write_marks(real=False), "max", fake_backend)


def test_a_released_plan_frees_its_sessions_at_once(marks_bundle: Bundle) -> None:
    """No cycle keeps models alive until some later collection, also after runs of several shapes."""
    plan = plan_of(marks_bundle, "max")
    for length in (1, 2, 3):
        plan.run({"x": np.ones((length, 4), np.float32)})
    plan_gone, session_gone = weakref.ref(plan), weakref.ref(plan.stages[0].session)
    engine_gone = weakref.ref(plan.stages[0].session._session)  # type: ignore[attr-defined]  # what holds the memory
    gc.disable()
    try:
        del plan
        assert (None, None, None) == (plan_gone(), session_gone(), engine_gone())
    finally:
        gc.enable()


def chained(bundle: Bundle) -> Plan:
    """A plan of two stages: ``y = (x + 1) * 10 + x``, where the second needs an input and the first's output."""
    first = FakeSession((spec("x"),), (spec("h"),), Behaviour(outputs=lambda f: {"h": f["x"] + np.float32(1)}))
    second = FakeSession(
        (spec("h"), spec("x")),
        (spec("y"),),
        Behaviour(outputs=lambda f: {"y": f["h"] * np.float32(10) + f["x"]}),
    )
    stages = (LoadedStage(name="first", session=first), LoadedStage(name="second", session=second))
    return Plan(point=bundle.point("max"), stages=stages, inputs=(spec("x"),), outputs=("y",))


def test_stages_pass_on_what_the_next_needs(marks_bundle: Bundle) -> None:
    """Stages run in order, each with its own inputs; the model's outputs come back, and the depth is told."""
    outputs, depth, _ = chained(marks_bundle).run({"x": X})
    assert (["y"], 2) == (list(outputs), depth)
    np.testing.assert_array_equal((X + 1) * 10 + X, outputs["y"])


def test_stages_check_the_inputs_of_the_model(marks_bundle: Bundle) -> None:
    """Feeds that do not fit are refused before the first stage runs."""
    with pytest.raises(DataError, match="'x' is missing"):
        chained(marks_bundle).run({})
    with pytest.raises(DataError, match="no input 'h'"):
        chained(marks_bundle).run({"x": X, "h": X})


def test_the_registry_makes_the_onnx_back_end() -> None:
    """Variants that name "onnx" run with ONNX Runtime."""
    assert isinstance(make_backend("onnx"), OnnxBackend)
