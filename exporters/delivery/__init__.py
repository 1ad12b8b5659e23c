"""Bringing a bundle to a device: over the user's own ssh, only what is missing, switched over at once."""

from edgehybrid.exporters.delivery.host import Host, connect
from edgehybrid.exporters.delivery.pushing import Pushed, go_back, push

__all__ = ["Host", "Pushed", "connect", "go_back", "push"]
