"""``edgehybrid run``."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from edgehybrid.bundle import Bundle
from edgehybrid.cli.documents import run_document
from edgehybrid.cli.printing import emit_json, json_option, root_option
from edgehybrid.cli.progress import counting
from edgehybrid.cli.run_tables import print_trial
from edgehybrid.data import Samples, open_data, require_labels
from edgehybrid.errors import RequestError
from edgehybrid.profiles import ExecutionPolicy, load_policy
from edgehybrid.quality import Metric, choose_metric
from edgehybrid.runtime import Engine
from edgehybrid.runtime.backends import make_backend
from edgehybrid.runtime.execution import Plan, load_plan
from edgehybrid.runtime.trial import Trial, run_trial
from edgehybrid.testing import Player, Recording


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line said about the engine."""

    policy: str
    device: str | None
    deadline_ms: float | None
    until: str | None
    point: str | None
    root: Path


@click.command(name="run")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--data", required=True, metavar="FILE", help="Samples: .npz, or module:function.")
@click.option("--labels-key", default="labels", show_default=True, help="Array of labels in the data.")
@click.option("--metric", help="accuracy, agreement, rmse, mae, sqnr_db or module:function; without, what fits.")
@click.option("--limit", type=click.IntRange(min=1), help="Run only so many samples.")
@click.option("--rate-hz", type=click.FloatRange(min=0, min_open=True), help="Samples a second; without, back to back.")
@click.option("--policy", default="balanced", show_default=True, help="Policy: a name or a file.")
@click.option("--device", help="Device profile: a name or a file; without, the board is recognised.")
@click.option("--deadline-ms", type=click.FloatRange(min=0, min_open=True), help="Time that one inference may take.")
@click.option("--until", help='End of the mission: "18:00", or seconds.')
@click.option("--point", help="Pin this point instead of letting the controller choose.")
@root_option
@click.option("--recording", type=click.Path(path_type=Path), help="Play a recorded device while the samples run.")
@click.option("--plot", type=click.Path(path_type=Path), help="Leave a picture of the run: .png, .svg or .pdf.")
@json_option
def command(
    bundle: Path,
    data: str,
    labels_key: str,
    metric: str | None,
    limit: int | None,
    rate_hz: float | None,
    policy: str,
    device: str | None,
    deadline_ms: float | None,
    until: str | None,
    point: str | None,
    root: Path,
    recording: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Run samples through the engine of BUNDLE, and say how good, how fast and at what price.

    With --recording, the samples are spread over the recorded time, and the engine sees that device instead of this
    one; latencies are still of this machine.
    """
    if plot is not None:
        from edgehybrid.exporters.report import check_plot

        check_plot(plot)
    opened = Bundle.open(bundle)
    samples = open_data(data, labels_key=labels_key).check(opened.doc.model.inputs)
    require_labels(samples, labels_key)
    chosen = choose_metric(
        metric, outputs=opened.doc.model.outputs, has_labels=samples.has_labels, label_dtype=samples.label_dtype
    )
    options = Options(policy=policy, device=device, deadline_ms=deadline_ms, until=until, point=point, root=root)
    count = min(samples.count, limit or samples.count)
    with _engine(opened, options, recording, count, rate_hz) as (engine, before):
        trial = _trial(engine, opened, samples, chosen, count, before)
        profile = engine.device
    if plot is not None:
        _draw(plot, opened, trial, profile.title, profile.thermal.throttle_c, deadline_ms)
    if as_json:
        emit_json(run_document(trial))
    else:
        print_trial(trial, opened, recorded=recording is not None, plot=plot)


def _trial(
    engine: Engine, bundle: Bundle, samples: Samples, metric: Metric, count: int, before: Callable[[int], float]
) -> Trial:
    reference = _reference(bundle) if metric.needs_float else None
    with counting("running", count) as advance:
        return run_trial(
            engine, samples, metric, before=before, limit=count, reference=reference, advance=lambda: advance(1)
        )


def _reference(bundle: Bundle) -> Plan:
    return load_plan(bundle, bundle.points[0], ExecutionPolicy(), make_backend)


@contextmanager
def _engine(
    bundle: Bundle, options: Options, recording: Path | None, count: int, rate_hz: float | None
) -> Iterator[tuple[Engine, Callable[[int], float]]]:
    """Open the engine on this device, or on a recorded one; the callable is what happens before each sample."""
    if recording is None:
        with _open(bundle, options, options.root, time.monotonic, background=True) as engine:
            yield engine, _on_this_device(rate_hz)
        return
    if rate_hz is not None:
        raise RequestError("--rate-hz cannot go with --recording.", "The samples are spread over the recorded time.")
    played = Recording.open(recording)
    with tempfile.TemporaryDirectory(prefix="edgehybrid-") as folder:
        player = Player(played, folder)
        player.advance_to(0.0)
        now = [0.0]
        with _open(bundle, options, Path(folder), lambda: now[0], background=False) as engine:
            interval_s = load_policy(options.policy).switching.interval_s
            step_s = played.duration_s / max(count - 1, 1)

            def before(i: int) -> float:
                """Move the recorded device on to the time of sample ``i``, looking as often as the policy says."""
                until_s = i * step_s
                while now[0] < until_s:
                    now[0] = min(now[0] + interval_s, until_s)
                    player.advance_to(now[0])
                    engine.step(wait=True)
                return now[0]

            yield engine, before


def _open(bundle: Bundle, options: Options, root: Path, clock: Callable[[], float], *, background: bool) -> Engine:
    engine = Engine(
        bundle,
        policy=options.policy,
        device=options.device,
        deadline_ms=options.deadline_ms,
        until=_seconds_or_time(options.until),
        root=root,
        background=background,
        clock=clock,
        start=options.point,
    )
    if options.point is not None:
        engine.pin(options.point)
    return engine


def _seconds_or_time(until: str | None) -> str | float | None:
    try:
        return None if until is None else float(until)
    except ValueError:
        return until


def _on_this_device(rate_hz: float | None) -> Callable[[int], float]:
    start_s = time.monotonic()

    def before(i: int) -> float:
        if rate_hz is not None:
            time.sleep(max(start_s + i / rate_hz - time.monotonic(), 0.0))
        return time.monotonic()

    return before


def _draw(path: Path, bundle: Bundle, trial: Trial, board: str, throttle_c: float, deadline_ms: float | None) -> None:
    from edgehybrid.cli.bundle_tables import quality_words
    from edgehybrid.exporters.report import Timeline, draw_timeline

    ran = [p for p in bundle.points if not p.is_reference or p.name in trial.points]
    counts = f"{trial.n} inputs, {trial.switches} switches, {trial.dropped} dropped"
    draw_timeline(
        Timeline(
            title=f"{bundle.doc.bundle.name} on a {board}: {counts}",
            moments=trial.moments,
            decisions=trial.decisions,
            points=tuple(p.name for p in ran),
            quality={p.name: quality_words(p.quality).split(" (")[0] for p in ran},
            throttle_c=throttle_c,
            deadline_ms=deadline_ms,
        ),
        path,
    )
