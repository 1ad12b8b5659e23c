"""How good a model's outputs are: one score per sample, then a value with its 95 % interval."""

from edgehybrid.quality.choosing import choose_metric
from edgehybrid.quality.metrics import Accuracy, Deviation, Metric, class_labels
from edgehybrid.quality.summary import summarize

__all__ = ["Accuracy", "Deviation", "Metric", "choose_metric", "class_labels", "summarize"]
