"""The page of the depth benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def markdown(found: Mapping[str, Any]) -> str:
    """Write what was measured as a page."""
    machine = found["machine"]
    lines = [
        "# Depth: early exits on the samples",
        "",
        f"`python -m benchmarks.depth`, {machine['date']}: {machine['cpu']}, {', '.join(machine['isa'])}, "
        f"onnxruntime {machine['onnxruntime']}, one thread on one core, load {machine['load_1min']}. "
        "`[a, b]`: 95 % interval.",
        "",
        *_speed(found["samples"]),
        *_staged(found["samples"]),
        *_guarantee(found["samples"]),
        *_scalar(found["samples"]),
        *_drift(found["drift"]),
        *_overhead(found["overhead"]),
    ]
    return "\n".join(lines) + "\n"


def _rows(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return ["| " + " | ".join(str(cell) for cell in row) + " |" for row in (head, rule, *rows)] + [""]


def _ratio(found: Mapping[str, Any]) -> str:
    return f"{found['ratio']:.2f} [{found['ci95'][0]:.2f}, {found['ci95'][1]:.2f}]"


def _speed(samples: Mapping[str, Any]) -> list[str]:
    lines = ["## Mean latency within one point of float", ""]
    lines += [
        "The fastest point with exits whose bundle says that it loses at most a point (1 % of an error), beside the",
        "fastest without exits; both must be within a point on the clean rows, all in turn. Reach: 1.5 on two of the",
        "three. The keyword spotter has both splits of its unseen speaker: what holds on one of them only is not",
        "reached. The camera's rows certified its thresholds too.",
    ]
    lines.append("")
    rows = []
    for name, item in samples.items():
        speed = item["speed"]
        points = {point["name"]: point for point in speed["points"]}
        whole, early = points[speed["best_without"]], points.get(speed["best_with"])
        if early is None:
            least = min((p["mean_ms"] for p in points.values() if p["exits"]), default=None)
            rows.append((name, item["rows"], f"{whole['mean_ms']:.3f}", f"none ({least} ms outside)", "-", "-", "-"))
            continue
        rows.append(
            (
                name,
                item["rows"],
                f"{whole['mean_ms']:.3f}",
                f"{early['mean_ms']:.3f}",
                f"{100 * early['drop']:+.1f} pt" if item["classes"] else f"{early['drop']:+.3f}",
                f"{early['promised']:.0%}",
                f"**{_ratio(speed['times_faster'])}**",
            )
        )
    lines += _rows(("sample", "rows", "without, ms", "with exits, ms", "drop", "promised", "times faster"), rows)
    for name, item in samples.items():
        lines += [f"{name}: every point.", ""]
        lines += _rows(
            ("point", "exits", "promised", "drop", "mean ms", "share by depth"),
            [
                (
                    p["name"],
                    p["exits"],
                    p["promised"] or "-",
                    f"{p['drop']:+.4f}",
                    p["mean_ms"],
                    p["share_by_depth"] or "-",
                )
                for p in item["speed"]["points"]
            ],
        )
    return lines


def _staged(samples: Mapping[str, Any]) -> list[str]:
    rows = [
        (name, chain["variant"], chain["stages"], _ratio(chain["cut_to_uncut"]), _ratio(chain["staged_to_uncut"]))
        for name, item in samples.items()
        for chain in item["staged"]
    ]
    head = ("sample", "variant", "stages", "stages alone", "with heads and confidences")
    lines = ["## Full depth, staged against uncut", "", "Nothing leaves early. Reach: 1.03.", ""]
    return [*lines, *_rows(head, rows)]


def _guarantee(samples: Mapping[str, Any]) -> list[str]:
    lines = [
        "## Promises",
        "",
        "Share of 200 splits in which the realized risk is above ε. δ = 0.1. `draws`: thresholds from",
    ]
    lines += [
        "rows drawn at random, risk over all rows: what the promise says. `halves`: risk over the other half, whose own"
    ]
    lines += ["chance counts too.", ""]
    rows = [
        (
            name,
            g["rows"],
            g["risk"],
            g["epsilon"],
            g["promised"],
            f"{g['broken_share']:.3f} [{g['ci95'][0]:.3f}, {g['ci95'][1]:.3f}]",
            g["mean_risk"],
        )
        for name, item in samples.items()
        for g in item["guarantee"]
    ]
    return [*lines, *_rows(("sample", "rows", "risk", "ε", "promised", "broken", "mean risk"), rows)]


def _scalar(samples: Mapping[str, Any]) -> list[str]:
    lines = ["## The run-time scalar", ""]
    for name, item in samples.items():
        if item["scalar"]:
            rows = [
                (s["scalar"], f"{s['accuracy']:.4f} [{s['low']:.4f}, {s['high']:.4f}]", s["mean_ms"], s["mean_depth"])
                for s in item["scalar"]
            ]
            lines += [
                f"{name}, point {item['scalar_point']}",
                "",
                *_rows(("scalar", "accuracy", "mean ms", "mean depth"), rows),
            ]
    return lines


def _drift(drift: Mapping[str, Any]) -> list[str]:
    lines = [
        "## Drift",
        "",
        "6,000 inputs drawn from each stream, one in fifty of what could leave is audited, a look every 50 inputs.",
        "",
    ]
    for name, item in drift.items():
        if not item.get("streams"):
            lines += [f"{name}: no point with exits, or no data.", ""]
            continue
        lines += [f"{name}, point {item['point']}, promised {item['promised']:.0%}", ""]
        rows = [
            (
                s["stream"],
                f"{s['full_accuracy']:.3f}",
                s["worse_by_points"],
                s["early_share"],
                s["exits_off_from"] or "-",
                s["on_again_from"] or "-",
                "yes" if s["kept"] else "no",
            )
            for s in item["streams"]
        ]
        head = ("stream", "full model", "exits worse by, points", "left early", "off from", "on again from", "kept")
        lines += _rows(head, rows)
    return lines


def _overhead(found: Mapping[str, Any]) -> list[str]:
    each = found["per_exit_us"]
    return [
        "## An exit decision",
        "",
        f"{each['median']:.2f} µs of Python for each exit [{each['ci95'][0]:.2f}, {each['ci95'][1]:.2f}], everything "
        "that a run of the chain does around its stages included (reach: 10 µs).",
    ]
