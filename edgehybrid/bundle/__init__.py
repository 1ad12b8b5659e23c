"""The artefact that export writes and the runtime opens."""

from edgehybrid.bundle.draft import BundleDraft, StageDraft, VariantDraft
from edgehybrid.bundle.inspect import describe
from edgehybrid.bundle.places import check_output, is_bundle
from edgehybrid.bundle.reading import Bundle
from edgehybrid.bundle.schema import (
    SCHEMA,
    BundleDoc,
    BundleInfo,
    ComponentInfo,
    Dropped,
    ExitInfo,
    Family,
    Format,
    GateInfo,
    Head,
    MeasuredOn,
    ModelInfo,
    Score,
    StageInfo,
    Untouched,
    VariantInfo,
)
from edgehybrid.bundle.writing import write_bundle

__all__ = [
    "SCHEMA",
    "Bundle",
    "BundleDoc",
    "BundleDraft",
    "BundleInfo",
    "ComponentInfo",
    "Dropped",
    "ExitInfo",
    "Family",
    "Format",
    "GateInfo",
    "Head",
    "MeasuredOn",
    "ModelInfo",
    "Score",
    "StageDraft",
    "StageInfo",
    "Untouched",
    "VariantDraft",
    "VariantInfo",
    "check_output",
    "describe",
    "is_bundle",
    "write_bundle",
]
