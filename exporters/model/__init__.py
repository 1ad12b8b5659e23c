"""Load a model; find its families, components and cost."""

from edgehybrid.exporters.inspection import Border, ModelReport, Move
from edgehybrid.exporters.model.edit import MICROSOFT, Editor, array_of, attribute
from edgehybrid.exporters.model.errors import ORT_ERRORS
from edgehybrid.exporters.model.families import Component, find_components, locate
from edgehybrid.exporters.model.graph import LAYOUT_OPS, Graph, constant
from edgehybrid.exporters.model.load import Model, load_model
from edgehybrid.exporters.model.probe import (
    free_axes,
    open_session,
    synthetic_feeds,
    trace,
)
from edgehybrid.exporters.model.profile import TimeProfile, profile
from edgehybrid.exporters.model.report import describe, inspect_model, model_info

__all__ = [
    "LAYOUT_OPS",
    "MICROSOFT",
    "ORT_ERRORS",
    "Border",
    "Component",
    "Editor",
    "Graph",
    "Model",
    "ModelReport",
    "Move",
    "TimeProfile",
    "array_of",
    "attribute",
    "constant",
    "describe",
    "find_components",
    "free_axes",
    "inspect_model",
    "load_model",
    "locate",
    "model_info",
    "open_session",
    "profile",
    "synthetic_feeds",
    "trace",
]
