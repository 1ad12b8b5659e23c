from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehybrid.bundle import Bundle
from edgehybrid.errors import BackendError, DataError
from edgehybrid.points import Exit
from edgehybrid.profiles import ExecutionPolicy
from edgehybrid.runtime.backends import Array, LoadRequest, OnnxBackend, Session, make_backend
from edgehybrid.runtime.execution import Dial, Plan, load_plan
from edgehybrid.testing import make_staged_bundle, staged_input

MARKS = {1: 10.0, 2: 20.0, 3: 0.0}  # what an answer of each depth adds to its logits


@pytest.fixture(scope="session")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Two exits, three stages, a free batch."""
    return make_staged_bundle(tmp_path_factory.mktemp("staged") / "staged.bundle")


class Unbound:
    """A session that cannot be bound, as those of other back ends."""

    def __init__(self, session: Session) -> None:
        self.inputs, self.outputs, self.run = session.inputs, session.outputs, session.run


class UnboundBackend(OnnxBackend):
    """A back end of such sessions."""

    def load(self, request: LoadRequest, /) -> Session:
        """Load a variant."""
        return Unbound(super().load(request))


def plan_of(bundle: Bundle, *, dial: Dial | None = None, bound: bool = True, point: str = "max") -> Plan:
    find = make_backend if bound else lambda _: UnboundBackend()
    return load_plan(bundle, bundle.point(point), ExecutionPolicy(), find, dial=dial)


def together(*feeds: dict[str, Array]) -> dict[str, Array]:
    return {"x": np.concatenate([one["x"] for one in feeds])}


@pytest.mark.parametrize("bound", [True, False])
@pytest.mark.parametrize(
    ("sure", "depth", "confidence"),
    [
        ((0.95, 0.0), 1, 0.95),
        ((0.9, 0.0), 1, 0.9),
        ((0.89, 0.85), 2, 0.85),
        ((0.0, 0.79), 3, None),
        ((float("nan"), 0.9), 2, 0.9),
        ((float("nan"), float("nan")), 3, None),
        ((float("-inf"), 0.0), 3, None),
    ],
)
def test_the_first_exit_that_is_sure_answers(
    staged: Bundle, bound: bool, sure: tuple[float, float], depth: int, confidence: float | None
) -> None:
    """Its outputs come under the model's names, with depth and confidence; NaN is not sure; without any, the full."""
    exits = {"part-1": Exit(thresholds=(float(np.float32(0.9)),)), "part-2": Exit(thresholds=(0.8,))}
    plan = load_plan(
        staged,
        replace(staged.point("max"), exits=exits),
        ExecutionPolicy(),
        make_backend if bound else lambda _: UnboundBackend(),
    )
    for _ in range(3):
        outputs, got, certainty = plan.run(staged_input(sure=sure, early=1, full=0))
        assert ["y"] == list(outputs)
        early = [MARKS[depth], MARKS[depth] + 1]
        np.testing.assert_array_equal([early if depth < 3 else [1.0, 0.0]], outputs["y"])
        assert depth == got
        assert (None if confidence is None else pytest.approx(confidence)) == certainty


def test_a_point_runs_only_the_stages_that_it_names(staged: Bundle) -> None:
    """The uncut points load the one stage of theirs, whatever else the bundle holds."""
    plan = plan_of(staged, point="min")
    assert (["main"], 1, None) == ([stage.name for stage in plan.stages], *plan.run(staged_input(sure=(1, 1)))[1:])


def test_answers_belong_to_the_caller(staged: Bundle) -> None:
    """A later run changes nothing in outputs that were given away."""
    plan = plan_of(staged)
    for sure in ((0.95, 0.0), (0.0, 0.9), (0.0, 0.0)):
        first = plan.run(staged_input(sure=sure, early=1, full=1))[0]["y"]
        kept = first.copy()
        plan.run(staged_input(sure=sure))
        np.testing.assert_array_equal(kept, first)


