"""Precision schemes, one per file."""
