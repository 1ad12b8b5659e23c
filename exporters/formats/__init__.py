"""How a variant is written: ONNX files that share their weights, and TFLite files beside them."""

from edgehybrid.exporters.formats.onnx import MODEL_FILE, Packed, pack
from edgehybrid.exporters.formats.placed import Part, PlacedFile, is_placed, part_file, read_placed
from edgehybrid.exporters.formats.store import WEIGHTS_FILE
from edgehybrid.exporters.formats.tflite import (
    FLOAT_FORM,
    TFLITE_FILE,
    Quantizing,
    Source,
    TfliteFile,
    forms,
    maker,
    needs_of,
    require_tflite,
    scheme_of,
    write_float,
)

__all__ = [
    "FLOAT_FORM",
    "MODEL_FILE",
    "TFLITE_FILE",
    "WEIGHTS_FILE",
    "Packed",
    "Part",
    "PlacedFile",
    "Quantizing",
    "Source",
    "TfliteFile",
    "forms",
    "is_placed",
    "maker",
    "needs_of",
    "pack",
    "part_file",
    "read_placed",
    "require_tflite",
    "scheme_of",
    "write_float",
]
