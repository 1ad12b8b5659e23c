from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from edgehybrid.errors import DataError
from edgehybrid.exporters.depth.scores import (
    Score,
    aurc,
    auroc,
    choose_score,
    class_scores,
    fit_learnt,
    folds,
    rank,
)

Floats = NDArray[np.float64]
LOGITS = arrays(np.float64, (6, 4), elements=st.floats(-50, 50, width=32))


@given(LOGITS)
def test_confidence_is_a_share(logits: Floats) -> None:
    """Every score of classes lies in 0 to 1, whatever the logits."""
    for score in class_scores(logits):
        sure = score(logits)
        assert sure.shape == (6,)
        assert ((sure >= 0) & (sure <= 1 + 1e-12)).all()


@given(LOGITS, st.floats(-20, 20))
def test_shift_of_all_logits_means_nothing(logits: Floats, by: float) -> None:
    """Margin and entropy read probabilities only."""
    for score in (Score(name="margin", scale=2.0), Score(name="entropy")):
        np.testing.assert_allclose(score(logits), score(logits + by), atol=1e-9)


def test_scores_by_hand() -> None:
    """Two classes with probabilities 0.75 and 0.25, then two that are alike."""
    logits = np.log(np.array([[0.75, 0.25], [0.5, 0.5]]))
    entropy = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25))

    np.testing.assert_allclose([0.5, 0.0], Score(name="margin")(logits), atol=1e-12)
    np.testing.assert_allclose([1 - entropy, 0.0], Score(name="entropy")(logits), atol=1e-12)
    np.testing.assert_allclose([0.5, 0.5], Score(name="energy")(logits), atol=1e-12)  # their logits sum to a whole
    np.testing.assert_allclose(
        [np.exp(-0.5), 1.0],
        Score(name="error", scale=2.0, weight=np.array([1.0]), bias=1.0)(logits, np.array([[0.0], [-5.0]])),
    )


def test_score_of_features_asks_for_them() -> None:
    """A learnt score without features is refused."""
    with pytest.raises(DataError, match="learnt"):
        Score(name="learnt", weight=np.zeros(3))(np.zeros((2, 2)))


def test_area_of_a_perfect_and_of_a_useless_score() -> None:
    """All failures last: near the square of the risk over two; all alike: the risk itself; backwards: worse."""
    loss = (np.arange(100) >= 80).astype(np.float64)
    sure = np.linspace(1, 0, 100)

    assert aurc(sure, loss) < 0.03
    assert pytest.approx(0.2) == aurc(np.zeros(100), loss)
    assert aurc(-sure, loss) > 0.5
    assert (1.0, 0.0, 0.5) == (auroc(sure, loss), auroc(-sure, loss), auroc(np.zeros(100), loss))


@given(st.integers(0, 2**31))
def test_area_does_not_ask_for_the_order_of_equals(seed: int) -> None:
    """Rows of one confidence may stand in any order."""
    draw = np.random.default_rng(seed)
    sure, loss = draw.integers(0, 4, 30) / 3, draw.random(30).round()
    order = draw.permutation(30)

    assert pytest.approx(aurc(sure, loss)) == aurc(sure[order], loss[order])


def test_interval_holds_the_value() -> None:
    """The bootstrap interval is around the area, and no failure at all has no AUROC."""
    draw = np.random.default_rng(0)
    sure = draw.random(300)
    found = rank(sure, (draw.random(300) > sure).astype(np.float64))

    assert found.aurc_ci95[0] < found.aurc < found.aurc_ci95[1]
    assert found.auroc is not None
    assert found.auroc_ci95 is not None
    assert found.auroc_ci95[0] < found.auroc < found.auroc_ci95[1]
    assert rank(sure, np.zeros(300)).auroc is None


def test_learnt_score_finds_what_logits_do_not_show() -> None:
    """Where one feature alone says which rows fail, the learnt score is chosen, held out and on new rows."""
    draw = np.random.default_rng(1)

    def rows(n: int) -> tuple[Floats, Floats, Floats]:
        features = draw.standard_normal((n, 20)) * np.linspace(1, 5, 20)
        failure = (draw.random(n) < 1 / (1 + np.exp(-3 * features[:, 0] + 2))).astype(np.float64)
        return draw.standard_normal((n, 3)), features, failure

    logits, features, failure = rows(600)
    groups = np.arange(600)
    chosen = choose_score(logits, failure, features, groups, judged=groups)
    logits, features, failure = rows(600)

    assert "learnt" == chosen.score.name
    assert {"margin", "entropy", "energy", "learnt"} == set(chosen.table)
    assert chosen.table["learnt"].aurc < 0.5 * chosen.table["margin"].aurc
    assert (auroc(chosen.score(logits, features), failure) or 0) > 0.85


def test_learnt_score_of_noise_promises_nothing() -> None:
    """More features than rows and nothing to learn: held out it ranks like chance."""
    draw = np.random.default_rng(2)
    failure = (draw.random(150) < 0.3).astype(np.float64)
    _, sure = fit_learnt(draw.standard_normal((150, 400)), failure, np.arange(150))

    assert pytest.approx(0.5, abs=0.15) == auroc(sure, failure)


@given(st.lists(st.integers(0, 8), min_size=6, max_size=40), st.integers(0, 99))
def test_groups_are_never_divided(groups: list[int], seed: int) -> None:
    """All rows of a group are in one fold."""
    fold = folds(np.array(groups), 5, seed)

    assert len(set(groups)) == len(set(zip(groups, fold.tolist(), strict=True)))
