"""From candidates to the points worth shipping."""

from edgehybrid.exporters.search.candidates import OPTIMIZED, PLANS, Built, Candidate, Plan, Workshop, plans
from edgehybrid.exporters.search.frontier import Figures, Frontier, choose, default_max_drop
from edgehybrid.exporters.search.rewriting import BestFloat, best_float

__all__ = [
    "OPTIMIZED",
    "PLANS",
    "BestFloat",
    "Built",
    "Candidate",
    "Figures",
    "Frontier",
    "Plan",
    "Workshop",
    "best_float",
    "choose",
    "default_max_drop",
    "plans",
]
