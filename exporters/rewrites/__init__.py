"""Graph rewrites, one rule per file."""

from edgehybrid.exporters.rewrites.protocol import Pass, PassResult, Probes
from edgehybrid.exporters.rewrites.table import PASSES, RewriteReport, rewrite

__all__ = ["PASSES", "Pass", "PassResult", "Probes", "RewriteReport", "rewrite"]