@pytest.mark.parametrize("bound", [True, False])
def test_rows_leave_the_batch_one_by_one(staged: Bundle, bound: bool) -> None:
    """Each row has the answer of its own depth; the result tells the deepest and the least sure exit."""
    feeds = together(*(staged_input(sure=sure, early=1) for sure in ((0.95, 0.0), (0.0, 0.9), (0.0, 0.0), (0.91, 0.9))))
    outputs, depth, confidence, seen = plan_of(staged, bound=bound).trace(feeds)
    np.testing.assert_array_equal([[10, 11], [20, 21], [1, 0], [10, 11]], outputs["y"])
    assert 3 == depth
    assert pytest.approx(0.9) == confidence
    assert seen is not None
    assert {1: 2, 2: 1, 3: 1} == seen[3]


def test_finished_rows_are_not_computed_again(staged: Bundle) -> None:
    """Later stages get the rows that are left, whichever axis of a tensor holds them; none when all have left."""
    sizes: list[tuple[int, ...]] = []

    class Counting(Unbound):
        def __init__(self, session: Session) -> None:
            super().__init__(session)

            def run(feeds: dict[str, Array], /) -> dict[str, Array]:
                sizes.append(next(iter(feeds.values())).shape)
                return session.run(feeds)

            self.run = run  # type: ignore[assignment]  # the parts that a session needs

    class CountingBackend(OnnxBackend):
        def load(self, request: LoadRequest, /) -> Session:
            return Counting(super().load(request))

    plan = load_plan(staged, staged.point("max"), ExecutionPolicy(), lambda _: CountingBackend())
    sizes.clear()
    plan.run(together(*(staged_input(sure=sure) for sure in ((0.95, 0.0), (0.0, 0.9), (0.0, 0.0), (0.0, 0.1)))))
    assert [(4, 6), (6, 3), (2, 6)] == sizes
    sizes.clear()
    plan.run(staged_input(sure=(0.95, 0.0), rows=5))
    assert [(5, 6)] == sizes


@given(
    confidences=st.lists(st.tuples(st.floats(0, 1, width=32), st.floats(0, 1, width=32)), min_size=2, max_size=6),
    scalar=st.floats(0, 1),
)
def test_a_batch_answers_as_its_rows_alone(
    staged: Bundle, confidences: list[tuple[float, float]], scalar: float
) -> None:
    """What a row gets never depends on its neighbours."""
    plan = plan_of(staged, dial=Dial(scalar))
    rows = [staged_input(sure=sure, early=i % 2, full=1) for i, sure in enumerate(confidences)]
    outputs, depth, confidence = plan.run(together(*rows))
    alone = [plan.run(row) for row in rows]
    np.testing.assert_array_equal(np.concatenate([one[0]["y"] for one in alone]), outputs["y"])
    assert max(one[1] for one in alone) == depth
    assert min((one[2] for one in alone if one[2] is not None), default=None) == confidence


def test_a_fixed_batch_runs_whole_and_chooses_by_row(tmp_path: Path) -> None:
    """A model that takes exactly three rows: each still has its own depth."""
    plan = plan_of(make_staged_bundle(tmp_path / "three.bundle", batch=3))
    feeds = together(*(staged_input(sure=sure, early=1) for sure in ((0.95, 0.0), (0.0, 0.0), (0.0, 0.9))))
    outputs, depth, confidence = plan.run(feeds)
    np.testing.assert_array_equal([[10, 11], [1, 0], [20, 21]], outputs["y"])
    assert 3 == depth
    assert pytest.approx(0.9) == confidence
    assert 1 == plan.run(staged_input(sure=(0.95, 0.0), rows=3))[1]
    with pytest.raises(DataError, match="shape"):
        plan.run(staged_input(rows=2))


