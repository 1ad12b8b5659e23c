"""How a variant is written: ONNX now, TFLite to come."""

from edgehybrid.exporters.formats.onnx import MODEL_FILE, Packed, pack
from edgehybrid.exporters.formats.store import WEIGHTS_FILE

__all__ = ["MODEL_FILE", "WEIGHTS_FILE", "Packed", "pack"]
