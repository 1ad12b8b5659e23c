"""How a variant is written: ONNX now, TFLite to come."""
