from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgehybrid.exporters.model import Model, load_model, open_session
from edgehybrid.exporters.rewrites import Probes, rewrite

GRAPHS = Path(__file__).parent / "graphs"
FILES = sorted(GRAPHS.glob("*.onnx"))
CROSS_OR_MASKED = ("bert", "qk_norm", "swin", "mha_causal", "mha_cross", "mha_padding")


def feeds(model: Model, batch: int, hidden: float = 0.3) -> dict[str, NDArray[np.generic]]:
    """Noise; masks hide a share ``hidden`` of the positions."""
    rng, out = np.random.default_rng(batch), dict[str, NDArray[np.generic]]()
    for spec in model.inputs:
        shape = [batch if isinstance(axis, str) else axis for axis in spec.shape]
        noise, share = rng.standard_normal(shape), rng.random(shape)
        if spec.name == "padded":
            out[spec.name] = (share < hidden) & (np.arange(shape[-1]) > 0)
        elif spec.name == "seen":
            out[spec.name] = (share >= hidden).astype(spec.dtype)
        else:
            out[spec.name] = noise.astype(spec.dtype)
    return out


def test_graphs_are_there() -> None:
    """Both exporters, every style; each small."""
    assert 42 == len(FILES)
    assert all(path.stat().st_size < 30_000 for path in FILES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_exported_block_is_fused(path: Path) -> None:
    """Whichever exporter wrote it, in whatever style: one node, no softmax, the same numbers."""
    model = load_model(str(path))
    report = rewrite(model.graph, Probes(first=feeds(model, 2), second=feeds(model, 3)))
    masked = path.stem.startswith(CROSS_OR_MASKED) or (path.stem.startswith("sdpa_"))

    assert 1 == report.applied["fuse-multihead" if masked else "fuse-attention"]
    assert not {"Softmax", "IsNaN"} & {node.op_type for node in report.graph.proto.graph.node}
    before, after = open_session(model.graph.proto), open_session(report.graph.proto)
    for batch in (1, 4):
        inputs = feeds(model, batch)
        expected, got = (np.asarray(session.run(None, inputs)[0]) for session in (before, after))
        assert np.abs(expected - got).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("name", ["sdpa_truth-dynamo", "sdpa_truth-older"])
def test_row_that_sees_nothing_stays_zero(name: str) -> None:
    """Where a mask hides a whole row, exporters write zeros or a mean of all; the fused node gives the same."""
    model = load_model(str(GRAPHS / f"{name}.onnx"))
    report = rewrite(model.graph, Probes(first=feeds(model, 2), second=feeds(model, 3)))
    inputs = feeds(model, 2) | {"seen": np.zeros((2, 6, 6), dtype=bool)}
    expected, got = (np.asarray(open_session(g.proto).run(None, inputs)[0]) for g in (model.graph, report.graph))

    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_scores_in_another_order_are_refused(zoo: Any) -> None:
    """Scores that are cut and joined between product and softmax are no plain attention; the reason is named."""
    s = zoo.sketch()
    heads = [s.op("Transpose", s.op("Reshape", "x", s.ints(-1, 6, 2, 16)), perm=[0, 2, 1, 3]) for _ in range(3)]
    scores = s.op("MatMul", heads[0], s.op("Transpose", heads[1], perm=[0, 1, 3, 2]))
    weights = s.op("Softmax", s.op("Reshape", scores, s.ints(-1, 2, 6, 6)), axis=-1)
    context = s.op("Transpose", s.op("MatMul", weights, heads[2]), perm=[0, 2, 1, 3])
    graph = s.close(s.op("Reshape", context, s.ints(-1, 6, 32)), ["batch", 6, 32], ["batch", 6, 32])
    report = rewrite(graph, zoo.probes(graph), ["fuse-attention", "fuse-multihead"])

    assert graph is report.graph
    assert "another order" in report.skipped["fuse-multihead"][0].why
