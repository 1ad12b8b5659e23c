"""Cut a model into stages, put exits after them, and promise what they lose."""

from edgehybrid.exporters.depth.attach import LEAST_PROBABILITY, attach_confidence
from edgehybrid.exporters.depth.cuts import Crossing, Cut, FoundCuts, default_costs, find_cuts
from edgehybrid.exporters.depth.gate import (
    answers_differ,
    calibrate_gate,
    disturb,
    pair_distances,
    safe_distance,
    typical_deviations,
)
from edgehybrid.exporters.depth.heads import Fitted, choose_head, fit_heads, spec_of
from edgehybrid.exporters.depth.named import NamedExits, named_exits, without_outputs
from edgehybrid.exporters.depth.parts import rename_output
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
from edgehybrid.exporters.depth.pooling import poolings, with_features
from edgehybrid.exporters.depth.risk import Promise, Refusal, fixed_sequence, p_values, promise, samples_needed
from edgehybrid.exporters.depth.scores import Score, choose_score
from edgehybrid.exporters.depth.slicing import crossing_names, slice_chain
from edgehybrid.exporters.depth.spec import HeadSpec, apply_head, attach_spec, crossing_alone, head_alone
from edgehybrid.exporters.depth.variations import can_vary, count_variations, vary

__all__ = [
    "LEAST_PROBABILITY",
    "Certified",
    "Crossing",
    "Cut",
    "Fitted",
    "FoundCuts",
    "HeadSpec",
    "NamedExits",
    "Path",
    "Promise",
    "Refusal",
    "Score",
    "answers_differ",
    "apply_head",
    "attach_confidence",
    "attach_spec",
    "calibrate_gate",
    "can_vary",
    "certify",
    "certify_between",
    "choose_head",
    "choose_score",
    "count_variations",
    "crossing_alone",
    "crossing_names",
    "default_costs",
    "depths",
    "disturb",
    "exit_shares",
    "find_cuts",
    "fit_heads",
    "fit_path",
    "fixed_sequence",
    "head_alone",
    "losses_along",
    "make_exits",
    "mean_cost",
    "named_exits",
    "p_values",
    "pair_distances",
    "poolings",
    "promise",
    "rename_output",
    "safe_distance",
    "samples_needed",
    "slice_chain",
    "spec_of",
    "typical_deviations",
    "vary",
    "with_features",
    "without_outputs",
]
