"""Measurements behind the figures that we name; run all with ``python -m benchmarks``."""
