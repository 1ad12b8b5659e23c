"""How good a model's outputs are: one score per sample, then a value with its 95 % interval."""

from edgehybrid.quality.choosing import choose_metric
from edgehybrid.quality.metrics import Metric
from edgehybrid.quality.summary import summarize

__all__ = ["Metric", "choose_metric", "summarize"]
