"""A bundle's points, and what was left out of it, as tables that a newcomer can read."""

from __future__ import annotations

from rich.console import Console

from edgehybrid.bundle import BundleDoc
from edgehybrid.cli.printing import prose_table, share, size, table
from edgehybrid.points import OperatingPoint, Quality

_PERCENT = ("accuracy", "agreement")
_SCHEMES = {
    "fp32": "float",
    "fp16": "half floats on disk, float when loaded",
    "w8": "int8 weights on disk, float when loaded",
    "w8-dyn": "int8 weights, activations turned to int8 as they come",
    "w8-dyn-mha": "as w8-dyn, attention's scores block by block",
    "w8-dyn-k2": "as w8-dyn-mha, attention to keys averaged over pairs of neighbours",
    "w8a8": "int8 weights and activations, ranges from calibration",
    "w8a8-int": "as w8a8, and SiLU and depthwise convolutions in integers too",
    "w8a16": "int8 weights, 16-bit activations",
    "w4a16": "4-bit weights in blocks, 16-bit activations",
}
"""What the precisions mean, for the reader of a table."""

_LOSSES = {
    "error": "inputs that full depth gets right and the exit wrong",
    "disagreement": "inputs that the exit answers otherwise than full depth",
    "deviation": "mean distance to the answer of full depth, as a share of the spread of its answers",
}


def print_bundle(console: Console, doc: BundleDoc) -> None:
    """Print what the bundle holds, what is not there and why, and last, where one looks first, its points."""
    on = doc.measured_on
    console.print(f"{doc.bundle.name} {doc.bundle.version}, made {doc.bundle.created}", style="bold")
    console.print("in:  " + "; ".join(spec.describe() for spec in doc.model.inputs))
    console.print("out: " + "; ".join(spec.describe() for spec in doc.model.outputs))
    families = ", ".join(f"{c.name} {share(c.time_share)}" for c in doc.model.components if c.family != "glue")
    console.print(f"time of the float model: {families}")
    print_left_out(console, doc)
    print_points(console, doc)
    console.print(f"measured on {on.cpu}, {on.runtime}; energy of {on.profile} over its idle power")
    console.print(
        f"on disk {size(doc.disk_bytes)}; the variants stored apart would take {size(doc.sum_of_variants_bytes)}"
    )


def print_points(console: Console, doc: BundleDoc) -> None:
    """Print the table of points and what its words mean."""
    console.print(points_table(doc))
    console.print("drop: loss against fp32, the float model as given; energy: over idle, by " + _methods(doc))
    if any(point.exits for point in doc.points):
        console.print("speed and energy of points with exits: the mean over all inputs")
    for line in legend(doc):
        console.print(line)
    print_exits(console, doc)


def print_exits(console: Console, doc: BundleDoc) -> None:
    """Print where points may answer early, how often they do, and what is promised; nothing without exits."""
    rows = [row for point in doc.points for row in _exit_rows(doc, point)]
    if rows:
        columns = ("point", "exit after", "head", "agrees", "cost so far", "answers here", "latency", "loses at most")
        console.print(table("Early exits", columns, rows, left=3))
        risk = next(point.risk for point in doc.points if point.risk is not None)
        console.print(
            f"answers here: share of the inputs at the exit scalar 0, and at 1; loses at most: {_LOSSES[risk.loss]}, "
            f"at 0 and at 1, with probability {1 - risk.delta:.0%} over {risk.n:,} samples"
        )
    if doc.gate is not None:
        console.print(
            f"gate (off unless the policy opens it): an input within {doc.gate.threshold:.3g} of the last one "
            f"reuses its answer; wrong in at most {doc.gate.epsilon:.1%} of these"
        )


def _exit_rows(doc: BundleDoc, point: OperatingPoint) -> list[tuple[str, ...]]:
    stages = {stage.name: stage.exit for stage in doc.stages}
    risk, rows = point.risk, list[tuple[str, ...]]()
    for stage, figures in zip(point.variants, point.depths, strict=False):
        if stage not in point.exits or (head := stages[stage]) is None or risk is None:
            continue
        promise = f"{risk.epsilon:.1%}-{risk.relaxed_epsilon:.1%}" if not rows else ""
        rows.append(
            (
                point.name if not rows else "",
                head.after or stage,
                f"{head.made_of or head.head}, by {head.score}",
                share(head.agreement),
                share(head.cost_share),
                f"{figures.share:.0%}-{figures.relaxed_share:.0%}",
                f"{figures.latency_ms:.3g} ms",
                promise,
            )
        )
    return rows


