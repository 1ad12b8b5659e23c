"""Cut a model into stages, put exits after them, and promise what they lose."""

from edgehybrid.exporters.depth.path import (
    Certified,
    Path,
    certify,
    certify_between,
    depths,
    exit_shares,
    fit_path,
    losses_along,
    make_exits,
    mean_cost,
)
from edgehybrid.exporters.depth.risk import Promise, Refusal, fixed_sequence, p_values, promise, samples_needed

__all__ = [
    "Certified",
    "Path",
    "Promise",
    "Refusal",
    "certify",
    "certify_between",
    "depths",
    "exit_shares",
    "fit_path",
    "fixed_sequence",
    "losses_along",
    "make_exits",
    "mean_cost",
    "p_values",
    "promise",
    "samples_needed",
]
