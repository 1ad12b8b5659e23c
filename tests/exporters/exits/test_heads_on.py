"""Heads on what loaded stages give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgehybrid.data import open_data
from edgehybrid.exporters import ExportOptions
from edgehybrid.exporters.depth import Cut, find_cuts, fit_heads, slice_chain, with_features
from edgehybrid.exporters.exits.offers import heads_on
from edgehybrid.exporters.exits.rows import Rows, head_rows
from edgehybrid.exporters.model import Graph, open_session
from edgehybrid.exporters.prepare import Prepared, prepare
from edgehybrid.runtime.backends import LoadRequest, OnnxBackend, Session

POOLED = "mean"


@pytest.fixture(scope="module")
def prepared(zoo: Any, early_answers: Any, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """A model that knows easy inputs early, and inputs."""
    folder = tmp_path_factory.mktemp("heads")
    graph = early_answers.model(zoo, heads=())
    zoo.save(graph, folder / "model.onnx")
    early_answers.data(zoo, graph, folder / "data.npz")
    return prepare(folder / "model.onnx", folder / "data.npz", None, ExportOptions(cache=False))


def _stages(prepared: Prepared) -> tuple[Graph, ...]:
    graph = prepared.model.graph
    found = find_cuts(graph, prepared.components, prepared.probes).cuts
    one_value: list[Cut] = [cut for cut in found if len(cut.values) == 1 and len(cut.values[0].shape) == 4]
    return slice_chain(graph, one_value[:1])


def _load(graph: Graph, file: Path) -> Session:
    file.write_bytes(graph.to_bytes())
    return OnnxBackend().load(LoadRequest(model_file=file))


def _few(prepared: Prepared, folder: Path) -> Rows:
    x = np.stack([feeds["x"][0] for feeds in (batch.feeds for batch in prepared.calibration.batches(1))][:40])
    np.savez(folder / "few.npz", x=x)
    return head_rows(open_data(folder / "few.npz").check(list(prepared.model.inputs)), seed=0)


def test_a_float_stage_gets_the_head_of_its_graph(prepared: Prepared, tmp_path: Path) -> None:
    """Features behind a loaded stage are those that the stage itself would pool; so is what is fitted on them."""
    first, _ = _stages(prepared)
    rows, whole = _few(prepared, tmp_path), open_session(prepared.model.graph.proto)
    full = np.array([whole.run(None, feeds)[0][0] for feeds in rows], dtype=np.float64)
    pooling = open_session(with_features(first, 1, [POOLED]).proto)
    features = np.concatenate([pooling.run(["features_0"], feeds)[0] for feeds in rows]).astype(np.float64)
    (expected,) = fit_heads({POOLED: features}, full, "logits", groups=rows.groups, most=1, seed=0)

    (head,) = heads_on(rows, [_load(first, tmp_path / "first.onnx")], [first], full, "logits", pooled=[POOLED], seed=0)

    assert (expected.pooling, expected.method) == (head.pooling, head.method)
    np.testing.assert_allclose(expected.weight, head.weight, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(expected.all_answers, head.all_answers, rtol=1e-3, atol=1e-4)


def test_a_stage_that_sees_otherwise_gets_another_head(prepared: Prepared, tmp_path: Path) -> None:
    """What runs counts, not the float graph: behind a stage that gives twice as much, weights are half."""
    first, _ = _stages(prepared)
    rows, whole = _few(prepared, tmp_path), open_session(prepared.model.graph.proto)
    full = np.array([whole.run(None, feeds)[0][0] for feeds in rows], dtype=np.float64)
    session = _load(first, tmp_path / "first.onnx")

    class Twice:
        """The stage, louder."""

        inputs, outputs = session.inputs, session.outputs

        def run(self, feeds: Any, /) -> Any:
            return {name: 2.0 * value for name, value in session.run(feeds).items()}

    (plain,) = heads_on(rows, [session], [first], full, "logits", pooled=[POOLED], seed=0)
    (louder,) = heads_on(rows, [Twice()], [first], full, "logits", pooled=[POOLED], seed=0)

    np.testing.assert_allclose(plain.all_answers, louder.all_answers, rtol=0.05, atol=0.05)
    assert np.abs(louder.weight).mean() < 0.7 * np.abs(plain.weight).mean()
