"""``edgehybrid inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgehybrid.bundle import Bundle, describe
from edgehybrid.cli.bundle_tables import print_bundle
from edgehybrid.cli.printing import amount, emit_json, json_option, out, share, size, table
from edgehybrid.cli.shapes import parse_shapes, shape_option
from edgehybrid.errors import ModelError

if TYPE_CHECKING:
    from rich.console import Console

    from edgehybrid.exporters import ModelReport

SCHEMA = 1
_TOP_OPS = 8
_SMALL = 0.005  # borders below half a percent are not worth a line


@click.command(name="inspect")
@click.argument("target", metavar="MODEL-or-BUNDLE", type=click.Path(path_type=Path))
@shape_option
@json_option
def command(target: Path, shape: tuple[str, ...], as_json: bool) -> None:
    """Say what is in a model (families, components, cost) or in a bundle (points and their figures).

    A model is an ONNX file or, with PyTorch installed, a .pt2 file or module:factory.
    """
    if target.is_dir():
        bundle = Bundle.open(target)
        if as_json:
            emit_json(describe(bundle))
        else:
            print_bundle(out(), bundle.doc)
        return
    if not target.exists() and ":" not in str(target):
        raise ModelError(f"There is neither a model nor a bundle {target}.", "Check the path.")
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
    _print_head(console, report)
    _print_components(console, report)
    _print_moves(console, report)
    if report.note:
        console.print(report.note)


def _print_head(console: Console, report: ModelReport) -> None:
    console.print(
        f"{report.name}: opset {report.opset}, {report.nodes} nodes, {amount(report.params)} parameters, "
        f"{amount(report.macs)} multiply-accumulates, {size(report.size_bytes)}"
    )
    console.print("in:  " + "; ".join(spec.describe() for spec in report.inputs))
    console.print("out: " + "; ".join(spec.describe() for spec in report.outputs))
    if report.lengths:
        console.print("run with " + ", ".join(f"{name} = {length}" for name, length in report.lengths.items()))
    console.print()


def _print_components(console: Console, report: ModelReport) -> None:
    moved = report.bytes_moved or (None,) * len(report.components)
    rows = [
        (
            c.name,
            c.family,
            str(c.nodes),
            amount(c.params),
            amount(c.macs),
            "-" if b is None else size(b),
            share(c.time_share),
        )
        for c, b in zip(report.components, moved, strict=True)
    ]
    columns = ("component", "family", "nodes", "parameters", "MACs", "bytes moved", "time")
    console.print(table("Components", columns, rows, left=2))
    if report.unknown_share:
        console.print(f"time of no component: {share(report.unknown_share)}")
    ops = sorted(report.time_by_op.items(), key=lambda item: -item[1])[:_TOP_OPS]
    if ops:
        console.print("time by operator: " + ", ".join(f"{op} {share(part)}" for op, part in ops))
        console.print()


def _print_moves(console: Console, report: ModelReport) -> None:
    """Say where time goes that computes nothing."""
    if report.no_arithmetic_share is None:
        return
    console.print(
        f"{share(report.no_arithmetic_share)} of the time computes nothing: "
        "data is transposed, reshaped, cast, sliced or copied"
    )
    for border in report.borders:
        if border.time_share >= _SMALL:
            console.print(f"  {share(border.time_share):>7}  {_between(border.before, border.after)}")
    if report.moves:
        rows = [
            (move.op, move.node, _between(move.before, move.after), share(move.time_share)) for move in report.moves
        ]
        console.print()
        console.print(table("Dearest of these", ("operator", "node", "where", "time"), rows, left=3))


def _between(before: str, after: str) -> str:
    if before == after:
        return f"inside {before}"
    return f"between {before} and {after}"
