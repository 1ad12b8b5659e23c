"""Lines by themselves, over stages that only take time: who runs what, and that nothing is left lying."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgehybrid.runtime.execution import Arrangement, Job, Line, Plan
from edgehybrid.runtime.execution.places import Places, popped

HOWS = (
    *(Arrangement(mode="pipeline", workers=n, ahead=ahead) for n in (2, 3, 4) for ahead in (0, 2, 6)),
    *(Arrangement(mode="replicas", workers=n, ahead=ahead) for n in (2, 3) for ahead in (0, 2)),
    Arrangement(mode="threads", workers=2),
)
PIPELINE = HOWS[1]
TAKES_S = 3e-4  # of a stage: more than the grace of a taker that is away


@dataclass(frozen=True, kw_only=True, eq=False)
class Chained:
    """A plan, as far as a line looks at it."""

    stages: tuple[int, ...]


@dataclass(kw_only=True, eq=False)
class Works:
    """Lines over chains of stages that note which thread ran them."""

    arranged: Arrangement
    stages: int = 2
    takes_s: float = 0.0
    ran: list[tuple[int, int, str]] = field(default_factory=list)  # input, stage, thread

    def line(self, source: Iterator[int], *, first: int = 0, after: Callable[[int, Any], Any] | None = None) -> Any:
        """Return a line of numbers."""
        plan = cast(Plan, Chained(stages=tuple(range(self.stages))))  # a line asks it for no more
        return Line(
            source,
            before=lambda k: k,  # numbers in place of tensors
            start=lambda k: Job(plan=plan, steps=self._steps(k)),  # type: ignore[arg-type]
            finish=lambda job, trace: trace,  # noqa: ARG005  # a line's signature
            after=after,
            arranged=lambda: self.arranged,
            first=first,
        )

    def _steps(self, k: int) -> Generator[None, None, Any]:
        for stage in range(self.stages):
            if self.takes_s:
                time.sleep(self.takes_s)
            self.ran.append((k, stage, threading.current_thread().name))
            if stage < self.stages - 1:
                yield
        return k

    def threads(self, stage: int) -> list[str]:
        """Who ran a stage, by input."""
        return [name for _, of, name in sorted(self.ran) if of == stage]


def ours() -> list[str]:
    """Threads of lines that are alive."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("edgehybrid-stream")]


def test_a_quick_taker_is_the_last_worker() -> None:
    """In a pipeline the last stage of most inputs runs where its result is wanted, so nobody is woken for it."""
    works, me = Works(arranged=PIPELINE, takes_s=TAKES_S), threading.current_thread().name
    assert list(range(60)) == list(works.line(iter(range(60))).results())
    assert me not in works.threads(0)
    assert works.threads(1)[10:].count(me) > 25


def test_a_slow_taker_runs_nothing() -> None:
    """Who is usually away for long is no worker: the stages overlap with what it does."""
    works, me = Works(arranged=PIPELINE, takes_s=TAKES_S), threading.current_thread().name
    for _ in works.line(iter(range(60))).results():
        time.sleep(4 * TAKES_S)
    assert me not in works.threads(1)[30:]


@pytest.mark.parametrize("workers", [2, 3])
def test_a_taker_that_is_away_once_is_replaced(workers: int) -> None:
    """While it is away for long, inputs that come are run by the worker of its place, as far as there is room."""
    how = Arrangement(mode="pipeline", workers=workers, ahead=4)
    works = Works(arranged=how, stages=workers, takes_s=TAKES_S)
    results = works.line(iter(range(80))).results()
    taken = list(islice(results, 40))
    before = len(works.threads(workers - 1))
    time.sleep(0.2)
    assert len(works.threads(workers - 1)) - before >= 2
    assert list(range(80)) == taken + list(results)


@pytest.mark.parametrize("how", HOWS, ids=str)
def test_who_takes_results_never_asks_the_source(how: Arrangement) -> None:
    """The source may wait for something that the taker does."""
    asked, works = set(), Works(arranged=how)

    def source() -> Iterator[int]:
        for k in range(40):
            asked.add(threading.current_thread().name)
            yield k

    assert list(range(40)) == list(works.line(source()).results())
    assert threading.current_thread().name not in asked


@given(
    changes=st.lists(st.tuples(st.integers(1, 9), st.sampled_from(HOWS)), min_size=1, max_size=6),
    stages=st.integers(1, 4),
    takes_s=st.sampled_from([0.0, 2e-5, TAKES_S]),
    pauses=st.dictionaries(st.integers(0, 40), st.sampled_from([5e-5, 5e-4, 2e-3]), max_size=4),
    waits=st.dictionaries(st.integers(0, 40), st.just(5e-4), max_size=20),
    after=st.booleans(),
    stop=st.none() | st.integers(0, 40),
)
@settings(max_examples=60, deadline=None)
def test_nothing_is_left_lying(
    changes: list[tuple[int, Arrangement]],
    stages: int,
    takes_s: float,
    pauses: dict[int, float],
    waits: dict[int, float],
    after: bool,
    stop: int | None,
) -> None:
    """Arrangements change, source and taker are away now and then, the line is closed early: order, and no thread."""
    works, due = Works(arranged=changes[0][1], stages=stages, takes_s=takes_s), list(changes)

    def source() -> Iterator[int]:
        since = 0
        for k in range(40):
            time.sleep(waits.get(k, 0.0))
            if due and k - since >= due[0][0]:
                since, works.arranged = k, due.pop(0)[1]
            yield k

    got = []
    results = works.line(source(), after=(lambda item, value: (item, value)[1]) if after else None).results()
    for value in results:
        got.append(value)
        time.sleep(pauses.get(value, 0.0))
        if value == stop:
            results.close()
    assert list(range(40 if stop is None or stop >= 40 else stop + 1)) == got
    assert all(b == a + 1 for (i, a, _), (k, b, _) in pairwise(sorted(works.ran)) if i == k)
    assert [] == ours()


def test_workers_change_places() -> None:
    """The worker of a place goes on to the next, whose worker takes its place; queues stay where they are."""
    places: Places[int] = Places()
    bells = [places.add()[1] for _ in range(3)]
    assert places.advance(0, 0)
    assert [1, 0, 2] == places.of
    assert [bells[1], bells[0], bells[2]] == places.bells
    assert not places.advance(0, 0)  # it is not there any more
    assert places.advance(0, 1)
    assert [2, 0, 1] == places.of


def test_a_queue_may_be_emptied_by_another() -> None:
    """Who comes too late finds nothing, and no error."""
    places: Places[int] = Places()
    places.add()
    assert places.next(0) is None
    assert popped(places.own[0]) is None


def test_numbers_in_errors_go_on(caplog: pytest.LogCaptureFixture) -> None:
    """A line that continues a stream says which input of the whole stream met an error."""
    works = Works(arranged=PIPELINE)

    def broken(item: int, value: Any) -> Any:
        if item == 5:
            raise ValueError("no")
        return value

    results = works.line(iter(range(9)), first=100, after=broken).results()
    got: list[int] = []
    with pytest.raises(ValueError, match="no") as caught:
        got.extend(results)
    assert list(range(5)) == got
    assert any("input 105" in note for note in caught.value.__notes__)
    assert not caplog.records
    assert [] == ours()
