"""A bundle's points, and what was left out of it, as tables that a newcomer can read."""

from __future__ import annotations

from rich.console import Console

from edgehybrid.bundle import BundleDoc
from edgehybrid.cli.printing import prose_table, share, size, table
from edgehybrid.points import OperatingPoint, Quality

_PERCENT = ("accuracy", "agreement")


def print_bundle(console: Console, doc: BundleDoc) -> None:
    """Print what the bundle holds, its points, and why others are not there."""
    on = doc.measured_on
    console.print(f"{doc.bundle.name} {doc.bundle.version}, made {doc.bundle.created}", style="bold")
    console.print("in:  " + "; ".join(spec.describe() for spec in doc.model.inputs))
    console.print("out: " + "; ".join(spec.describe() for spec in doc.model.outputs))
    families = ", ".join(f"{c.name} {share(c.time_share)}" for c in doc.model.components if c.family != "glue")
    console.print(f"time of the float model: {families}")
    console.print(points_table(doc))
    console.print(f"measured on {on.cpu}, {on.runtime}; energy of {on.profile} over its idle power")
    console.print(
        f"on disk {size(doc.disk_bytes)}; the variants stored apart would take {size(doc.sum_of_variants_bytes)}"
    )
    print_left_out(console, doc)


def points_table(doc: BundleDoc) -> object:
    """One row per point, best quality first, beside the float reference."""
    reference = doc.points[0]
    columns = (
        "point",
        "made of",
        doc.points[0].quality.metric,
        "drop",
        "p50",
        "p95",
        "speed",
        "energy",
        "disk",
        "memory",
    )
    rows = (_row(point, reference) for point in doc.points)
    return table("Operating points", columns, rows, left=2)


def print_left_out(console: Console, doc: BundleDoc) -> None:
    """Print the candidates that were measured and dropped, and the components that a scheme left alone."""
    if doc.dropped:
        rows = ((d.name, d.reason) for d in doc.dropped)
        console.print(prose_table("Measured and not shipped", ("candidate", "why"), rows))
    if doc.untouched:
        rows3 = ((u.component, u.scheme, u.reason) for u in doc.untouched)
        console.print(prose_table("Left as it was", ("component", "scheme", "why"), rows3))


def _row(point: OperatingPoint, reference: OperatingPoint) -> tuple[str, ...]:
    return (
        point.name,
        ", ".join(made_of(point)),
        quality_words(point.quality),
        "" if point.is_reference else _drop_words(point.quality),
        f"{point.latency_ms.p50:.3g} ms",
        f"{point.latency_ms.p95:.3g} ms",
        f"{reference.latency_ms.p50 / point.latency_ms.p50:.2f} ×",
        f"{point.energy_mj.value:.3g} ± {point.energy_mj.uncertainty:.2g} mJ",
        size(point.size_bytes),
        size(point.resident_bytes),
    )


def made_of(point: OperatingPoint) -> list[str]:
    """Say what runs at ``point``: the variants' names."""
    names = list(dict.fromkeys(point.variants.values()))
    return [*names, f"{point.threads} threads"] if point.threads > 1 else names


def quality_words(quality: Quality) -> str:
    """Say a quality with its interval, in percent where it is a share."""
    low, high = quality.ci95
    if quality.metric.startswith(_PERCENT):
        return f"{100 * quality.value:.1f} % ({100 * low:.1f}-{100 * high:.1f})"
    return f"{quality.value:.4g} ({low:.4g}-{high:.4g})"


def _drop_words(quality: Quality) -> str:
    return f"{100 * quality.drop:+.1f} pt" if quality.metric.startswith(_PERCENT) else f"{quality.drop:+.3g}"
