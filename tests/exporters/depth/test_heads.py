from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import logsumexp

from edgehybrid.errors import DataError
from edgehybrid.exporters.depth import heads
from edgehybrid.exporters.depth.heads import choose_head, fit_logistic, fit_ridge, spec_of
from edgehybrid.exporters.depth.path import Certified, certify, fit_path, losses_along
from edgehybrid.exporters.depth.scores import Score
from edgehybrid.exporters.depth.spec import apply_head

Floats = NDArray[np.float64]


class Problem:
    """A "full model" of four classes on 12 numbers, and what an early cut sees of them: some, mixed, with noise."""

    def __init__(self, seed: int = 0, *, features: int = 40, noise: float = 0.5) -> None:
        self.draw = np.random.default_rng(seed)
        self.hidden, self.out = self.draw.standard_normal((12, 32)), self.draw.standard_normal((32, 4))
        self.mix, self.noise = self.draw.standard_normal((12, features)), noise

    def rows(self, n: int) -> tuple[Floats, Floats]:
        """Features and the model's logits."""
        x = self.draw.standard_normal((n, 12))
        logits = np.tanh(x @ self.hidden / 3) @ self.out
        seen = np.maximum(x @ self.mix, 0) + self.noise * self.draw.standard_normal((n, self.mix.shape[1]))
        return seen, logits


