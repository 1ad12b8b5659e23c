"""What everything about exits needs to know of an export."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgehybrid.exporters.assemble import Chosen
from edgehybrid.exporters.exits.rows import Rows
from edgehybrid.exporters.exits.task import Task
from edgehybrid.exporters.options import ExportOptions
from edgehybrid.exporters.prepare import Prepared
from edgehybrid.exporters.search import Workshop
from edgehybrid.exporters.trial import Tools


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An export that gets exits.

    Attributes:
        chosen: What was chosen so far.
        prepared: Model and data.
        workshop: What makes candidates.
        options: What was asked for.
        tools: Cache, executor, progress.
        folder: Where things are written for their trial.
        task: What the model answers.
        rows: What heads and orders of thresholds are fitted on.
    """

    chosen: Chosen
    prepared: Prepared
    workshop: Workshop
    options: ExportOptions
    tools: Tools
    folder: Path
    task: Task
    rows: Rows

    def answers(self, name: str) -> NDArray[np.float64]:
        """Answers of a candidate to the rows: shape ``(rows, outputs)``."""
        return self.rows.answers(self.chosen.trial.sessions[name], self.task.output)

    def chain_folder(self, name: str) -> Path:
        """Where a chain is written for its trial."""
        return self.folder / "chains" / name
