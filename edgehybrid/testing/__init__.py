"""Fakes as products: devices made of files, recordings of real ones, bundles and back ends that do as they are told."""

from edgehybrid.testing.accelerator import Accelerator
from edgehybrid.testing.backends import Behaviour, FakeBackend, FakeSession
from edgehybrid.testing.bundles import make_bundle, make_point
from edgehybrid.testing.capture import record
from edgehybrid.testing.device_tree import DeviceTree
from edgehybrid.testing.recording import Player, Recording
from edgehybrid.testing.staged import make_staged_bundle, staged_input

__all__ = [
    "Accelerator",
    "Behaviour",
    "DeviceTree",
    "FakeBackend",
    "FakeSession",
    "Player",
    "Recording",
    "make_bundle",
    "make_point",
    "make_staged_bundle",
    "record",
    "staged_input",
]
