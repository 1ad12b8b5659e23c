"""How a variant is written: ONNX files that share their weights, and TFLite files beside them."""

from edgehybrid.exporters.formats import fallback
from edgehybrid.exporters.formats.onnx import MODEL_FILE, Packed, pack
from edgehybrid.exporters.formats.placed import Part, PlacedFile, is_placed, part_file, read_placed
from edgehybrid.exporters.formats.store import WEIGHTS_FILE
from edgehybrid.exporters.formats.tflite import (
    FLOAT_FORM,
    OWN_WRITER,
    TFLITE_FILE,
    Quantizing,
    Source,
    TfliteFile,
    forms,
    maker,
    needs_of,
    require_rows,
    require_tflite,
    scheme_in,
    scheme_of,
    write_float,
    write_float_from_torch,
)

__all__ = [
    "FLOAT_FORM",
    "MODEL_FILE",
    "OWN_WRITER",
    "TFLITE_FILE",
    "WEIGHTS_FILE",
    "Packed",
    "Part",
    "PlacedFile",
    "Quantizing",
    "Source",
    "TfliteFile",
    "fallback",
    "forms",
    "is_placed",
    "maker",
    "needs_of",
    "pack",
    "part_file",
    "read_placed",
    "require_rows",
    "require_tflite",
    "scheme_in",
    "scheme_of",
    "write_float",
    "write_float_from_torch",
]
