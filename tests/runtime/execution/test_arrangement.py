from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehybrid.errors import RequestError
from edgehybrid.runtime.execution import Arrangement, balance
from edgehybrid.runtime.execution.arrangement import Borders

loads = st.lists(st.floats(0.0, 10.0), min_size=1, max_size=7)


@given(loads=loads, groups=st.integers(1, 5))
def test_no_other_division_is_better(loads: list[float], groups: int) -> None:
    """The heaviest piece is as light as in any division into as many pieces; every piece has a stage."""
    borders = balance(loads, groups)
    assert borders == tuple(sorted(set(borders)))
    assert all(0 < border < len(loads) for border in borders)

    def heaviest(cuts: tuple[int, ...]) -> float:
        return max(sum(loads[a:b]) for a, b in pairwise((0, *cuts, len(loads))))

    others = combinations(range(1, len(loads)), min(groups, len(loads)) - 1)
    assert heaviest(borders) == min(map(heaviest, others))


def test_borders_follow_what_stages_take() -> None:
    """A chain is divided evenly at first, then by the time that its stages really take."""
    borders = Borders(3)
    assert borders.of(2) in ((1,), (2,))
    for _ in range(200):
        borders.learn([1.0, 1.0, 9.0])
    assert (2,) == borders.of(2)
    for _ in range(400):
        borders.learn([9.0])  # an exit after the first stage
    assert (1,) == borders.of(2)


@pytest.mark.parametrize(("mode", "workers"), [("single", 2), ("replicas", 0), ("nonsense", 1)])
def test_what_cannot_be_is_refused(mode: str, workers: int) -> None:
    """The error says what would do."""
    with pytest.raises(RequestError, match=r"Use one of|at least 1 worker"):
        Arrangement(mode=mode, workers=workers)  # type: ignore[arg-type]  # what this tests


def test_each_mode_says_what_it_uses() -> None:
    """Threads belong to one run; lanes are runs side by side."""
    said = [
        (a.lanes, a.threads) for a in (Arrangement(mode="threads", workers=3), Arrangement(mode="replicas", workers=3))
    ]
    assert [(1, 3), (3, 1)] == said
    assert "pipeline on 2 cores" == str(Arrangement(mode="pipeline", workers=2))
