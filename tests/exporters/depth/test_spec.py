from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgehybrid.errors import RequestError
from edgehybrid.exporters.depth import HeadSpec, Score, apply_head, attach_spec, poolings, slice_chain, with_features
from edgehybrid.exporters.depth.scores import ScoreName
from edgehybrid.exporters.depth.spec import Form
from edgehybrid.exporters.model import open_session


def spec_of(seed: int, pooling: str, width: int, form: str, score: str) -> HeadSpec:
    """A head of noise."""
    rng = np.random.default_rng(seed)
    seen = score in ("learnt", "error")
    return HeadSpec(
        pooling=pooling,
        weight=rng.normal(size=(width, 5)) / np.sqrt(width),
        bias=rng.normal(size=5),
        form=cast(Form, form),
        score=Score(
            name=cast(ScoreName, score),
            location=0.5,
            scale=float(rng.uniform(0.5, 2.0)),
            weight=rng.normal(size=width) / np.sqrt(width) if seen else None,
            bias=0.3 if seen else 0.0,
        ),
    )


@settings(max_examples=40)
@given(
    kind=st.sampled_from(["conv", "dense", "attention"]),
    scheme=st.sampled_from(["fp32", "w8a8"]),
    form=st.sampled_from(["logits", "probabilities"]),
    score=st.sampled_from(["margin", "entropy", "energy", "learnt", "error"]),
    data=st.data(),
    seed=st.integers(0, 99),
)
def test_nodes_and_numpy_agree(
    chains: Any, zoo: Any, kind: str, scheme: str, form: str, score: str, data: st.DataObject, seed: int
) -> None:
    """Over every pooling of float and integer stages, the stage answers as the formulas do, and still cuts."""
    graph = chains.deep(kind, seed)
    stages = slice_chain(chains.variant(graph, scheme), chains.cuts(graph).cuts[:1])
    pooling = data.draw(st.sampled_from(poolings(stages[0], 1)))
    feeds = zoo.feeds(graph, 4, seed)
    features = np.asarray(open_session(with_features(stages[0], 1, (pooling,)).proto).run(["features_0"], feeds)[0])
    spec = spec_of(seed, pooling, features.shape[1], form, score)
    answers, confidence = apply_head(spec, features.astype(np.float64))
    got = chains.run([attach_spec(stages[0], spec, 1, "y"), stages[1]], feeds)

    np.testing.assert_allclose(got["exit1_y"], answers, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(got["exit1_confidence"], confidence, atol=1e-4)
    assert (4,) == got["exit1_confidence"].shape
    assert 0.0 <= confidence.min() <= confidence.max() <= 1.0 + 1e-12
    np.testing.assert_allclose(got["y"], chains.run(stages, feeds)["y"], rtol=0, atol=1e-5 * np.abs(got["y"]).max())


def test_a_score_and_its_weights_fit() -> None:
    """A learnt score wants weights, a margin wants classes."""
    one = {"pooling": "flat", "weight": np.ones((3, 1)), "bias": np.zeros(1)}
    with pytest.raises(RequestError, match="do not fit"):
        HeadSpec(**one, form="value", score=Score(name="error"))  # type: ignore[arg-type]  # a mapping of mixed values
    with pytest.raises(RequestError, match="needs two classes"):
        HeadSpec(**one, form="value", score=Score(name="margin"))  # type: ignore[arg-type]  # a mapping of mixed values
