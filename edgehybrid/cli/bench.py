"""``edgehybrid bench``."""

from __future__ import annotations

from pathlib import Path

import click

from edgehybrid.bundle import Bundle
from edgehybrid.cli.documents import BenchDocument
from edgehybrid.cli.printing import emit_json, json_option, out, prose_table, root_option
from edgehybrid.points import OperatingPoint
from edgehybrid.profiles import detect_device, load_device
from edgehybrid.runtime.bench import PointFigures, Store, Table, full_ms, measure, measure_streams
from edgehybrid.runtime.telemetry import Telemetry


@click.command(name="bench")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--seconds", type=click.FloatRange(min=0), default=10.0, show_default=True, help="How long to measure.")
@click.option("--device", help="Device profile, a name or a file; without, the board is recognised.")
@root_option
@click.option(
    "--streams/--no-streams",
    default=True,
    help="Measure too what streams over several cores give, some seconds for each point.  [default: streams]",
)
@click.option("--dry-run", is_flag=True, help="Measure, but keep nothing.")
@click.option(
    "--forget", is_flag=True, help="Remove what was measured here, and stop: the bundle's figures count again."
)
@json_option
def command(
    bundle: Path,
    seconds: float,
    device: str | None,
    root: Path,
    streams: bool,
    dry_run: bool,
    forget: bool,
    as_json: bool,
) -> None:
    """Measure every point of BUNDLE on this device, and keep it: engines choose by it instead of the bundle's figures.

    All points run in turn, in a new order each round; rounds in which the firmware lowered the clock are left out. What
    was measured on battery and on mains is kept apart.
    """
    opened = Bundle.open(bundle)
    board = detect_device(root) if device is None else load_device(device)
    store = Store(opened, board)
    if forget:
        click.echo(f"{store.forget()} tables of this device removed.", err=True)
        return
    telemetry = Telemetry(root, device=board)
    try:
        table = measure(opened, board, telemetry.read, key=store.key, seconds=seconds)
        if streams:
            cores = telemetry.read().cpu_cores or board.cpu.cores
            table = measure_streams(opened, board, table, cores=min(cores, board.cpu.cores))
    finally:
        telemetry.close()
    file = None if dry_run else store.save(table)
    shipped = {point.name: full_ms(point) for point in opened.points}
    if as_json:
        emit_json(
            BenchDocument(
                schema=1,
                bundle=opened.doc.bundle,
                figures=table,
                shipped_ms=shipped,
                file=None if file is None else str(file),
            )
        )
        return
    _show(opened, table)
    if file is not None:
        click.echo(f"kept in {file}", err=True)


def _show(bundle: Bundle, table: Table) -> None:
    console = out()
    points = {point.name: point for point in bundle.points}
    supply = {"mains": "on mains", "battery": "on battery", "unknown": "supply not known"}
    title = f"{bundle.doc.bundle.name} on {table.profile}, {supply[table.supply]}"
    rows = [_row(points[figures.name], figures) for figures in table.points]
    console.print(prose_table(title, ("point", "p50", "p95", "in the bundle", "here", "energy"), rows))
    if any(figures.streams for figures in table.points):
        title = "In a stream: inputs a second, beside one after the other"
        console.print(prose_table(title, ("point", "arrangement", "per second", "gain", "energy"), _streams(table)))
    left_out = f", {table.throttled_rounds} throttled" if table.throttled_rounds else ""
    warm = "" if table.soc_temp_c is None else f", {table.soc_temp_c:.0f} °C at the end"
    console.print(f"{table.rounds} rounds, full depth{left_out}{warm}")
    if table.note:
        console.print(f"note: {table.note}")
    for name, why in table.failed.items():
        console.print(f"{name} does not run here: {why}")


def _row(point: OperatingPoint, here: PointFigures) -> tuple[str, ...]:
    shipped = full_ms(point)
    ratio = here.latency_ms.p50 / shipped if shipped > 0 else float("nan")
    energy = f"{here.energy_mj.value:.3g} ± {here.energy_mj.uncertainty:.2g} mJ"
    p50, p95 = f"{here.latency_ms.p50:.3g} ms", f"{here.latency_ms.p95:.3g} ms"
    return here.name, p50, p95, f"{shipped:.3g} ms", f"{ratio:.2f} ×", energy


def _streams(table: Table) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for figures in table.points:
        for stream in figures.streams:
            how = stream.mode if stream.workers == 1 else f"{stream.mode} on {stream.workers} cores"
            gain = f"{stream.per_s / figures.streams[0].per_s:.2f} ×"
            rows.append((figures.name, how, f"{stream.per_s:.4g}", gain, f"{stream.energy_mj:.3g} mJ"))
    return rows