@pytest.mark.parametrize("features", [10, 60])
def test_closed_form_is_the_fit_without_the_group(features: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said held out equals a second fit on the other groups, more rows than features and fewer."""
    draw = np.random.default_rng(0)
    groups = np.repeat(np.arange(12), [1, 2, 3, 4] * 3)
    x, y = draw.standard_normal((30, features)), draw.standard_normal((30, 2))
    values = np.linalg.eigvalsh((x - x.mean(0)) / x.std(0) @ ((x - x.mean(0)) / x.std(0)).T)
    monkeypatch.setattr(heads, "_PENALTIES", np.array([0.3]))
    fit = fit_ridge(x, y, groups)
    penalty = 0.3 * values[values > 1e-10 * values[-1]].mean()
    z = np.column_stack([np.ones(30), (x - x.mean(0)) / x.std(0)])
    shrink = np.diag([0.0, *[penalty] * features])
    for group in range(12):
        out = groups == group
        weight = np.linalg.solve(z[~out].T @ z[~out] + shrink, z[~out].T @ y[~out])
        np.testing.assert_allclose(z[out] @ weight, fit.held_out[out], atol=1e-6)
    np.testing.assert_allclose(np.linalg.solve(z.T @ z + shrink, z.T @ y).T @ z.T, fit(x).T, atol=1e-6)


def test_fewer_rows_than_features() -> None:
    """With 120 rows and 480 features a head answers like the model on most new rows, and says so beforehand."""
    problem = Problem(features=480)
    features, logits = problem.rows(120)
    head = choose_head({"all": features}, logits, "logits")
    features, logits = problem.rows(2000)
    agreement = float(((features @ head.weight + head.bias).argmax(1) == logits.argmax(1)).mean())

    assert agreement > 0.7
    assert head.agreement_ci95[0] - 0.02 <= agreement <= head.agreement_ci95[1] + 0.02


def test_better_features_are_chosen() -> None:
    """Of three poolings the one that tells most is taken; constant features get no weight."""
    problem = Problem(1)
    features, logits = problem.rows(300)
    noise = problem.draw.standard_normal(features.shape)
    some = np.column_stack([features, np.full(300, 7.0)])
    head = choose_head({"noise": noise, "first": features[:, :3], "some": some}, logits, "logits")

    assert "some" == head.pooling
    assert (head.weight[-1] == 0).all()
    assert {"noise ridge", "first ridge", "some ridge", "some logistic"} == set(head.poolings)


def test_spec_computes_the_same() -> None:
    """The stage answers and is as sure as what was judged: the weights of head and score are those of raw features."""
    problem = Problem(2)
    features, logits = problem.rows(300)
    for kind, targets in (("logits", logits), ("probabilities", np.exp(logits - logsumexp(logits, 1, keepdims=True)))):
        head = choose_head({"all": features}, targets, "logits" if kind == "logits" else "probabilities")
        new, _ = problem.rows(50)
        answers, sure = apply_head(spec_of(head), new)
        ours = new @ head.weight + head.bias
        assert (answers.argmax(1) == ours.argmax(1)).all()
        np.testing.assert_allclose(head.score(ours, new), sure, atol=1e-9)
        if kind == "probabilities":
            np.testing.assert_allclose(np.ones(50), answers.sum(1))


def test_logistic_comes_near_the_model_itself() -> None:
    """Features that are the model's own: the softmax of the head is nearly the model's."""
    problem = Problem(3)
    _, logits = problem.rows(400)
    p = np.exp(logits - logsumexp(logits, 1, keepdims=True))
    fit = fit_logistic(logits, p, np.arange(400), penalty=1e-6)
    own = fit(logits)

    assert np.abs(np.exp(own - logsumexp(own, 1, keepdims=True)) - p).mean() < 0.02
    assert (fit.held_out.argmax(1) == logits.argmax(1)).mean() > 0.97


def test_values_have_a_predicted_error() -> None:
    """For a value, the confidence falls with the distance that is to be expected, on new rows."""
    draw = np.random.default_rng(4)

    def rows(n: int) -> tuple[Floats, Floats]:
        features = draw.standard_normal((n, 6))
        noise = np.maximum(features[:, 0] + 1, 0.02)  # grows with the first feature
        return features, (features[:, 1:] @ [1, 2, 3, 4, 5] + noise * draw.standard_normal(n))[:, None]

    head = choose_head({"all": (data := rows(400))[0]}, data[1], "value")
    features, values = rows(2000)
    answers, sure = apply_head(spec_of(head), features)
    apart = np.abs(answers - values)[:, 0]
    surer = sure >= np.median(sure)

    assert "error" == head.score.name
    assert head.agreement > 0.9
    assert head.agreement_ci95[0] <= head.agreement <= head.agreement_ci95[1]
    assert apart[surer].mean() < 0.7 * apart[~surer].mean()
    assert ((sure > 0) & (sure <= 1)).all()


def test_variations_of_an_input_do_not_vouch_for_it() -> None:
    """Copies of each row, in one group, add no confidence: noise targets stay unpredictable."""
    draw = np.random.default_rng(5)
    features, targets = draw.standard_normal((60, 80)), draw.standard_normal((60, 4))
    groups = np.tile(np.arange(60), 3)
    head = choose_head({"all": np.tile(features, (3, 1))}, np.tile(targets, (3, 1)), "logits", groups=groups)

    assert head.agreement < 0.45
    assert 60 == len(head.confidence) == len(head.answers)


def test_promise_holds_with_fitted_heads() -> None:
    """Over 200 splits (heads, path and thresholds fitted anew) the true risk is above epsilon in at most delta of them.

    Within the binomial interval of 200 trials; two exits that see the same rows.
    """
    problem = Problem(6)
    later = Problem(7, noise=0.1)
    later.hidden, later.out = problem.hidden, problem.out
    margin, epsilon, delta, wrong, made = Score(name="margin"), 0.08, 0.1, 0, 0

    def rows(n: int) -> tuple[list[Floats], NDArray[np.int64]]:
        x = problem.draw.standard_normal((n, 12))
        logits = np.tanh(x @ problem.hidden / 3) @ problem.out
        seen = [np.maximum(x @ p.mix, 0) + p.noise * problem.draw.standard_normal((n, 40)) for p in (problem, later)]
        return [*seen, logits], logits.argmax(1)

    test, truth = rows(6000)
    for _ in range(200):
        (*features, logits), _ = rows(80)
        (*other, _), answers = rows(80)
        fits = [fit_ridge(seen, logits, np.arange(80)) for seen in features]
        sure = np.column_stack([margin(fit.held_out) for fit in fits])
        lost = np.column_stack([fit.held_out.argmax(1) != logits.argmax(1) for fit in fits]).astype(np.float64)
        path = fit_path(sure, lost, (0.2, 0.5, 1.0))
        found = certify(path, *_at(fits, other, answers), epsilon, delta)
        if isinstance(found, Certified):
            made += 1
            wrong += losses_along(path, np.array([found.u]), *_at(fits, test[:2], truth)).mean() > epsilon

    assert made > 100
    assert wrong / 200 <= delta + 1.96 * math.sqrt(delta * (1 - delta) / 200)


def _at(fits: list[heads.Affine], seen: list[Floats], answers: NDArray[np.int64]) -> tuple[Floats, Floats]:
    logits = [fit(features) for fit, features in zip(fits, seen, strict=True)]
    sure = np.column_stack([Score(name="margin")(values) for values in logits])
    return sure, np.column_stack([values.argmax(1) != answers for values in logits]).astype(np.float64)


def test_bad_arguments_are_named() -> None:
    """Too few inputs, features of another length, NaN, one class."""
    good, targets = np.ones((8, 3)), np.eye(8)
    with pytest.raises(DataError, match="no basis"):
        choose_head({"a": good}, targets, "logits", groups=np.zeros(8, dtype=np.int64))
    with pytest.raises(DataError, match="'a' have shape"):
        choose_head({"a": good[:5]}, targets, "logits")
    with pytest.raises(DataError, match="'a' hold NaN"):
        choose_head({"a": good * np.nan}, targets, "logits")
    with pytest.raises(DataError, match="targets"):
        choose_head({"a": good}, targets[:, :1], "probabilities")
