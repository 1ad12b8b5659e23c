"""``edgehybrid export``."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from edgehybrid.bundle import Bundle, describe
from edgehybrid.cli.bundle_tables import print_left_out, print_points
from edgehybrid.cli.extras import require_export
from edgehybrid.cli.printing import emit_json, json_option, out, prose_table, size
from edgehybrid.cli.progress import Bar
from edgehybrid.cli.shapes import parse_shapes, shape_option

if TYPE_CHECKING:
    from edgehybrid.exporters import ExportOptions, ExportResult

_MOST_MISSES = 8


@click.command(name="export")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Bundle to make (a folder).")
@click.option("--data", required=True, metavar="FILE", help="Samples to calibrate with: .npz, or module:function.")
@click.option("--eval-data", metavar="FILE", help="Samples to measure quality on; without, a part of --data.")
@click.option("--labels-key", default="labels", show_default=True, help="Array of labels in the data.")
@click.option("--metric", help="accuracy, agreement, rmse, mae, sqnr_db or module:function; without, what fits.")
@click.option("--max-drop", type=float, help="Largest loss of quality against float, in the metric's unit.")
@click.option("--levels", type=int, default=4, show_default=True, help="Most points beside the float reference.")
@click.option(
    "--exits",
    metavar="auto|none|NAMES",
    default="none",
    show_default=True,
    help="Early exits: auto fits heads where they pay, NAMES are outputs that the model was trained with.",
)
@click.option(
    "--exit-loss",
    type=float,
    multiple=True,
    help="What exits may lose, as a share of the inputs; may be given again.  [default: 0.01, 0.02, 0.05]",
)
@click.option(
    "--stages",
    type=int,
    default=1,
    show_default=True,
    help="Cut every point into so many pieces as well, for pipelines over several cores.",
)
@click.option(
    "--gate/--no-gate",
    default=True,
    help="Calibrate how little an input may differ so that the last answer holds.  [default: gate]",
)
@click.option(
    "--formats",
    default="onnx",
    show_default=True,
    metavar="LIST",
    callback=lambda _ctx, _parameter, text: tuple(part.strip() for part in text.split(",")),
    help="Formats of the variants: onnx, or onnx,tflite, which then compete by measurement.",
)
@click.option(
    "--backends",
    default="",
    metavar="LIST",
    callback=lambda _ctx, _parameter, text: tuple(part.strip() for part in text.split(",") if part.strip()),
    help="Back ends to place the model and its stages on, by measurement: say onnx,tflite,onnx-openvino.",
)
@click.option(
    "--keep",
    multiple=True,
    metavar="NAME",
    help="Ship this candidate however slow it is here, for another processor; repeat it, or say tflite-*.",
)
@shape_option
@click.option("--device", help="Device profile, a name or a file: sets the kind of integers and the watts.")
@click.option(
    "--effort",
    type=click.Choice(["quick", "standard", "thorough"]),
    default="standard",
    show_default=True,
    help="How long to measure, and how many mixtures to try.",
)
@click.option("--threads", type=int, default=1, show_default=True, help="Threads of one inference.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the split, the order of runs, resampling.")
@click.option("--recipe", type=click.Path(path_type=Path), help="Options from a file; the command line counts more.")
@click.option("--save-recipe", type=click.Path(path_type=Path), help="Write the options as a recipe (TOML).")
@click.option("--no-cache", is_flag=True, help="Measure again, even what was measured before.")
@click.option("--dry-run", is_flag=True, help="Say what would be tried, and stop.")
@click.option("--overwrite", is_flag=True, help="Replace a bundle that is there.")
@json_option
@click.pass_context
def command(ctx: click.Context, /, model: Path, output: Path, data: str, eval_data: str | None, **words: Any) -> None:
    """Turn MODEL (ONNX) into a bundle of operating points, each verified against the float model and measured."""
    require_export()
    from edgehybrid.exporters import export, save_recipe

    options = _options(ctx, words)
    if words["save_recipe"] is not None:
        save_recipe(options, words["save_recipe"])
    with Bar() as bar:
        result = export(model, output, data=data, eval_data=eval_data, options=options, progress=bar)
    if words["as_json"]:
        emit_json(_document(result))
    elif result.bundle is None:
        _print_plan(result)
    else:
        _print_result(result, result.bundle)


def _options(ctx: click.Context, words: dict[str, Any]) -> ExportOptions:
    """Join the defaults, the recipe and what was really said on the command line."""
    from edgehybrid.exporters import ExportOptions, load_recipe

    words = {**words, "shape": parse_shapes(words["shape"]), "cache": not words["no_cache"]}
    if losses := words.pop("exit_loss"):
        words["exit_losses"] = losses
    words["exits"] = _exits(words["exits"])
    names = {field.name for field in fields(ExportOptions)} & set(words)
    if words["recipe"] is None:
        return ExportOptions(**{name: words[name] for name in names})
    said = {name: words[name] for name in names if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    if losses:
        said["exit_losses"] = losses
    return load_recipe(words["recipe"], **said, cache=words["cache"])


def _exits(word: str) -> str | tuple[str, ...]:
    names = tuple(name.strip() for name in word.split(",") if name.strip())
    return word if word in ("auto", "none") else names


def _document(result: ExportResult) -> dict[str, Any]:
    tried = [{"name": plan.name, "recipe": plan.recipe, "threads": plan.threads} for plan in result.plans]
    if result.bundle is None:
        return {"schema": 1, "dry_run": True, "model": result.model, "candidates": tried}
    return {
        **describe(result.bundle),
        "path": str(result.bundle.path),
        "candidates": tried,
        "speedups": result.speedups,
        "sqnr_db": result.sqnr_db,
        "rules": result.rules,
        "sensitivities": result.sensitivities,
    }


def _print_plan(result: ExportResult) -> None:
    rows = ((plan.name, plan.describe()) for plan in result.plans)
    console = out()
    families = ", ".join(f"{c.name}" for c in result.model.components)
    console.print(f"{result.model.name}: {families}")
    console.print(prose_table("Would be built, verified and measured", ("candidate", "precision by family"), rows))


def _print_result(result: ExportResult, bundle: Bundle) -> None:
    doc, console = bundle.doc, out()
    rules = [(rule.name, rule.describe()) for rule in result.rules if rule.sites]
    if rules:
        console.print(prose_table("Rewrites of the float graph", ("rule", "sites, gain beside all the others"), rules))
    misses = [(rule.name, miss.where, miss.why) for rule in result.rules for miss in rule.near_misses]
    if misses:
        console.print(prose_table("Nearly fitted", ("rule", "where", "why not"), misses[:_MOST_MISSES]))
    if len(misses) > _MOST_MISSES:
        console.print(f"{len(misses) - _MOST_MISSES} more in --json")
    print_left_out(console, doc)
    print_points(console, doc)
    points = "point" if len(doc.points) == 1 else "points"
    apart = size(doc.sum_of_variants_bytes)
    console.print(
        f"{bundle.path}: {len(doc.points)} {points}, {size(doc.disk_bytes)} on disk ({apart} if stored apart)"
    )
