"""Placement as one step of the export: what is added to the candidates, and what is said where nothing is."""

from __future__ import annotations

from dataclasses import replace

from edgehybrid.bundle import Dropped
from edgehybrid.exporters.options import ExportOptions
from edgehybrid.exporters.placement.mixing import MIXED, propose_mixed
from edgehybrid.exporters.placement.whole import place_whole
from edgehybrid.exporters.precision import Target
from edgehybrid.exporters.prepare import Prepared
from edgehybrid.exporters.search import Built, Candidate, Workshop
from edgehybrid.exporters.trial import Tools
from edgehybrid.profiles import detect_device

PLACEMENT = "placement"
"""Name under which a bundle says why nothing was placed."""


def place(built: Built, prepared: Prepared, workshop: Workshop, options: ExportOptions, tools: Tools) -> Built:
    """Add every candidate on every further back end that was asked for, and chains over several of them.

    All of them then compete by measurement. Nothing is placed for a board of another kind than this machine, whose back
    ends are not here to be measured.
    """
    keys = options.backends
    if not keys:
        return built
    if why := why_not_placed(prepared):
        return replace(built, dropped=(*built.dropped, Dropped(name=PLACEMENT, reason=why)))
    mixed: list[Candidate] = []
    dropped = [Dropped(name=MIXED, reason="only one back end was asked for")]
    if len(keys) > 1:
        mixed, dropped = propose_mixed(built, prepared, workshop, keys, options, tools)
    placed = place_whole(built, keys, prepared)
    return replace(built, candidates=(*built.candidates, *placed, *mixed), dropped=(*built.dropped, *dropped))


def why_not_placed(prepared: Prepared) -> str:
    """Say why nothing can be placed; empty where it can."""
    if Target.of(prepared.device.cpu.isa) != Target.of(detect_device().cpu.isa):
        return f"back ends of {prepared.device.name} cannot be measured on this machine; export there, or for this one"
    return ""
