"""``edgehybrid inspect``."""

from __future__ import annotations

from pathlib import Path

import click

from edgehybrid.bundle import Bundle, describe
from edgehybrid.cli.bundle_tables import print_bundle
from edgehybrid.cli.printing import amount, emit_json, json_option, out, share, size, table
from edgehybrid.cli.shapes import parse_shapes, shape_option

SCHEMA = 1
_TOP_OPS = 8


@click.command(name="inspect")
@click.argument("target", metavar="MODEL-or-BUNDLE", type=click.Path(path_type=Path))
@shape_option
@json_option
def command(target: Path, shape: tuple[str, ...], as_json: bool) -> None:
    """Say what is in a model (families, components, cost) or in a bundle (points and their figures)."""
    if target.is_dir():
        bundle = Bundle.open(target)
        if as_json:
            emit_json(describe(bundle))
        else:
            print_bundle(out(), bundle.doc)
        return
    _inspect_model(target, shape, as_json=as_json)


def _inspect_model(path: Path, shape: tuple[str, ...], *, as_json: bool) -> None:
    from edgehybrid.cli.extras import require_export

    require_export()
    from edgehybrid.exporters import inspect_model

    report = inspect_model(path, parse_shapes(shape))
    if as_json:
        emit_json({"schema": SCHEMA, "model": report})
        return
    console = out()
    console.print(
        f"{report.name}: opset {report.opset}, {report.nodes} nodes, {amount(report.params)} parameters, "
        f"{amount(report.macs)} multiply-accumulates, {size(report.size_bytes)}"
    )
    console.print("in:  " + "; ".join(spec.describe() for spec in report.inputs))
    console.print("out: " + "; ".join(spec.describe() for spec in report.outputs))
    rows = [
        (c.name, c.family, str(c.nodes), amount(c.params), amount(c.macs), share(c.time_share))
        for c in report.components
    ]
    columns = ("component", "family", "nodes", "parameters", "MACs", "time")
    console.print(table("Components", columns, rows, left=2))
    ops = sorted(report.time_by_op.items(), key=lambda item: -item[1])[:_TOP_OPS]
    if ops:
        console.print("time by operator: " + ", ".join(f"{op} {share(part)}" for op, part in ops))
    if report.no_arithmetic_share is not None:
        console.print(f"no arithmetic (transposes, reshapes, casts, copies): {share(report.no_arithmetic_share)}")
    if report.note:
        console.print(report.note)
