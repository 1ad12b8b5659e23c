"""From candidates to the points worth shipping."""

from edgehybrid.exporters.search.candidates import OPTIMIZED, PLANS, Built, Candidate, Plan, Workshop, plans
from edgehybrid.exporters.search.frontier import Figures, Frontier, choose, default_max_drop, hopeless
from edgehybrid.exporters.search.knapsack import Choice, Mixture, cheapest, propose
from edgehybrid.exporters.search.rewriting import BestFloat, RuleFigures, best_float
from edgehybrid.exporters.search.sensitivity import Sensitivity, alone, proposed, split_large, wholes

__all__ = [
    "OPTIMIZED",
    "PLANS",
    "BestFloat",
    "Built",
    "Candidate",
    "Choice",
    "Figures",
    "Frontier",
    "Mixture",
    "Plan",
    "RuleFigures",
    "Sensitivity",
    "Workshop",
    "alone",
    "best_float",
    "cheapest",
    "choose",
    "default_max_drop",
    "hopeless",
    "plans",
    "propose",
    "proposed",
    "split_large",
    "wholes",
]
