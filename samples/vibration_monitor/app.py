"""Tells how long a machine will last: sensors or a CSV file in, a line for every cycle out, asleep in between.

python -m samples.vibration_monitor.app --bundle vibration_monitor.bundle --replay engine-34.csv
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from edgehybrid.errors import RequestError
from samples.common.answers import Answers
from samples.common.app import main, make_parser, open_engine
from samples.common.service import Service
from samples.common.source import Backoff, Source, SourceError
from samples.vibration_monitor.features import WINDOW, Float32Array, Float64Array
from samples.vibration_monitor.history import History
from samples.vibration_monitor.sensors import Sensors, load_sensors
from samples.vibration_monitor.table import Table

SOON_CYCLES = 30.0
TRIES = 4  # of one burst, with pauses; then the next burst is waited for

_log = logging.getLogger("monitor")


def burst(source: Source[Float64Array], service: Service, backoff: Backoff) -> Float64Array | None:
    """Take one reading; a sensor that fails is asked again a few times. ``None`` if it never answered."""
    for failures in range(1, TRIES + 1):
        try:
            with closing(source.items()) as readings:
                return next(readings)
        except SourceError as error:
            pause_s = backoff.after(failures)
            _log.warning("%s: %s Trying again in %.1f s.", source.name, error, pause_s)
            service.sleep(pause_s)
            if service.stop.is_set():
                break
    return None


def judge(args: argparse.Namespace, window: Float32Array, stuck: tuple[str, ...], answers: Answers) -> None:
    """Open the engine, ask it once, close it: between two bursts nothing of it stays in memory."""
    with open_engine(args, background=False) as engine:
        result = engine.run({"x": window})
        cycles = float(result.outputs["rul"][0, 0])
    doubt = f"  not to be trusted: {', '.join(stuck)} stuck" if stuck else ""
    warning = "  SERVICE SOON" if cycles < SOON_CYCLES and not stuck else ""
    answers.give(
        f"{cycles:5.1f} cycles left  {result.point}, {result.latency_ms:.1f} ms{warning}{doubt}",
        rul=round(cycles, 4),
        trusted=not stuck,
        stuck=list(stuck),
        point=result.point,
        latency_ms=round(result.latency_ms, 3),
    )


def cycles(
    args: argparse.Namespace, source: Source[Float64Array], service: Service, backoff: Backoff
) -> Iterator[Float64Array]:
    """Yield readings: all of a recording, or one burst every period until the service shall end."""
    if not source.live:
        yield from source.items()
        return
    while not service.stop.is_set():
        reading = burst(source, service, backoff)
        if reading is not None:
            yield reading
        if args.once:
            return
        service.sleep(args.period)  # monotonic: setting the clock neither skips a burst nor doubles it


def watch(args: argparse.Namespace, source: Source[Float64Array], service: Service, answers: Answers) -> None:
    """Keep the history of the machine, and judge it after each burst."""
    state: Path | None = args.state
    history = History(None if state is None else state / "history.json")
    told: tuple[str, ...] = ()
    for reading in cycles(args, source, service, Backoff()):
        history.add(reading)
        if history.stuck != told:
            told = history.stuck
            _log.warning("stuck at a value: %s", ", ".join(told) or "none any more")
        window = history.window
        if window is None:
            service.status(f"{len(history)} of {WINDOW} cycles seen")
            continue
        judge(args, window, told, answers)
        service.status(f"{answers.given} answers")
        service.alive()
        if service.stop.is_set():
            break


def run(args: argparse.Namespace, service: Service) -> None:
    """Run the app."""
    if args.replay is None and args.sensors is None:
        raise RequestError("Nothing is to be read.", "Give --sensors FILE (see sensors.toml), or --replay FILE.csv.")
    source: Source[Float64Array]
    if args.replay is not None:
        source = Table(args.replay)
    else:
        source = Sensors(load_sensors(args.sensors), root=Path(args.root))
    answers = Answers(args.answers)
    service.ready()
    watch(args, source, service, answers)
    print(f"{answers.given} answers", file=sys.stderr)


def parser() -> argparse.ArgumentParser:
    """Return the options."""
    options = make_parser("Tells how many cycles a machine has left.", replay="a CSV file")
    options.add_argument("--sensors", type=Path, metavar="FILE", help="which sensor feeds which input (TOML)")
    options.add_argument("--period", type=float, default=600.0, help="seconds between two bursts (default: 600)")
    options.add_argument(
        "--once", action="store_true", help="one burst, then end: the board is switched off until the next"
    )
    options.add_argument("--state", type=Path, metavar="FOLDER", help="keep the last readings over restarts")
    return options


if __name__ == "__main__":
    sys.exit(main(run, parser()))
