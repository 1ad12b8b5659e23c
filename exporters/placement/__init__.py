"""Which back end for which stage: whole candidates elsewhere, and chains over several back ends."""

from edgehybrid.exporters.placement.mixing import (
    MIXED,
    Placing,
    border_of,
    careful_of,
    float_of,
    mixed_candidate,
    propose_mixed,
)
from edgehybrid.exporters.placement.paths import Picked, Step, Way, cheapest, pick
from edgehybrid.exporters.placement.placing import PLACEMENT, place, why_not_placed
from edgehybrid.exporters.placement.whole import place_whole, require_backends

__all__ = [
    "MIXED",
    "PLACEMENT",
    "Picked",
    "Placing",
    "Step",
    "Way",
    "border_of",
    "careful_of",
    "cheapest",
    "float_of",
    "mixed_candidate",
    "pick",
    "place",
    "place_whole",
    "propose_mixed",
    "require_backends",
    "why_not_placed",
]
