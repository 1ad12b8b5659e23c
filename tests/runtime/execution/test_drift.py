from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehybrid.points import Exit, OperatingPoint, Risk, RiskLoss
from edgehybrid.runtime.execution import Dial, ExitWatch, Note
from edgehybrid.runtime.execution.dial import turn_to
from edgehybrid.runtime.execution.drift import (
    ALPHA,
    Bets,
    Ranks,
    bet_on_change,
    bet_on_less,
    bet_on_more,
    make_ranks,
)
from edgehybrid.runtime.execution.watch import allowed_loss
from edgehybrid.testing import make_point

BOUND, SHARE, LEAVE = 0.01, 0.02, 0.8
NOTICED = 60  # audits within which 95 % of the drifts to 20 % disagreement are noticed


def audits_until_alarm(rng: np.random.Generator, risk: float, *, inputs: int, bets: Bets | None = None) -> int | None:
    """Feed a stream whose exits lose ``risk`` on average over all inputs; ``None`` without an alarm."""
    bets, audits, block = bets or Bets(), 0, 100
    for _ in range(inputs // block):
        audited = int(rng.binomial(block, LEAVE * SHARE))
        losses = (rng.random(audited) < risk / LEAVE).astype(float).tolist()
        audits += audited
        bets = bet_on_more(bets, inputs=block, losses=losses, share=SHARE, bound=BOUND)
        if bets.evidence >= 1 / ALPHA:
            return audits
    return None


def test_false_alarms_are_as_rare_as_promised() -> None:
    """Of long streams that lose just what is allowed, at most one in a hundred ever alarms (and the chance's doubt)."""
    rng = np.random.default_rng(1)
    alarms = sum(audits_until_alarm(rng, BOUND, inputs=30_000) is not None for _ in range(300))
    assert alarms <= 9  # more has a chance of 0.1 % where each stream has 1 %


def test_a_drift_is_noticed_soon() -> None:
    """When a fifth of the exits becomes wrong, 95 % of the streams alarm within 60 audits."""
    rng = np.random.default_rng(2)
    audits = [audits_until_alarm(rng, 0.2 * LEAVE, inputs=100_000) for _ in range(100)]
    assert sum(n is not None and n <= NOTICED for n in audits) >= 95


def test_good_years_do_not_make_it_deaf() -> None:
    """After a million good inputs a drift is still noticed, with some more audits."""
    rng = np.random.default_rng(3)
    bets = Bets()
    for _ in range(1000):
        losses = [1.0] * int(rng.binomial(1000, 0.003 * SHARE))
        bets = bet_on_more(bets, inputs=1000, losses=losses, share=SHARE, bound=BOUND)
    audits = audits_until_alarm(rng, 0.2 * LEAVE, inputs=100_000, bets=bets)
    assert audits is not None
    assert audits <= 2 * NOTICED


@pytest.mark.parametrize(("risk", "proves"), [(0.0, True), (0.002, True), (0.01, False), (0.05, False)])
def test_less_is_proven_only_where_it_is_less(risk: float, proves: bool) -> None:
    """While off: exits that lose clearly less than allowed prove it, those at or above it do not."""
    rng = np.random.default_rng(4)
    bets = Bets()
    for _ in range(250):
        losses = (rng.random(16) < risk).astype(float).tolist()
        bets = bet_on_less(bets, inputs=20, losses=losses, bound=BOUND)
        if bets.evidence >= 1 / ALPHA:
            break
    assert proves == (bets.evidence >= 1 / ALPHA)


@given(
    groups=st.lists(st.tuples(st.integers(0, 50), st.lists(st.floats(0, 1), max_size=5)), max_size=20),
    share=st.floats(0.001, 1),
    bound=st.floats(0.001, 0.9),
)
def test_wealth_is_never_negative(groups: list[tuple[int, list[float]]], share: float, bound: float) -> None:
    """Whatever comes, the evidence is a number at least 0: no bet can lose more than its stake."""
    more = less = Bets()
    for rest, losses in groups:
        more = bet_on_more(more, inputs=rest + len(losses), losses=losses, share=share, bound=bound)
        less = bet_on_less(less, inputs=rest + len(losses), losses=losses, bound=bound)
        assert 0 <= more.evidence
        assert 0 <= less.evidence
        assert not math.isnan(more.evidence + less.evidence)


def even_ranks(n: int) -> Ranks:
    ranks = make_ranks(np.linspace(0, 1, 21).tolist(), n)
    assert ranks is not None
    return ranks


@pytest.mark.parametrize("n", [50, 2000])
def test_equal_confidences_raise_no_alarm(n: int) -> None:
    """Streams that are distributed as the calibration's few or many samples: one false alarm in a hundred at most."""
    rng, alarms = np.random.default_rng(5), 0
    for seed in range(60):
        ranks = make_ranks(np.quantile(rng.random(n), np.linspace(0, 1, 21)).tolist(), n)
        assert ranks is not None
        ranks = bet_on_change(ranks, rng.random(3000).tolist(), random.Random(seed).random)
        alarms += ranks.evidence >= 1 / ALPHA
    assert alarms <= 4  # more has a chance of 0.03 %


@pytest.mark.parametrize("power", [0.4, 2.5])
def test_other_confidences_are_noticed(power: float) -> None:
    """Lower or higher than before: within 500 inputs."""
    rng = np.random.default_rng(6)
    ranks = bet_on_change(even_ranks(1000), (rng.random(500) ** power).tolist(), rng.random)
    assert ranks.evidence >= 1 / ALPHA


def test_confidences_that_often_are_the_same_raise_no_alarm() -> None:
    """Half of them exactly 1, on the calibration as now: ties are broken at random."""
    rng = np.random.default_rng(7)

    def draw(n: int) -> np.ndarray:
        return np.where(rng.random(n) < 0.5, 1.0, rng.random(n))

    ranks = make_ranks(np.quantile(draw(2000), np.linspace(0, 1, 21)).tolist(), 2000)
    assert ranks is not None
    assert bet_on_change(ranks, draw(5000).tolist(), rng.random).evidence < 1 / ALPHA


@given(confidences=st.lists(st.floats(), max_size=30), edges=st.lists(st.floats(0, 1), min_size=3, max_size=6))
def test_any_confidence_has_a_rank(confidences: list[float], edges: list[float]) -> None:
    """NaN, infinities and coinciding quantiles included."""
    ranks = make_ranks(sorted(edges), 10)
    assert ranks is not None
    after = bet_on_change(ranks, confidences, random.Random(0).random)
    assert 10 + len(confidences) == pytest.approx(sum(after.counts))
    assert after.evidence >= 0


def test_too_few_quantiles_are_not_watched() -> None:
    """Without two bins there are no ranks."""
    assert [None, None, None] == [make_ranks(q, 100) for q in ((), (0.5,), (0.1, 0.9))]


QUANTILES = tuple(np.linspace(0, 1, 21).tolist())


def point_with(loss: RiskLoss = "disagreement", quantiles: tuple[float, ...] = QUANTILES) -> OperatingPoint:
    return replace(
        make_point("max", energy_mj=1),
        variants={"a": "v", "b": "v"},
        exits={"a": Exit(thresholds=(0.9, 0.5), quantiles=quantiles)},
        risk=Risk(epsilon=0.01, relaxed_epsilon=0.05, delta=0.1, n=1000, loss=loss),
    )


class Stand:
    """A watch, its dial, and notes of runs as a chain would leave them."""

    def __init__(self, point: OperatingPoint, *, audit_share: float) -> None:
        self.point, self.dial = point, Dial(audit_share=audit_share)
        self.watch = ExitWatch([point], self.dial)
        self.rng = np.random.default_rng(0)

    def feed(self, count: int, *, wrong: float = 0.0, low: float = 0.0) -> list[str]:
        """Run ``count`` inputs with confidences from ``low`` to 1; return what changed."""
        said: list[str] = []
        for _ in range(count // 20):
            said += [why for _, why in self.watch.add([self.note(wrong, low) for _ in range(20)])]
        return said

    def note(self, wrong: float, low: float) -> Note:
        """One run."""
        turned = turn_to(self.dial.setting, "max", [self.point.exits["a"], None])
        score = float(self.rng.uniform(low, 1.0))
        leaves = score >= turned.thresholds[0]
        audited = leaves and self.rng.random() < turned.audit_share
        losses = (float(self.rng.random() < wrong),) if audited else ()
        return (0.0, "max", 1 if leaves and not audited else 2, 0.001, (turned, (score,), losses, None), 1, 0.0)

    @property
    def on(self) -> bool:
        """Whether exits answer."""
        return self.watch.reports()["max"].on and self.dial.setting.share("max") < 1


def test_exits_that_keep_their_promise_stay_on() -> None:
    """A long clean stream changes nothing."""
    stand = Stand(point_with(), audit_share=0.2)
    assert [] == stand.feed(10_000, wrong=0.005)
    assert stand.on
    report = stand.watch.reports()["max"]
    assert 0.01 == report.bound
    assert 0 < report.audits < 1000
    assert report.loss is not None


def test_a_scalar_of_more_allows_more() -> None:
    """What is too much for the promise may be allowed by the relaxed one."""
    stand = Stand(point_with(), audit_share=0.5)
    stand.dial.turn(1.0)
    assert [] == stand.feed(4000, wrong=0.05)
    stand.dial.turn(0.0)
    assert any("exits off" in why for why in stand.feed(20_000, wrong=0.5))


def test_changed_confidences_switch_off_until_nothing_is_lost() -> None:
    """After a change of confidences nothing leaves until audits prove that it may; then the usual share again."""
    stand = Stand(point_with(), audit_share=0.02)
    assert ["exits off: confidences have changed; on again once audits show no loss"] == stand.feed(400, low=0.7)
    assert not stand.on
    said = stand.feed(5000, low=0.7)
    assert ["exits on again: audits prove that at most 1.0% of all inputs are lost"] == said
    assert 0.02 == stand.dial.setting.share("max")
    assert stand.on


def test_changed_confidences_that_lose_stay_off() -> None:
    """A loss that is too small for the usual audits to see, but larger than promised, never comes back."""
    stand = Stand(point_with(), audit_share=0.02)
    said = stand.feed(20_000, low=0.7, wrong=0.06)

    assert 1 == len(said)
    assert not stand.on


def test_a_dial_that_is_off_is_not_watched() -> None:
    """Nothing leaves, so nothing is lost: no verdict."""
    stand = Stand(point_with(quantiles=()), audit_share=0.5)
    stand.dial.turn(None)
    assert [] == stand.feed(1000)
    assert (0, None, True) == (
        stand.watch.reports()["max"].audits,
        stand.watch.reports()["max"].loss,
        stand.watch.reports()["max"].on,
    )


def test_points_without_a_promise_are_not_watched() -> None:
    """Without exits, or without risk, there is nothing to test."""
    assert {} == ExitWatch([make_point("max", energy_mj=1)], Dial()).reports()
    assert {} == ExitWatch([replace(point_with(), risk=None)], Dial()).reports()


def test_an_error_may_hide_behind_a_wrong_full_answer() -> None:
    """Where errors were promised, other answers are allowed as often as the full model is wrong; else as promised."""
    point = point_with("error")
    assert 0.01 + 1 - point.quality.ci95[0] == pytest.approx(allowed_loss(point, 0.0))
    assert 0.03 == pytest.approx(allowed_loss(replace(point, quality=replace(point.quality, metric="mine")), 0.0))
    cases: list[tuple[RiskLoss, float]] = [("disagreement", 0.0), ("disagreement", 1.0), ("deviation", 0.0)]
    assert [0.01, 0.05, 0.01] == [allowed_loss(point_with(loss), scalar) for loss, scalar in cases]
