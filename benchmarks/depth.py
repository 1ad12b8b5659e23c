"""Exits on the samples: how much sooner answers come, what a cut costs, and whether the promise holds.

``python -m benchmarks.depth``; writes ``results/depth.json``. A few minutes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import describe_machine, interleave, pin_to_one_core, write_result
from edgehybrid.bundle import Bundle
from edgehybrid.exporters import ExportOptions, export
from edgehybrid.exporters.depth import Refusal, certify, fit_path, losses_along
from edgehybrid.points import OperatingPoint
from edgehybrid.profiles import ExecutionPolicy
from edgehybrid.quality.intervals import wilson
from edgehybrid.runtime.backends import make_backend
from edgehybrid.runtime.execution import Dial, Plan, load_plan

SAMPLES = Path(__file__).parent.parent / "samples"
WORKS: Mapping[str, tuple[str, ...]] = {
    "keyword_spotter": ("evaluation", "test"),
    "camera_classifier": ("test",),
    "vibration_monitor": ("test",),
}
"""Sample to its data that was never trained on and fits no heads."""

EPSILON, DELTA, SPLITS = 0.05, 0.1, 200
WITHIN = 0.01
Arrays = dict[str, NDArray[np.generic]]


def main() -> None:
    """Measure every sample."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, files in WORKS.items():
            found[name] = measure(name, files, Path(folder))
            print(name, found[name], flush=True)
    write_result("depth", {"machine": describe_machine(), "samples": found})


def measure(name: str, files: tuple[str, ...], folder: Path) -> dict[str, Any]:
    """Export one sample with exits and measure its points."""
    data = _join([SAMPLES / name / f"{file}.npz" for file in files])
    np.savez(folder / f"{name}.npz", **data)  # type: ignore[arg-type]  # arrays by name
    options = ExportOptions(
        effort="quick", exits="auto", levels=5, max_drop=0.05 if name != "vibration_monitor" else None
    )
    calibration = SAMPLES / name / "calibration.npz"
    result = export(
        SAMPLES / name / "model.onnx",
        folder / name,
        data=calibration,
        eval_data=folder / f"{name}.npz",
        options=options,
    )
    assert result.bundle is not None
    bundle = result.bundle
    deep = [point for point in bundle.points if point.exits]
    why = [f"{item.name}: {item.reason}" for item in result.dropped if "~" in item.name or item.name == "exits"]
    figures: dict[str, Any] = {"rows": len(next(iter(data.values()))), "left_out": why, **_speed(bundle)}
    if deep:
        figures["full_depth"] = _full_depth(bundle, deep[0], data)
        figures["guarantee"] = _guarantee(bundle, deep[0], _join([calibration]), data)
        figures["scalar"] = _scalar(bundle, deep[0], data)
    return figures


def _speed(bundle: Bundle) -> dict[str, Any]:
    """The fastest point with exits within a point of quality beside the fastest without."""
    near = [p for p in bundle.points if p.quality.drop <= WITHIN]
    uncut = min((p for p in near if not p.exits), key=lambda p: p.latency_ms.p50)
    rows = {
        p.name: {
            "mean_ms": p.latency_ms.mean or p.latency_ms.p50,
            "drop": p.quality.drop,
            "exits": len(p.exits),
            "share_by_depth": [d.share for d in p.depths],
            "epsilon": None if p.risk is None else p.risk.epsilon,
        }
        for p in bundle.points
    }
    early = [p for p in near if p.exits]
    best = min((p.latency_ms.mean or p.latency_ms.p50 for p in early), default=None)
    return {"points": rows, "within_1_point_times_faster": None if best is None else uncut.latency_ms.p50 / best}


