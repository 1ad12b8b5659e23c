from __future__ import annotations

import numpy as np
import pytest

from edgehybrid.exporters.measure import paired_ratio
from edgehybrid.exporters.search import Figures, Frontier, choose, default_max_drop
from edgehybrid.quality import choose_metric, summarize
from edgehybrid.tensors import TensorSpec

OUTPUT = TensorSpec(name="y", dtype="float32", shape=("batch", 10))
METRIC = choose_metric("accuracy", outputs=[OUTPUT], has_labels=True, label_dtype="int64")
WEATHER = np.random.default_rng(0).uniform(1.0, 1.2, 100)
RIGHT = np.array([1.0] * 190 + [0.0] * 10)


def figures(
    name: str,
    speed: float,
    *,
    wrong: int = 0,
    size: int = 100,
    sqnr: float = 40.0,
    finite: bool = True,
    cores: float = 1.0,
    may_lose: float = 0.0,
) -> Figures:
    """A candidate with ``wrong`` more mistakes than the reference and ``speed`` times its speed."""
    scores = RIGHT.copy()
    scores[:wrong] = 0.0
    wall = WEATHER / speed * np.random.default_rng(len(name)).uniform(0.999, 1.001, 100)
    return Figures(
        name=name,
        quality=summarize(METRIC, scores, RIGHT),
        scores=scores,
        sqnr_db=sqnr,
        wall_s=wall,
        cpu_s=wall * cores,
        speedup=paired_ratio(WEATHER, wall),
        size_bytes=size,
        finite=finite,
        may_lose=may_lose,
    )


REFERENCE = figures("fp32", 1.0, sqnr=150.0)


def select(*candidates: Figures, max_drop: float = 0.05, levels: int = 4, keep: tuple[str, ...] = ()) -> Frontier:
    """Choose beside the reference."""
    return choose(REFERENCE, candidates, metric=METRIC, max_drop=max_drop, levels=levels, keep=keep)


def reasons(frontier: Frontier) -> dict[str, str]:
    """What was dropped, and why."""
    return {item.name: item.reason for item in frontier.dropped}


@pytest.mark.parametrize(
    ("candidate", "words"),
    [
        (figures("broken", 2.0, finite=False), "NaN"),
        (figures("bad", 2.0, wrong=40), "loses 20.0 points of accuracy (21.1% of float's); allowed: 5.0 points"),
        (figures("slow", 0.9, size=10), "slower than float: 0.90×"),
        (figures("same", 1.0, size=95), "not measurably faster"),
    ],
)
def test_unfit_candidate_is_dropped_with_its_reason(candidate: Figures, words: str) -> None:
    """Broken, worse than allowed, slower, or pointless: each is named with figures."""
    frontier = select(candidate)

    assert () == frontier.kept
    assert words in reasons(frontier)[candidate.name]


def test_much_smaller_at_equal_speed_stays() -> None:
    """A quarter of the size at the same speed is worth a point."""
    assert ("small",) == select(figures("small", 1.0, size=25)).kept


def test_dominated_candidate_is_dropped() -> None:
    """Another that is as good, as float-like and as small, but faster, makes it pointless."""
    frontier = select(figures("quick", 1.5), figures("slower", 1.2))

    assert ("quick",) == frontier.kept
    assert "dominated by quick" in reasons(frontier)["slower"]


def test_two_threads_do_not_dominate_one() -> None:
    """Faster by spending more CPU time is another trade, not a better one."""
    assert {"one", "two"} == set(select(figures("one", 1.2), figures("two", 1.5, cores=2.0)).kept)


def test_loss_is_said_in_both_ways() -> None:
    """The relative loss is a share of the float model's value, whichever direction is better."""
    rmse = choose_metric("rmse", outputs=[OUTPUT], has_labels=True, label_dtype="float32")
    worse = summarize(rmse, np.full(10, 9.0), np.full(10, 4.0))

    assert 0.2 / 0.95 == pytest.approx(figures("bad", 2.0, wrong=40).quality.relative_drop)
    assert 0.5 == pytest.approx(worse.relative_drop)


def test_a_few_bytes_less_save_nobody() -> None:
    """Slower and less float-like goes, though it is a tenth smaller; clearly smaller stays."""
    fast = figures("fast", 1.5, size=100, sqnr=50.0)

    assert ("fast",) == select(fast, figures("slower", 1.2, size=90, sqnr=40.0)).kept
    assert ("fast", "small") == select(fast, figures("small", 1.2, size=70, sqnr=40.0)).kept


def test_likeness_to_float_is_worth_a_point() -> None:
    """A slower graph that is nearer to float stays when accuracy cannot tell them apart, and comes first."""
    assert ("near", "quick") == select(figures("quick", 1.5, sqnr=30.0), figures("near", 1.2, sqnr=90.0)).kept