def test_a_cascade_is_a_chain(tmp_path: Path) -> None:
    """A whole small model answers where it is sure, the next one takes the model's input where it is not."""
    bundle = make_staged_bundle(tmp_path / "cascade.bundle", cascade=True, exits=[Exit(thresholds=(0.5,))])
    plan = plan_of(bundle)
    depth, confidence = plan.run(staged_input(sure=(0.6, 0.6)))[1:]
    assert 1 == depth
    assert pytest.approx(0.6) == confidence
    outputs, depth, confidence = plan.run(staged_input(sure=(0.4, 0.0), early=1, full=0))
    np.testing.assert_array_equal([[1, 0]], outputs["y"])
    assert (2, None) == (depth, confidence)


knots = st.lists(st.floats(0, 1), min_size=1, max_size=5).map(lambda ts: tuple(sorted(ts, reverse=True)))


@given(thresholds=knots, scalars=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_a_larger_scalar_never_raises_a_threshold(thresholds: tuple[float, ...], scalars: tuple[float, float]) -> None:
    """So that no input runs deeper at a larger scalar, to the last digit."""
    low, high = sorted(scalars)
    found = Exit(thresholds=thresholds)
    assert found.threshold(low) >= found.threshold(high)


@given(
    sure=st.tuples(st.floats(0, 1, width=32), st.floats(0, 1, width=32)),
    scalars=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_a_larger_scalar_never_raises_the_depth(
    staged_plan: Plan, sure: tuple[float, float], scalars: tuple[float, float]
) -> None:
    """The dial is monotone for every input."""
    depths = []
    for scalar in sorted(scalars):
        staged_plan.dial.turn(scalar)
        depths.append(staged_plan.run(staged_input(sure=sure))[1])
    assert depths[0] >= depths[1]


@pytest.fixture(scope="session")
def staged_plan(staged: Bundle) -> Plan:
    """A plan whose dial the tests turn."""
    return plan_of(staged)


def test_a_dial_that_is_off_lets_nothing_out(staged: Bundle) -> None:
    """None runs every input to the end, and back again."""
    dial = Dial(None)
    plan = plan_of(staged, dial=dial)
    assert (3, None) == plan.run(staged_input(sure=(1, 1)))[1:]
    assert 3 == plan.run(staged_input(sure=(1, 1), rows=2))[1]
    dial.turn(0.0)
    assert 1 == plan.run(staged_input(sure=(1, 1)))[1]


@pytest.mark.parametrize("rows", [1, 4])
def test_audited_inputs_run_to_the_end_and_are_compared(staged: Bundle, rows: int) -> None:
    """The full answer is given, and what the exit's would have lost is noted: nothing, or all."""
    plan = plan_of(staged, dial=Dial(audit_share=1.0))
    for early, loss in ((0, 0.0), (1, 1.0)):
        outputs, depth, confidence, seen = plan.trace(staged_input(sure=(0.95, 0.0), early=early, full=0, rows=rows))
        np.testing.assert_array_equal([[1, 0]] * rows, outputs["y"])
        assert (3, None) == (depth, confidence)
        assert seen is not None
        assert [pytest.approx(0.95)] * rows == list(seen[1])
        assert (loss,) * rows == seen[2]
    seen = plan.trace(staged_input(sure=(0.0, 0.0), rows=rows))[3]
    assert seen is not None
    assert () == seen[2]


def test_about_the_share_of_audits_that_was_asked_for(staged: Bundle) -> None:
    """A fifth of the exits is audited, of single inputs and of rows alike."""
    plan = plan_of(staged, dial=Dial(audit_share=0.2))
    single = sum(plan.run(staged_input(sure=(0.95, 0)))[1] == 3 for _ in range(2000))
    seen = plan.trace(staged_input(sure=(0.95, 0), rows=2000))[3]
    assert seen is not None
    assert 320 < single < 480
    assert 320 < len(seen[2]) < 480


def test_runs_from_several_threads_do_not_mix(staged: Bundle) -> None:
    """Every thread gets its own answers, whatever the dial does meanwhile."""
    dial = Dial(0.0)
    plan = plan_of(staged, dial=dial)
    wrong: list[object] = []

    def serve(worker: int) -> None:
        for i in range(400):
            sure = ((0.95, 0.0), (0.3, 0.95), (0.1, 0.1))[(i + worker) % 3]
            feeds = staged_input(sure=sure, early=worker % 2, full=1, rows=1 + (i % 7 == 0))
            outputs, depth, _ = plan.run(feeds)
            early = [MARKS[depth] + (worker % 2 == 0), MARKS[depth] + (worker % 2 == 1)]
            if not (outputs["y"] == (early if depth < 3 else [0.0, 1.0])).all():
                wrong.append((worker, i, depth, outputs["y"]))

    threads = [threading.Thread(target=serve, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for step in range(200):
        dial.turn(None if step % 3 == 0 else step % 2)
    for thread in threads:
        thread.join()
    assert [] == wrong


@pytest.mark.parametrize("feeds", [{}, {"x": [[0.0] * 6]}, {"x": np.zeros((1, 5), np.float32)}, None])
def test_feeds_that_do_not_fit_are_refused(staged: Bundle, feeds: object) -> None:
    """Before any stage runs, and the next good input runs."""
    plan = plan_of(staged)
    with pytest.raises(DataError):
        plan.run(feeds)  # type: ignore[arg-type]  # hostile on purpose
    with pytest.raises(DataError, match="no input 'z'"):
        plan.run({**staged_input(), "z": np.zeros(1)})
    assert 3 == plan.run(staged_input())[1]


def test_many_shapes_stay_right(staged: Bundle) -> None:
    """Batches of every length answer alike, also beyond those that keep their own memory."""
    plan = plan_of(staged)
    for rows in (*range(1, 25), *range(24, 0, -1)):
        outputs, depth, _ = plan.run(staged_input(sure=(0.0, 0.9), early=1, rows=rows))
        np.testing.assert_array_equal([[20.0, 21.0]] * rows, outputs["y"])
        assert 2 == depth


def test_stages_that_do_not_fit_together_never_serve(staged: Bundle) -> None:
    """A chain whose second stage takes another dtype than the first gives is refused when it is loaded."""

    class Other(OnnxBackend):
        def load(self, request: LoadRequest, /) -> Session:
            session = super().load(request)
            if "part-1" not in str(request.model_file):
                return session
            wide = Unbound(session)
            wide.run = lambda feeds, /: {k: v.astype(np.float64) for k, v in session.run(feeds).items()}
            return wide

    with pytest.raises(BackendError, match="do not fit together"):
        load_plan(staged, staged.point("max"), ExecutionPolicy(), lambda _: Other())


def test_a_stage_that_fails_is_the_callers_to_see(staged: Bundle) -> None:
    """The error of a later stage reaches whoever called; the next input runs."""
    plan = plan_of(staged, bound=False)
    last = plan.stages[-1].session
    good = last.run

    def bad(_: object) -> dict[str, Array]:
        raise BackendError("out of luck", "try again")

    last.run = bad  # type: ignore[method-assign]  # the tests' own session
    with pytest.raises(BackendError, match="out of luck"):
        plan.run(staged_input())
    assert 1 == plan.run(staged_input(sure=(1, 1)))[1]
    last.run = good  # type: ignore[method-assign]
    assert 3 == plan.run(staged_input())[1]


def test_every_stage_replays_its_golden_vectors(staged: Bundle) -> None:
    """A stage that computes otherwise here is refused by name, whatever its place in the chain."""

    class Drifting(OnnxBackend):
        def load(self, request: LoadRequest, /) -> Session:
            session = super().load(request)
            if "part-2" not in str(request.model_file):
                return session
            wrong = Unbound(session)
            wrong.run = lambda feeds, /: {k: v + np.float32(1) for k, v in session.run(feeds).items()}
            return wrong

    with pytest.raises(BackendError, match="stage 'part-2' failed its self-test"):
        load_plan(staged, staged.point("max"), ExecutionPolicy(), lambda _: Drifting())
