"""``edgehybrid simulate``."""

from __future__ import annotations

from pathlib import Path

import click

from edgehybrid.cli.documents import simulate_document
from edgehybrid.cli.points_file import read_points
from edgehybrid.cli.printing import emit_json, json_option
from edgehybrid.cli.progress import counting
from edgehybrid.cli.simulate_tables import print_study
from edgehybrid.profiles import load_policy
from edgehybrid.runtime.simulation import CONTROLLERS, Scenario, Study, load_scenario, run_study

_ALL = "all"


@click.command(name="simulate")
@click.argument("target", metavar="BUNDLE-or-POINTS", type=click.Path(path_type=Path))
@click.option("--scenario", required=True, type=click.Path(path_type=Path), help="What to simulate: a TOML file.")
@click.option(
    "--controllers",
    default=_ALL,
    show_default=True,
    metavar="NAMES",
    help=f"all, or names with commas: {', '.join(CONTROLLERS)}.",
)
@click.option("--policy", default="balanced", show_default=True, help="Policy: a name or a file.")
@click.option("--runs", type=click.IntRange(min=1), help="How many worlds to draw; without, as the scenario says.")
@click.option("--plot", type=click.Path(path_type=Path), help="Leave a picture of the first run: .png, .svg or .html.")
@json_option
def command(
    target: Path, scenario: Path, controllers: str, policy: str, runs: int | None, plot: Path | None, as_json: bool
) -> None:
    """Simulate the controller, others and an oracle on a board, a battery, a weather and a workload.

    BUNDLE-or-POINTS is a bundle, or a JSON file with the points of one (inspect --json). Every controller meets the
    same worlds; the same seed gives the same figures.
    """
    if plot is not None:
        from edgehybrid.exporters.report import check_picture

        check_picture(plot)
    points = read_points(target)
    loaded = load_scenario(scenario)
    names = tuple(CONTROLLERS) if controllers == _ALL else tuple(name.strip() for name in controllers.split(","))
    chosen, count = load_policy(policy), runs or loaded.doc.random.runs
    total = count * len({*names, "oracle"})
    with counting("simulating", total) as advance:
        study = run_study(
            loaded,
            points,
            chosen,
            controllers=names,
            runs=count,
            trail=plot is not None,
            advance=lambda: advance(1),
        )
    if plot is not None:
        _draw(plot, study, loaded, [point.name for point in points])
    if as_json:
        emit_json(simulate_document(study, policy=chosen.name))
    else:
        print_study(study, plot=plot)


def _draw(path: Path, study: Study, scenario: Scenario, points: list[str]) -> None:
    from edgehybrid.cli.simulate_tables import legend, study_rows
    from edgehybrid.exporters.report import StudyPicture, draw_study

    columns, rows = study_rows(study)
    picture = StudyPicture(
        study=study, scenario=scenario, points=tuple(points), columns=columns, rows=rows, words=legend(study)
    )
    draw_study(picture, path)
