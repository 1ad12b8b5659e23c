"""Fakes as products: devices made of files, and recordings of real ones."""

from edgehybrid.testing.capture import record
from edgehybrid.testing.device_tree import DeviceTree
from edgehybrid.testing.recording import Player, Recording

__all__ = ["DeviceTree", "Player", "Recording", "record"]
