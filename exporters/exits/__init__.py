"""Depth in an export: which exits pay, what they promise, and the points that they become."""

from edgehybrid.exporters.exits.adding import add_depth

__all__ = ["add_depth"]
