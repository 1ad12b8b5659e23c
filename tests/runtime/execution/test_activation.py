from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from edgehybrid.bundle import Bundle
from edgehybrid.errors import BackendError
from edgehybrid.profiles import ExecutionPolicy
from edgehybrid.runtime.backends import Array
from edgehybrid.runtime.execution import Activator, Part, Plan, Request, Switch, load_plan
from edgehybrid.testing.backends import FakeBackend

X: Array = np.ones((1, 4), np.float32)


class Stand:
    """An activator over the fake back end, with gates in front of its loads."""

    def __init__(self, bundle: Bundle, backend: FakeBackend) -> None:
        self.bundle, self.backend = bundle, backend
        self.open = threading.Event()  # loads wait for it
        self.open.set()
        self.begun = threading.Event()
        self.loads: list[str] = []
        self.switches: list[Switch] = []
        self.failures: list[tuple[str, str]] = []
        self.activator = Activator(
            self.make("max"),
            self.load,
            lambda: 7.0,
            switched=self.switches.append,
            failed=lambda request, error: self.failures.append((request.point, str(error))),
        )

    def make(self, name: str) -> Plan:
        """Load a plan without a gate."""
        return load_plan(self.bundle, self.bundle.point(name), ExecutionPolicy(), lambda _: self.backend)

    def load(self, part: Part) -> Plan:
        """Load a plan once the gate is open."""
        self.loads.append(part.point)
        self.begun.set()
        self.open.wait(10)
        return self.make(part.point)

    def ask(self, name: str) -> None:
        """Request a point."""
        self.activator.request(Request(point=name, reason=f"asked for {name}"))

    @property
    def serves(self) -> str:
        """The point that serves now."""
        return self.activator.plan.point.name


@pytest.fixture
def stand(write_marks: Callable[..., Bundle], fake_backend: FakeBackend) -> Iterator[Stand]:
    stand = Stand(write_marks(real=False), fake_backend)
    yield stand
    stand.open.set()
    stand.activator.close()


def test_the_old_plan_serves_while_the_next_is_made_ready(stand: Stand) -> None:
    """Until the next plan has passed its test the old one answers; then the switch is told with its reason."""
    stand.open.clear()
    stand.ask("min")
    stand.begun.wait(10)
    assert ("max", True) == (stand.serves, stand.activator.busy)
    assert not stand.activator.settle(0.01)
    stand.open.set()
    assert stand.activator.settle(10)
    assert "min" == stand.serves
    (switch,) = stand.switches
    assert (7.0, "max", "min", "asked for min") == (switch.at_s, switch.source, switch.target, switch.reason)
    assert switch.ready_s > 0


def test_the_newest_request_wins(stand: Stand) -> None:
    """Requests that wait are overtaken by the newest; what was loaded for an older one is not activated."""
    stand.open.clear()
    stand.ask("balanced")
    stand.begun.wait(10)
    for name in ("fp32", "balanced", "min"):
        stand.ask(name)
    stand.open.set()
    stand.activator.settle(10)
    assert "min" == stand.serves
    assert ["balanced", "min"] == stand.loads
    assert ["min"] == [switch.target for switch in stand.switches]


def test_asking_for_what_serves_cancels_what_is_on_its_way(stand: Stand) -> None:
    """Going back before the switch took place leaves the engine where it is."""
    stand.open.clear()
    stand.ask("min")
    stand.begun.wait(10)
    stand.ask("max")
    stand.open.set()
    stand.activator.settle(10)
    assert ("max", []) == (stand.serves, stand.switches)


def test_a_failed_load_keeps_the_present_plan(stand: Stand) -> None:
    """The present plan serves on, the reason is told, and later requests work."""
    stand.backend.behaviours["min"].fails_on_load = "no room"
    stand.ask("min")
    stand.activator.settle(10)
    assert "max" == stand.serves
    ((point, reason),) = stand.failures
    assert ("min", True) == (point, "no room" in reason)
    stand.ask("balanced")
    stand.activator.settle(10)
    assert "balanced" == stand.serves


def test_the_old_plan_is_released(stand: Stand) -> None:
    """After the switch nothing keeps the old plan, once the last run on it has ended."""
    running = stand.activator.plan  # as a run holds it
    gone = weakref.ref(running)
    stand.ask("min")
    stand.activator.settle(10)
    np.testing.assert_array_equal(X + 1, running.run({"x": X})[0]["y"])  # a run that began before ends on its plan
    del running
    assert gone() is None


def test_closing_refuses_runs_and_releases_the_plan(stand: Stand) -> None:
    """After closing, the plan is gone and runs raise our error."""
    gone = weakref.ref(stand.activator.plan)
    stand.activator.close()
    assert gone() is None
    with pytest.raises(BackendError, match="closed"):
        stand.activator.plan.run({"x": X})


def test_what_nobody_foresaw_is_told_once_and_stops_nothing(stand: Stand) -> None:
    """A bug in a loader reaches whoever settles, once; the point is reported, the next request works."""
    make = stand.make

    def buggy(name: str) -> Plan:
        if name == "min":
            raise ZeroDivisionError("a bug")
        return make(name)

    stand.make = buggy  # type: ignore[method-assign]  # the loader's bug
    stand.ask("min")
    with pytest.raises(ZeroDivisionError):
        stand.activator.settle(10)
    assert stand.activator.settle(10)
    assert ["min"] == [point for point, _ in stand.failures]
    stand.ask("balanced")
    stand.activator.settle(10)
    assert "balanced" == stand.serves


def share(stand: Stand, part: float) -> None:
    stand.activator.request(
        Request(point="max", alternate="min", share=part, reason=f"max {part:.0%}, min {1 - part:.0%}")
    )
    assert stand.activator.settle(10)


@pytest.mark.parametrize("part", [0.0, 0.1, 0.3, 0.5, 0.77, 1.0])
def test_two_plans_take_turns_evenly(stand: Stand, part: float) -> None:
    """Of any runs in a row the first gets its share of them, give or take one; only what was missing is loaded."""
    share(stand, part)
    turns = stand.activator.plan.turns
    assert turns is not None
    served = [turns.next() is turns.high for _ in range(400)]
    for first, last in ((0, 400), (0, 7), (13, 90), (200, 399)):
        assert (last - first) * part == pytest.approx(sum(served[first:last]), abs=1.0 + 1e-9)
    assert ["min"] == stand.loads
    assert [("max", "max+min")] == [(s.source, s.target) for s in stand.switches]


def test_new_shares_of_the_same_two_need_no_switch(stand: Stand) -> None:
    """They hold from the next run on, without loading anything; one of the two alone lets the other go."""
    share(stand, 0.5)
    share(stand, 0.25)
    assert stand.activator.plan.turns is not None
    assert 0.25 == stand.activator.plan.turns.share
    assert 1 == len(stand.switches)
    gone = weakref.ref(stand.activator.plan.turns.high)
    stand.ask("min")
    assert stand.activator.settle(10)
    assert "min" == stand.serves
    assert ["min"] == stand.loads
    gc.collect()
    assert gone() is None


def test_a_share_whose_second_point_fails_names_it(stand: Stand) -> None:
    """The one that does not load is told, and what served serves on."""
    stand.backend.behaviours["min"].fails_on_load = "no room"
    share(stand, 0.5)
    assert "max" == stand.serves
    assert stand.activator.plan.turns is None
    assert ["min"] == [point for point, _ in stand.failures]
