"""The workstation half: from a model to a bundle of measured operating points."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgehybrid.lazy import lazily

if TYPE_CHECKING:
    from edgehybrid.exporters.exporting import ExportResult as ExportResult
    from edgehybrid.exporters.exporting import export as export
    from edgehybrid.exporters.inspection import ModelReport as ModelReport
    from edgehybrid.exporters.model import Model as Model
    from edgehybrid.exporters.model import inspect_model as inspect_model
    from edgehybrid.exporters.model import load_model as load_model
    from edgehybrid.exporters.options import Effort as Effort
    from edgehybrid.exporters.options import ExportOptions as ExportOptions
    from edgehybrid.exporters.options import load_recipe as load_recipe
    from edgehybrid.exporters.options import save_recipe as save_recipe
    from edgehybrid.exporters.progress import Progress as Progress
    from edgehybrid.exporters.progress import Silent as Silent

__all__ = [
    "Effort",
    "ExportOptions",
    "ExportResult",
    "Model",
    "ModelReport",
    "Progress",
    "Silent",
    "export",
    "inspect_model",
    "load_model",
    "load_recipe",
    "save_recipe",
]

__getattr__ = lazily(
    __name__,
    {
        "Effort": "edgehybrid.exporters.options",
        "ExportOptions": "edgehybrid.exporters.options",
        "ExportResult": "edgehybrid.exporters.exporting",
        "Model": "edgehybrid.exporters.model",
        "ModelReport": "edgehybrid.exporters.inspection",
        "Progress": "edgehybrid.exporters.progress",
        "Silent": "edgehybrid.exporters.progress",
        "export": "edgehybrid.exporters.exporting",
        "inspect_model": "edgehybrid.exporters.model",
        "load_model": "edgehybrid.exporters.model",
        "load_recipe": "edgehybrid.exporters.options",
        "save_recipe": "edgehybrid.exporters.options",
    },
)