def _full_depth(bundle: Bundle, point: OperatingPoint, data: Arrays) -> dict[str, Any] | None:
    """All stages, nothing leaving early, beside the uncut variant of the same precision, if that ships."""
    variant = next(iter(point.variants.values()))
    if all(item.name != variant for item in bundle.stage("main").variants):
        return None
    uncut = replace(point, name="uncut", variants={"main": variant}, exits={}, depths=(), risk=None)
    plans = {"staged": _plan(bundle, point, None), "uncut": _plan(bundle, uncut, None)}
    pin_to_one_core()
    feeds = {spec.name: data[spec.name][:1] for spec in bundle.doc.model.inputs}
    runs = {key: partial(plan.run, feeds) for key, plan in plans.items()}
    times = interleave(runs, rounds=60, runs=20)
    ratios = times["staged"] / times["uncut"]
    return {"ratio": float(np.median(ratios)), "variant": variant, "exits": len(point.exits)}


def _plan(bundle: Bundle, point: OperatingPoint, scalar: float | None) -> Plan:
    return load_plan(bundle, point, ExecutionPolicy(), make_backend, dial=Dial(scalar))


def _seen(bundle: Bundle, point: OperatingPoint, data: Arrays) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Confidence and loss (another class than full depth) of every row at every exit."""
    sure, lost = [], []
    plan = _plan(bundle, point, None)
    (output,) = (spec.name for spec in bundle.doc.model.outputs)
    for row in range(len(next(iter(data.values())))):
        values: Arrays = {spec.name: data[spec.name][row : row + 1] for spec in bundle.doc.model.inputs}
        for stage in plan.stages:
            values |= stage.session.run({spec.name: values[spec.name] for spec in stage.session.inputs})
        exits = [stage.exit for stage in plan.stages if stage.exit is not None]
        sure.append([float(values[exit_.confidence].item()) for exit_ in exits])
        full = values[output].argmax()
        lost.append([float(values[exit_.outputs[output]].argmax() != full) for exit_ in exits])
    return np.array(sure), np.array(lost)


def _guarantee(bundle: Bundle, point: OperatingPoint, calibration: Arrays, data: Arrays) -> dict[str, Any]:
    """Random halves: thresholds on one, the realized risk on the other."""
    costs = [depth.latency_ms for depth in point.depths]
    path = fit_path(*_seen(bundle, point, calibration), costs)
    sure, lost = _seen(bundle, point, data)
    rng, broken, promised, risks = np.random.default_rng(0), 0, 0, []
    for _ in range(SPLITS):
        order = rng.permutation(len(sure))
        half = len(order) // 2
        found = certify(path, sure[order[:half]], lost[order[:half]], EPSILON, DELTA)
        if isinstance(found, Refusal):
            continue
        promised += 1
        test = order[half:]
        risk = float(losses_along(path, np.array([found.u]), sure[test], lost[test]).mean())
        risks.append(risk)
        broken += risk > EPSILON
    low, high = wilson(float(broken), max(promised, 1))
    return {
        "epsilon": EPSILON,
        "delta": DELTA,
        "splits": SPLITS,
        "promised": promised,
        "broken_share": broken / max(promised, 1),
        "ci95": [low, high],
        "mean_risk": float(np.mean(risks)) if risks else None,
    }


def _scalar(bundle: Bundle, point: OperatingPoint, data: Arrays) -> list[dict[str, float]]:
    """Accuracy and mean depth as the exit scalar goes from 0 to 1."""
    rows = []
    (output,) = (spec.name for spec in bundle.doc.model.outputs)
    for scalar in np.linspace(0, 1, 5):
        plan, right, depth = _plan(bundle, point, float(scalar)), 0.0, 0.0
        n = len(data["labels"])
        for row in range(n):
            outputs, taken, _ = plan.run({s.name: data[s.name][row : row + 1] for s in bundle.doc.model.inputs})
            right += float(outputs[output].argmax() == data["labels"][row])
            depth += taken
        rows.append({"scalar": float(scalar), "accuracy": right / n, "mean_depth": depth / n})
    return rows


def _join(files: list[Path]) -> Arrays:
    loaded = [dict(np.load(file)) for file in files]
    return {name: np.concatenate([part[name] for part in loaded]) for name in ("x", "labels")}


if __name__ == "__main__":
    main()
