"""Inputs that are not as those that the exits were calibrated on: do they lose, and does the engine notice."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.depth.works import LOSSES, SAMPLES, Arrays, open_plan, row_feeds
from edgehybrid import Engine
from edgehybrid.bundle import Bundle
from edgehybrid.exporters import ExportOptions, export
from edgehybrid.points import OperatingPoint
from edgehybrid.profiles import load_policy

STREAM, LOOK_EVERY = 6000, 50
Array = NDArray[Any]
Change = Callable[[Array, np.random.Generator], Array]


def noise(share: float) -> Change:
    """Normal noise of so large a share of the deviation of the data."""
    return lambda x, rng: np.asarray(
        np.clip(x + share * float(np.std(x)) * rng.standard_normal(x.shape), x.min(), x.max()), dtype=np.float32
    )


def dark(x: Array, _: np.random.Generator) -> Array:
    """A third of the light."""
    return np.asarray(x * np.float32(1 / 3), dtype=np.float32)


def blurred(x: Array, _: np.random.Generator) -> Array:
    """Means of five by five pixels."""
    padded = np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)), mode="edge")
    parts = [padded[..., i : i + x.shape[2], j : j + x.shape[3]] for i in range(5) for j in range(5)]
    return np.asarray(np.mean(parts, axis=0), dtype=np.float32)


def keyword_streams() -> tuple[Path, Mapping[str, Arrays]] | None:
    """Certified on the four speakers that the model knows, then a fifth speaks, and in noise; needs the recordings."""
    from samples.keyword_spotter.dataset import as_arrays, read_clips, split

    data = Path(os.environ.get("EDGEHYBRID_DATA", Path(__file__).parents[3] / "shared" / "data")) / "fsdd"
    if not (data / "recordings").is_dir():
        return None
    train, _, unknown = split(read_clips(data / "recordings"), "theo")
    folder = Path(tempfile.mkdtemp(prefix="edgehybrid-drift-"))
    x, labels = as_arrays(train)
    order = np.random.default_rng(0).permutation(len(x))
    certify, known = order[: len(x) // 2], order[len(x) // 2 :]
    np.savez(folder / "evaluation.npz", x=x[certify], labels=labels[certify])
    new_x, new_labels = as_arrays(unknown)
    return folder, {
        "the same speakers": {"x": x[known], "labels": labels[known]},
        "another speaker": {"x": new_x, "labels": new_labels},
        "the same speakers, noise 0.5": _changed(x[known], labels[known], noise(0.5)),
        "another speaker, noise 0.5": _changed(new_x, new_labels, noise(0.5)),
        "another speaker, noise 1": _changed(new_x, new_labels, noise(1.0)),
    }


def camera_streams() -> tuple[Path, Mapping[str, Arrays]]:
    """Certified on the test pictures; then the same in noise, in the dark, and out of focus."""
    folder = SAMPLES / "camera_classifier"
    with np.load(folder / "test.npz") as data:
        x, labels = data["x"], data["labels"]
    named: dict[str, Change] = {"noise 0.3": noise(0.3), "noise 0.6": noise(0.6), "dark": dark, "blurred": blurred}
    renamed = Path(tempfile.mkdtemp(prefix="edgehybrid-drift-"))
    np.savez(renamed / "evaluation.npz", x=x, labels=labels)
    return renamed, {
        "the same pictures": {"x": x, "labels": labels},
        **{name: _changed(x, labels, change) for name, change in named.items()},
    }


def _changed(x: Array, labels: Array, change: Change) -> Arrays:
    return {"x": change(x, np.random.default_rng(3)), "labels": labels}


def drift(name: str, found: tuple[Path, Mapping[str, Arrays]]) -> dict[str, Any]:
    """Export a sample, then send each stream through an engine that audits one exit in fifty."""
    folder, streams = found
    result = export(
        SAMPLES / name / "model.onnx",
        folder / "bundle",
        data=SAMPLES / name / "calibration.npz",
        eval_data=folder / "evaluation.npz",
        options=ExportOptions(effort="quick", exits="auto", levels=5, max_drop=0.05, exit_losses=LOSSES),
    )
    assert result.bundle is not None
    early = [point for point in result.points if point.exits]
    if not early:
        return {"point": None}
    point = min(early, key=lambda p: (p.risk.epsilon if p.risk else 1.0, p.latency_ms.mean or p.latency_ms.p50))
    rows = [_stream(result.bundle, point, key, data) for key, data in streams.items()]
    return {"point": point.name, "promised": None if point.risk is None else point.risk.epsilon, "streams": rows}


def _stream(bundle: Bundle, point: OperatingPoint, name: str, data: Arrays) -> dict[str, Any]:
    feeds, labels = row_feeds(bundle, data), np.asarray(data["labels"])
    full = open_plan(bundle, point, None)
    truth = np.array([int(next(iter(full.run(row)[0].values())).argmax()) for row in feeds])
    order = np.random.default_rng(1).integers(0, len(feeds), STREAM)
    answers, depth, off_at, on_at = np.empty(STREAM, dtype=int), np.empty(STREAM, dtype=int), None, None
    balanced = load_policy("balanced")
    policy = replace(balanced, exits=replace(balanced.exits, enabled=True, audit_share=0.02))
    with (
        tempfile.TemporaryDirectory() as root,
        Engine(bundle, policy=policy, start=point.name, background=False, root=root, device="generic-linux") as engine,
    ):
        engine.pin(point.name, exit_scalar=0.0)
        for at, row in enumerate(order):
            result = engine.run(feeds[row])
            answers[at], depth[at] = int(next(iter(result.outputs.values())).argmax()), result.depth
            if at % LOOK_EVERY == LOOK_EVERY - 1:
                engine.step()
                report = engine.status().exits[point.name]
                off_at = at + 1 if off_at is None and not report.on else off_at
                on_at = at + 1 if on_at is None and off_at is not None and report.on else on_at
    worse = (truth[order] == labels[order]).astype(float) - (answers == labels[order])
    return {
        "stream": name,
        "full_accuracy": round(float((truth == labels).mean()), 4),
        "worse_by_points": round(100 * float(worse.mean()), 2),
        "worse_by_points_until_off": round(100 * float(worse[:off_at].mean()), 2),
        "early_share": round(float((depth < len(point.variants)).mean()), 3),
        "exits_off_from": off_at,
        "on_again_from": on_at,
        "kept": bool(worse.mean() <= 0.01 or off_at is not None),
    }
