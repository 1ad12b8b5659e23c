"""ONNX to TFLite: our own writer over the flatbuffer schema that ships in ai-edge-litert."""

from edgehybrid.exporters.formats.litert.convert import convert

__all__ = ["convert"]
