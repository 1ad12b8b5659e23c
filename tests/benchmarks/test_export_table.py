from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.export.compare import Judged, paired_ratio
from benchmarks.export.table import fastest, markdown, summary

MACHINE = {"cpu": "a processor", "isa": ["avx2"], "onnxruntime": "1", "load_1min": 0.1, "date": "today"}


def judged(name: str, speedup: float, *, within: bool = True) -> Judged:
    return Judged(
        name=name,
        ours=name.startswith("edgehybrid"),
        size_bytes=1000,
        value=0.9,
        drop=0.0 if within else 0.1,
        drop_ci95=(0.0, 0.0),
        within=within,
        latency_ms=1.0 / speedup,
        speedup=speedup,
        speedup_ci95=(speedup, speedup),
        sqnr_db=20.0,
        rounds_s=np.full(8, 1e-3 / speedup),
    )


FILES = (judged("ort", 1.0), judged("a", 1.5), judged("b", 9.0, within=False), judged("edgehybrid min", 3.0))


def test_fastest_keeps_the_quality() -> None:
    """A file that loses too much is never the fastest, neither among the peers nor among ours."""
    best = fastest(FILES, ours=False)

    assert best is not None
    assert "a" == best.name
    assert fastest(FILES[:3], ours=True) is None


def test_gain_is_that_over_the_best_peer() -> None:
    """The gain of a work is over the fastest peer within the quality; failures stay visible."""
    results: Any = {"work": (FILES, {"c": "gave nothing: it fell over"})}
    found: Any = summary(results, {"other": "not there"})
    text = markdown(results, {"other": "not there"}, MACHINE)

    assert 2.0 == np.round(found["geometric_mean_gain"], 9)
    assert "a" == found["works"]["work"]["best_peer"]
    assert "2.00 (2.00 to 2.00) × as fast as the best peer in quality, a." in text
    assert "c gave nothing: it fell over" in text
    assert "other: skipped, not there." in text


def test_ratio_is_of_rounds_and_not_of_medians() -> None:
    """What drifts in both leaves no trace in the ratio."""
    drift = np.linspace(1.0, 5.0, 21)

    assert (2.0, 2.0, 2.0) == paired_ratio(2 * drift, drift)
