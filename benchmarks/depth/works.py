"""What is measured: a sample, the data that makes its exits, and clean data that judges them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgehybrid.bundle import Bundle
from edgehybrid.exporters import ExportOptions, export
from edgehybrid.points import OperatingPoint
from edgehybrid.profiles import ExecutionPolicy
from edgehybrid.runtime.backends import make_backend
from edgehybrid.runtime.execution import Dial, Plan, load_plan

SAMPLES = Path(__file__).parents[2] / "samples"
LOSSES = (0.01, 0.02, 0.05)
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A sample.

    Attributes:
        name: Its folder.
        evaluation: File whose rows certify thresholds.
        clean: File whose rows judge; the same one where there is no other: then quality is that of the export, where
            each row met thresholds that it did not help to choose.
        max_drop: Most that a point may lose, in the metric's unit; ``None``: as usual.
        note: Tells it from another work on the same sample.
    """

    name: str
    evaluation: str
    clean: str
    max_drop: float | None = 0.05
    note: str = ""

    @property
    def label(self) -> str:
        """What it is called on the page."""
        return f"{self.name}, {self.note}" if self.note else self.name

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return SAMPLES / self.name

    def rows(self, *files: str) -> Arrays:
        """Inputs and labels of some of its files, joined."""
        loaded = [dict(np.load(self.folder / f"{file}.npz")) for file in files]
        return {key: np.concatenate([part[key] for part in loaded]) for key in ("x", "labels")}


WORKS = (
    Work(name="keyword_spotter", evaluation="evaluation", clean="test", note="200 certify"),
    Work(name="keyword_spotter", evaluation="test", clean="evaluation", note="300 certify"),
    Work(name="camera_classifier", evaluation="test", clean="test"),
    Work(name="vibration_monitor", evaluation="test", clean="test", max_drop=None),
)


def make_bundle(work: Work, folder: Path) -> tuple[Bundle, list[str]]:
    """Export a sample with exits; returns why some were left out, too."""
    options = ExportOptions(exits="auto", levels=5, max_drop=work.max_drop, exit_losses=LOSSES)
    result = export(
        work.folder / "model.onnx",
        folder / work.name,
        data=work.folder / "calibration.npz",
        eval_data=work.folder / f"{work.evaluation}.npz",
        options=options,
    )
    assert result.bundle is not None
    names = ("exits", "cascade", "gate")
    return result.bundle, [f"{d.name}: {d.reason}" for d in result.dropped if "~" in d.name or d.name in names]


def open_plan(bundle: Bundle, point: OperatingPoint, scalar: float | None) -> Plan:
    """Load a point; ``scalar`` turns its exits, ``None`` lets nothing leave early."""
    return load_plan(bundle, point, ExecutionPolicy(), make_backend, dial=Dial(scalar))


def row_feeds(bundle: Bundle, data: Arrays) -> list[dict[str, NDArray[np.generic]]]:
    """One feed for each row."""
    names = [spec.name for spec in bundle.doc.model.inputs]
    return [{name: data[name][row : row + 1] for name in names} for row in range(len(data["labels"]))]


def loss_of(outputs: NDArray[Any], labels: NDArray[Any]) -> float:
    """Share of wrong classes, or the root of the mean square of the errors."""
    if outputs.shape[-1] == 1:
        return float(np.sqrt(((outputs.reshape(-1) - labels.reshape(-1)) ** 2).mean()))
    return float((outputs.argmax(axis=-1) != labels).mean())
