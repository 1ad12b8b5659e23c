"""Exits of the keyword spotter, from the export to the engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgehybrid import Bundle, Engine
from edgehybrid.errors import RequestError
from edgehybrid.exporters import ExportOptions, ExportResult, export

SAMPLE = Path(__file__).parents[3] / "samples" / "keyword_spotter"


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    """The sample with exits that may lose one input in twenty."""
    options = ExportOptions(effort="quick", budget_s=1.0, exits="auto", exit_losses=(0.01, 0.05), cache=False, levels=5)
    out = tmp_path_factory.mktemp("exits") / "kws.bundle"
    data, evaluation = SAMPLE / "calibration.npz", SAMPLE / "evaluation.npz"
    return export(SAMPLE / "model.onnx", out, data=data, eval_data=evaluation, options=options)


def test_a_point_answers_early(result: ExportResult) -> None:
    """There is a point with exits: its promise is written down, its figures by depth add up, it opens again."""
    assert result.bundle is not None
    point = next(p for p in Bundle.open(result.bundle.path).points if p.exits)

    assert point.risk is not None
    assert (0.05, 0.05, 0.1, 200) == (
        point.risk.epsilon,
        point.risk.relaxed_epsilon,
        point.risk.delta,
        point.risk.n,
    )
    assert 1.0 == pytest.approx(sum(depth.share for depth in point.depths))
    assert point.expected_depth == pytest.approx(sum((k + 1) * d.share for k, d in enumerate(point.depths)))
    assert [d.latency_ms for d in point.depths] == sorted(d.latency_ms for d in point.depths)
    assert len(point.exits) + 1 == len(point.depths) == len(point.variants)


def test_too_few_samples_for_a_promise_are_counted(result: ExportResult) -> None:
    """One loss in a hundred cannot be promised on 200 samples; the reason says how many it would take."""
    reasons = [dropped.reason for dropped in result.dropped if dropped.name.endswith("~0.01")]

    assert reasons
    assert all("it takes about 230" in reason for reason in reasons)


def test_the_engine_answers_as_promised(result: ExportResult) -> None:
    """The engine runs the chain: inputs leave at several depths, and it is right about as often as was measured."""
    assert result.bundle is not None
    point = next(p for p in result.bundle.points if p.exits)
    with np.load(SAMPLE / "evaluation.npz") as data:
        x, labels = data["x"], data["labels"]
    with Engine(result.bundle, start=point.name, background=False) as engine:
        answers = [engine.run({"x": row[None]}) for row in x]
    right = np.mean([a.outputs["y"].argmax() == label for a, label in zip(answers, labels, strict=True)])

    assert {a.depth for a in answers} > {1}
    assert abs(right - point.quality.value) < 0.03
    assert all((a.confidence is None) == (a.depth == len(point.variants)) for a in answers)


def test_the_stricter_promise_stays_beside_the_looser(result: ExportResult) -> None:
    """The fastest point without exits is among the points too: what the engine falls back on."""
    assert result.bundle is not None
    whole = [p for p in result.points if not p.exits and not p.is_reference]

    assert min(p.latency_ms.p50 for p in whole) < 0.9 * result.points[0].latency_ms.p50


def test_the_gate_is_calibrated(result: ExportResult) -> None:
    """The bundle says how little an input may differ, by pairs of evaluation inputs with disturbed copies."""
    assert result.bundle is not None
    gate = result.bundle.doc.gate

    assert gate is not None
    assert {"x"} == set(gate.scales)
    assert "disturbed" == gate.pairs
    assert 0.0 < gate.threshold < 1.0
    assert gate.epsilon in (0.01, 0.02, 0.05)


def test_no_cascade_where_the_fastest_point_is_as_good(result: ExportResult) -> None:
    """All candidates agree here, so that a cascade saves nothing; the bundle says what it would have taken."""
    (why,) = (item.reason for item in result.dropped if item.name == "cascade")

    assert "alone takes" in why


def test_an_unknown_word_is_refused() -> None:
    """``--exits`` takes what there is."""
    with pytest.raises(RequestError, match="no exits 'many'"):
        ExportOptions(exits="many")  # type: ignore[arg-type]  # what a caller without types may pass
    with pytest.raises(RequestError, match="No exits were named"):
        ExportOptions(exits=())
