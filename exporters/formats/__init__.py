"""How a variant is written: ONNX now, TFLite to come."""

from edgehybrid.exporters.formats.onnx import MODEL_FILE, WEIGHTS_FILE, Packed, pack

__all__ = ["MODEL_FILE", "WEIGHTS_FILE", "Packed", "pack"]