def _methods(doc: BundleDoc) -> str:
    return ", ".join(dict.fromkeys(point.energy_mj.method for point in doc.points))


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
    rows = (_row(doc, point, reference) for point in doc.points)
    return table("Operating points", columns, rows, left=2)


def print_left_out(console: Console, doc: BundleDoc) -> None:
    """Print what is carried for another processor, what was measured and dropped, and what a scheme left alone."""
    if any(point.carried for point in doc.points):
        carried = ((point.name, point.carried) for point in doc.points if point.carried)
        console.print(prose_table("Carried for another processor", ("point", "here"), carried))
        console.print("carried: not chosen before edgehybrid bench has measured it on the device")
    if doc.dropped:
        rows = ((d.name, d.reason) for d in doc.dropped)
        console.print(prose_table("Measured and not shipped", ("candidate", "why"), rows))
    if doc.untouched:
        rows3 = ((u.component, u.scheme, u.reason) for u in doc.untouched)
        console.print(prose_table("Left as it was", ("component", "scheme", "why"), rows3))


def _row(doc: BundleDoc, point: OperatingPoint, reference: OperatingPoint) -> tuple[str, ...]:
    return (
        point.name,
        made_of(doc, point),
        quality_words(point.quality),
        "" if point.is_reference else _drop_words(point.quality),
        f"{point.latency_ms.p50:.3g} ms",
        f"{point.latency_ms.p95:.3g} ms",
        f"{reference.latency_ms.p50 / (point.latency_ms.mean or point.latency_ms.p50):.2f} ×",
        f"{point.energy_mj.value:.3g} ± {point.energy_mj.uncertainty:.2g} mJ",
        size(point.size_bytes),
        size(point.resident_bytes),
    )


def made_of(doc: BundleDoc, point: OperatingPoint) -> str:
    """Say what runs at ``point``: every family of components once, with the precisions that it really has there."""
    family = {component.name: component.family for component in doc.model.components}
    found: dict[str, set[str]] = {}
    for stage in doc.stages:
        if stage.name not in point.variants:
            continue
        variant = next(v for v in stage.variants if v.name == point.variants[stage.name])
        for component, scheme in variant.schemes.items():
            if family.get(component, "glue") != "glue":
                found.setdefault(family[component], set()).update(scheme.split("+"))
    kinds: dict[str, list[str]] = {}
    for name, schemes in sorted(found.items()):
        kinds.setdefault(" + ".join(sorted(schemes)), []).append(name)
    if set(kinds) <= {"fp32"}:
        words = "float, as given" if point.is_reference else "float, rewritten"
    else:
        words = "; ".join(f"{', '.join(families)}: {schemes}" for schemes, families in kinds.items())
    places = list(dict.fromkeys(point.placement.get(stage, "onnx") for stage in point.variants))
    if places != ["onnx"]:
        words += f"; on {' + '.join(places)}"
    if writers := {v.writer for s in doc.stages for v in s.variants if v.name == point.variants.get(s.name)} - {""}:
        words += f"; file by {', '.join(sorted(writers))}"
    if point.exits:
        words += f"; {len(point.exits)} exit{'s' if len(point.exits) > 1 else ''}"
    return f"{words}; {point.threads} threads" if point.threads > 1 else words


def legend(doc: BundleDoc) -> list[str]:
    """Explain the precisions that occur in the table."""
    variants = (variant for stage in doc.stages for variant in stage.variants)
    used = {scheme for variant in variants for word in variant.schemes.values() for scheme in word.split("+")}
    return [f"{scheme}: {words}" for scheme, words in _SCHEMES.items() if scheme in used]


def quality_words(quality: Quality) -> str:
    """Say a quality with its interval, in percent where it is a share."""
    low, high = quality.ci95
    if quality.metric.startswith(_PERCENT):
        return f"{100 * quality.value:.1f} % ({100 * low:.1f}-{100 * high:.1f})"
    return f"{quality.value:.4g} ({low:.4g}-{high:.4g})"


def _drop_words(quality: Quality) -> str:
    return f"{100 * quality.drop:+.1f} pt" if quality.metric.startswith(_PERCENT) else f"{quality.drop:+.3g}"
