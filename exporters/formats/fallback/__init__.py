"""litert-torch as a fallback: it writes the float file where our own writer refuses a graph that PyTorch made."""

from edgehybrid.exporters.formats.fallback.installed import (
    HINT,
    Origin,
    can_be_installed,
    is_installed,
    maker,
    writer,
)

__all__ = ["HINT", "Origin", "can_be_installed", "is_installed", "maker", "writer"]
