from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from scipy.special import softmax

from edgehybrid.errors import RequestError
from edgehybrid.exporters.depth import Score, attach_confidence
from edgehybrid.exporters.depth.scores import ScoreName
from edgehybrid.exporters.model import open_session


@pytest.mark.parametrize(
    ("form", "score"),
    [
        ("logits", "margin"),
        ("logits", "entropy"),
        ("logits", "energy"),
        *[("probabilities", s) for s in ("margin", "entropy")],
    ],
)
@pytest.mark.parametrize("opset", [13, 18])
def test_a_whole_model_says_how_sure_it_is(zoo: Any, form: str, score: str, opset: int) -> None:
    """The confidence of a model's own answer is that of the formula; the answer stays as it was."""
    s = zoo.sketch(0)
    y = s.op("MatMul", "x", s.weight(32, 5))
    graph = s.close(s.op("Softmax", y) if form == "probabilities" else y, ["batch", 32], ["batch", 5], opset=opset)
    feeds = zoo.feeds(graph, 6)
    answer = np.asarray(zoo.run(graph, feeds), dtype=np.float64)
    rule = Score(name=cast(ScoreName, score), location=1.0, scale=2.0)
    sure = attach_confidence(graph, "y", name="exit1_confidence", form=form, score=rule)
    got = open_session(sure.proto).run(["y", "exit1_confidence"], feeds)
    logits = np.log(answer) if form == "probabilities" else answer

    np.testing.assert_allclose(answer, got[0], rtol=1e-5)
    np.testing.assert_allclose(rule(logits), got[1], atol=1e-5)
    np.testing.assert_allclose(softmax(logits, axis=1).max(axis=1) > 0, got[1] >= 0)


def test_what_has_no_classes_has_no_confidence(chains: Any) -> None:
    """A map, a missing output, a score of features, and the energy of probabilities are refused."""
    dense = chains.deep("dense")
    with pytest.raises(RequestError, match="does not give one number for each class"):
        attach_confidence(chains.zoo.conv(), "y", name="c", form="logits", score=Score(name="margin"))
    with pytest.raises(RequestError, match="does not give one number for each class"):
        attach_confidence(dense, "z", name="c", form="logits", score=Score(name="margin"))
    with pytest.raises(RequestError, match="Probabilities have no energy"):
        attach_confidence(dense, "y", name="c", form="probabilities", score=Score(name="energy"))
    with pytest.raises(RequestError, match="'learnt' reads features"):
        attach_confidence(dense, "y", name="c", form="logits", score=Score(name="learnt", weight=np.ones(3)))
