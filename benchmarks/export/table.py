"""What came out, for a program and for a reader."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict

from benchmarks.export.compare import FLOAT, Judged, paired_ratio

Results = Mapping[str, tuple[tuple[Judged, ...], Mapping[str, str]]]


def fastest(judged: Iterable[Judged], *, ours: bool) -> Judged | None:
    """The fastest of ours, or of the peers, that keeps the quality; float ORT is a peer."""
    fitting = [item for item in judged if item.ours == ours and item.within]
    return max(fitting, key=lambda item: item.speedup, default=None)


def gain_of(us: Judged, them: Judged) -> tuple[float, float, float]:
    """How many times faster ``us`` is, round by round: low end, median, high end."""
    return paired_ratio(them.rounds_s, us.rounds_s)


def summary(results: Results, absent: Mapping[str, str]) -> dict[str, object]:
    """Return the JSON document's content."""
    works: dict[str, object] = {}
    gains: list[float] = []
    for name, (judged, remarks) in results.items():
        us, them = fastest(judged, ours=True), fastest(judged, ours=False)
        gain = gain_of(us, them) if us and them else None
        gains += [gain[1]] if gain else []
        works[name] = {
            "gain_over_best_peer": gain[1] if gain else None,
            "gain_ci95": (gain[0], gain[2]) if gain else None,
            "best_peer": them.name if them else None,
            "files": [{k: v for k, v in asdict(item).items() if k != "rounds_s"} for item in judged],
            "remarks": dict(remarks),
        }
    mean = math.exp(sum(map(math.log, gains)) / len(gains)) if gains else None
    return {"geometric_mean_gain": mean, "works": works, "absent": dict(absent)}


def markdown(results: Results, absent: Mapping[str, str], machine: Mapping[str, object]) -> str:
    """Return the tables."""
    isa = machine["isa"]
    features = ", ".join(map(str, isa)) if isinstance(isa, list) else str(isa)
    lines = [
        "# The exporter beside its peers",
        "",
        f"{machine['cpu']} ({features}), ONNX Runtime {machine['onnxruntime']}, one thread, no spinning, batch 1; load "
        f"{machine['load_1min']}; {machine['date']}. Speed-up over float ORT as it comes: median of paired ratios, "
        "with its 95 % interval. Quality within 1 point of float (1 % of an error): yes or no.",
    ]
    for name, (judged, remarks) in results.items():
        lines += ["", f"## {name}", *_gain(judged), "", *_rows(judged)]
        lines += [f"- {peer} {remark}" for peer, remark in remarks.items()]
    lines += ["", *(f"{name}: skipped, {why}." for name, why in absent.items())]
    return "\n".join(lines).rstrip() + "\n"


def _gain(judged: tuple[Judged, ...]) -> list[str]:
    us, them = fastest(judged, ours=True), fastest(judged, ours=False)
    if us is None or them is None:
        return ["", "Nothing of ours keeps the quality." if us is None else "No peer keeps the quality."]
    words = "float ORT itself" if them.name == FLOAT else them.name
    low, gain, high = gain_of(us, them)
    return ["", f"{us.name} is {gain:.2f} ({low:.2f} to {high:.2f}) × as fast as the best peer in quality, {words}."]


def _rows(judged: tuple[Judged, ...]) -> list[str]:
    columns = ("file", "speed-up", "ms", "quality", "drop", "within", "SQNR dB", "kB")
    lines = [f"| {' | '.join(columns)} |", "| --- " + "| ---: " * (len(columns) - 1) + "|"]
    for item in sorted(judged, key=lambda item: -item.speedup):
        low, high = item.speedup_ci95
        lines.append(
            f"| {'**' * item.ours}{item.name}{'**' * item.ours} | {item.speedup:.2f} ({low:.2f} to {high:.2f}) "
            f"| {item.latency_ms:.3f} | {item.value:.4f} | {item.drop:+.4f} | {'yes' if item.within else 'no'} "
            f"| {item.sqnr_db:.1f} | {item.size_bytes / 1000:.0f} |"
        )
    return [*lines, ""]
