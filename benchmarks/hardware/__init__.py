"""TFLite beside ONNX: operators, parity, quality, the best point over both back ends, and the time of an export."""
