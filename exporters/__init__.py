"""The workstation half: from a model to a bundle of measured operating points."""

from edgehybrid.exporters.exporting import ExportResult, export
from edgehybrid.exporters.model import Model, ModelReport, inspect_model, load_model
from edgehybrid.exporters.options import Effort, ExportOptions, load_recipe, save_recipe
from edgehybrid.exporters.progress import Progress, Silent

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