def test_measurably_better_quality_comes_first() -> None:
    """Where the intervals do tell, quality counts more than likeness."""
    frontier = select(figures("like", 1.2, wrong=20, sqnr=60.0, size=50), figures("good", 1.1, sqnr=30.0), max_drop=0.2)

    assert ("good", "like") == frontier.kept


def test_no_more_levels_than_asked() -> None:
    """Of many, the most float-like and the fastest stay, and the rest is spread between; the others are named."""
    many = [figures("p" * (i + 1), 1.1 + 0.2 * i, sqnr=100.0 - 10 * i) for i in range(6)]
    frontier = select(*many, levels=3)

    assert 3 == len(frontier.kept)
    assert {"p", "pppppp"} <= set(frontier.kept)
    assert 3 == sum("3 levels" in reason for reason in reasons(frontier).values())
    assert ("pppppp",) == select(*many, levels=1).kept


def test_what_is_kept_for_another_processor_takes_nobodys_place() -> None:
    """Its time here decides nothing: it is carried beside the others, with the reason why it would have gone."""
    fast, slow = figures("fast", 2.0), figures("slow-w8a8", 0.5, sqnr=30.0)
    frontier = select(fast, slow, levels=1, keep=("*-w8a8",))

    assert {"fast", "slow-w8a8"} == set(frontier.kept)
    assert "slower than float: 0.50×" in frontier.carried["slow-w8a8"]
    assert not frontier.dropped
    assert not select(fast, slow, keep=("fast",)).carried  # it is shipped as it is


def test_nothing_bad_is_kept() -> None:
    """The verdict on quality holds for every processor."""
    bad, broken = figures("bad", 0.5, wrong=40), figures("broken", 0.5, finite=False)
    frontier = select(figures("fast", 2.0), bad, broken, keep=("*",))

    assert ("fast",) == frontier.kept
    assert not frontier.carried


def test_there_are_five_points_at_most() -> None:
    """Where all do not fit, the ones chosen by measurement make room, the fastest last."""
    many = [figures("p" * (i + 1), 1.1 + 0.2 * i, sqnr=100.0 - 10 * i) for i in range(5)]
    frontier = select(*many, figures("slow", 0.5, sqnr=20.0), levels=5, keep=("slow",))

    assert 5 == len(frontier.kept)
    assert {"slow", "p", "ppppp"} <= set(frontier.kept)


def test_what_measured_best_here_always_has_a_place() -> None:
    """However many are asked for: a device has something better than float to run until it has measured them."""
    slow = [figures("s" * (i + 2), 0.5, sqnr=30.0 - i) for i in range(6)]
    frontier = select(figures("fast", 2.0), *slow, keep=("*",))

    assert 5 == len(frontier.kept)
    assert "fast" in set(frontier.kept) - set(frontier.carried)


def test_a_step_down_is_a_step_in_speed() -> None:
    """When levels are few, a faster step counts more than one that is only smaller than those above it."""
    near, small = figures("near", 1.2, sqnr=60.0), figures("small", 1.0, sqnr=50.0, size=20)
    middle, fast = figures("middle", 1.3, sqnr=40.0), figures("fast", 2.0, sqnr=30.0)

    assert ("near", "middle", "fast") == select(near, small, middle, fast, levels=3).kept
    assert ("near", "small", "middle", "fast") == select(near, small, middle, fast, levels=4).kept


def test_default_limit_depends_on_the_metric() -> None:
    """Five points of a share; a tenth of an error."""
    assert 0.05 == default_max_drop(REFERENCE.quality)
    rmse = choose_metric("rmse", outputs=[OUTPUT], has_labels=True, label_dtype="float32")
    squares = np.full(10, 4.0)
    assert 0.2 == pytest.approx(default_max_drop(summarize(rmse, squares, squares)))


def test_exits_dominate_nothing_that_promises_to_lose_less() -> None:
    """However fast, a point that may lose 5 % leaves one that may lose 2 % on the frontier, and one without exits."""
    whole, strict = figures("whole", 2.0), figures("strict", 3.0, may_lose=0.02)
    found = select(whole, strict, figures("loose", 4.0, may_lose=0.05), figures("slow", 2.5, may_lose=0.05))

    assert ("whole", "strict", "loose") == found.kept
    assert "dominated by strict" in reasons(found)["slow"]


def test_the_fastest_point_without_exits_stays() -> None:
    """Where levels are few, the one to fall back on when inputs change is not the one that goes."""
    best, whole = figures("best", 1.2, sqnr=60.0), figures("whole", 2.0)
    early = [figures(f"early-{k}", 3.0 + k, may_lose=0.01 * (k + 1)) for k in range(3)]

    assert ("best", "whole", "early-2") == select(best, whole, *early, levels=3).kept
