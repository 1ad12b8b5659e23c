"""Load a model; find its families, components and cost."""

from edgehybrid.exporters.inspection import Border, ModelReport, Move
from edgehybrid.exporters.model.bodies import bodies, inner_nodes
from edgehybrid.exporters.model.cost import node_bytes, node_macs
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
from edgehybrid.exporters.model.sizes import Sizes, find_sizes
from edgehybrid.exporters.model.torch_flat import flat_module

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
    "Sizes",
    "TimeProfile",
    "array_of",
    "attribute",
    "bodies",
    "constant",
    "describe",
    "find_components",
    "find_sizes",
    "flat_module",
    "free_axes",
    "inner_nodes",
    "inspect_model",
    "load_model",
    "locate",
    "model_info",
    "node_bytes",
    "node_macs",
    "open_session",
    "profile",
    "synthetic_feeds",
    "trace",
]
