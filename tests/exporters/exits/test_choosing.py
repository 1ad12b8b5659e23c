"""Which cuts pay."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgehybrid.exporters.depth import Cut, choose_head
from edgehybrid.exporters.exits.choosing import choose_cuts, choose_sets, judged
from edgehybrid.exporters.exits.offers import Offer

N = 120
TRUTH = np.random.default_rng(0).standard_normal((N, 3))


def offer(name: str, early: float, *, noise: float, whole: float = 1.01, seed: int = 0) -> Offer:
    """A head that sees the answers through so much noise."""
    seen = TRUTH + noise * np.random.default_rng(seed + 100).standard_normal(TRUTH.shape)
    head = choose_head({"flat": seen}, TRUTH, "logits")
    losses: NDArray[np.float64] = (head.all_answers.argmax(axis=1) != TRUTH.argmax(axis=1)).astype(np.float64)
    cut = Cut(name=name, component="c", values=(), share=early)
    return Offer(cut=cut, head=head, losses=losses, early=early, whole=whole)


def test_an_early_head_that_agrees_wins() -> None:
    """Of two heads that agree as often the earlier one, alone."""
    early, late = offer("early", 0.2, noise=0.05), offer("late", 0.6, noise=0.05)

    assert [(early,)] == choose_cuts([early, late], [0.05])


def test_the_loss_that_is_allowed_moves_the_cut() -> None:
    """A poor early head serves those who may lose much, a good late one those who may not."""
    early, late = offer("early", 0.2, noise=2.0), offer("late", 0.4, noise=0.02)
    strict, loose = choose_cuts([early, late], [0.01, 0.6])

    assert "late" in [chosen.cut.name for chosen in strict]
    assert (early,) == loose


def test_two_heads_of_one_cut_are_no_chain() -> None:
    """A cut has one head."""
    same = [offer("here", 0.3, noise=noise, seed=k) for k, noise in enumerate((0.3, 0.4, 0.5))]

    assert all(1 == len(chosen) for chosen in choose_cuts(same, [0.01, 0.05, 0.2]))


def test_what_saves_nothing_is_not_chosen() -> None:
    """Neither a late head nor one that is never right."""
    assert [()] == choose_cuts([offer("late", 0.97, noise=0.05)], [0.05])
    assert [()] == choose_cuts([offer("blind", 0.1, noise=100.0)], [0.01])
    assert [()] == choose_cuts([], [0.01])


def test_a_dear_head_must_earn_its_place() -> None:
    """Beyond 3 % more at full depth counts as if every input paid it."""
    cheap, dear = offer("cheap", 0.30, noise=0.2), offer("dear", 0.29, noise=0.2, whole=1.2)

    assert [(cheap,)] == choose_cuts([cheap, dear], [0.05])


def test_sets_are_distinct_and_few() -> None:
    """The best for each loss and view, each once."""
    offers = [offer(f"cut-{k}", 0.2 + 0.15 * k, noise=0.8 / (k + 1), seed=k) for k in range(4)]
    inputs = np.arange(0, N, 4)
    sets = choose_sets(offers, (0.01, 0.02, 0.05), inputs, most=3)

    assert 1 <= len(sets) <= 3
    assert len(set(sets)) == len(sets)


PAIR = (offer("a", 0.2, noise=0.6), offer("b", 0.5, noise=0.2))


@given(epsilons=st.lists(st.floats(0.001, 0.5), min_size=2, max_size=4, unique=True).map(sorted))
def test_more_loss_never_costs_more(epsilons: list[float]) -> None:
    """Along one path, the least mean cost falls as the loss that is allowed rises."""
    costs = judged(PAIR).least_costs(epsilons)

    assert costs == sorted(costs, reverse=True)


def test_later_surer_cuts_are_tried_too() -> None:
    """What wins on easy calibration rows may fail on new ones, so the surest cut that pays is among the sets."""
    early, sure = offer("early", 0.1, noise=0.3), offer("sure", 0.5, noise=0.01)

    assert (sure,) not in choose_cuts([early, sure], [0.05, 0.1])
    assert (sure,) in choose_sets([early, sure], (0.05, 0.1), np.arange(N), most=4)


def test_a_sure_cut_that_saves_little_is_not_tried() -> None:
    """A chain costs files and memory: a fifth of the time is the least."""
    early, sure = offer("early", 0.1, noise=0.3), offer("sure", 0.85, noise=0.01)

    assert (sure,) not in choose_sets([early, sure], (0.05, 0.1), np.arange(N), most=4)
