"""A run as a picture: battery, temperature, chosen point and latency over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgehybrid.errors import MissingExtraError, OutputError, RequestError
from edgehybrid.runtime.execution import Switch
from edgehybrid.runtime.trial import Moment

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = (".png", ".svg", ".pdf")
_INK, _FAINT, _GRID = "#1f2430", "#6b7280", "#e5e7eb"
_BATTERY, _HEAT, _LIMIT = "#2f9e77", "#d1495b", "#9b2226"
_PALETTE = ("#1d4e89", "#3a86c8", "#58b09c", "#e0a030", "#d1693c")  # best quality to least energy
_MINUTE = 60.0
_MAX_NOTES = 14
_NOTE_WIDTH = 15.0  # points
_STYLE: dict[Any, Any] = {  # the type of matplotlib's keys is its own affair
    "font.size": 9,
    "font.family": "sans-serif",
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _FAINT,
    "ytick.color": _FAINT,
    "svg.hashsalt": "edgehybrid",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """What is drawn.

    Attributes:
        title: Above the picture.
        moments: One a sample, in order.
        decisions: The switches.
        points: Names of the points, best quality first.
        quality: Point to its quality in words, for the axis; may be empty.
        throttle_c: Temperature at which the board throttles.
        deadline_ms: Deadline; ``None`` without.
    """

    title: str
    moments: Sequence[Moment]
    decisions: Sequence[Switch]
    points: Sequence[str]
    quality: Mapping[str, str]
    throttle_c: float | None = None
    deadline_ms: float | None = None


def check_plot(path: Path) -> None:
    """Refuse early what could not be drawn after a long run.

    Raises:
        MissingExtraError: matplotlib is not installed.
        RequestError: The ending is none that we draw.
    """
    if path.suffix.lower() not in FORMATS:
        raise RequestError(f"{path.name} is no picture that can be drawn.", f"End it in {', '.join(FORMATS)}.")
    if find_spec("matplotlib") is None:
        raise MissingExtraError("matplotlib", "report")


def draw_timeline(timeline: Timeline, path: Path) -> None:
    """Draw ``timeline`` into ``path`` (png, svg or pdf by its ending).

    Raises:
        MissingExtraError: matplotlib is not installed.
        RequestError: Another ending.
        OutputError: The file cannot be written.
    """
    check_plot(path)
    import matplotlib.figure
    from matplotlib import rc_context

    with rc_context(_STYLE):
        figure = matplotlib.figure.Figure(figsize=(11, 9.2), dpi=120, layout="constrained")
        panels = figure.subplots(4, 1, sharex=True, height_ratios=(1.0, 1.15, 1.35, 1.35))
        figure.suptitle(timeline.title, x=0.01, ha="left", fontsize=12, fontweight="bold")
        colours = _colours(timeline.points)
        _battery(panels[0], timeline)
        _temperature(panels[1], timeline)
        _points(panels[2], timeline, colours)
        _latency(panels[3], timeline, colours)
        for panel in panels:
            _calm(panel, timeline)
        panels[-1].set_xlabel("minutes")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path)
        except OSError as error:
            raise OutputError(f"{path} cannot be written ({error.strerror}).", "Choose another place.") from error


def _colours(points: Sequence[str]) -> dict[str, str]:
    last = max(len(points) - 1, 1)
    return {name: _PALETTE[round(i * (len(_PALETTE) - 1) / last)] for i, name in enumerate(points)}


def _minutes(timeline: Timeline) -> list[float]:
    return [moment.at_s / _MINUTE for moment in timeline.moments]


def _calm(panel: Axes, timeline: Timeline) -> None:
    """Take away what does not speak, and mark the switches."""
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
    panel.tick_params(length=0)
    panel.grid(axis="y", color=_GRID, linewidth=0.8)
    panel.set_axisbelow(True)
    panel.set_xlim(0, max(timeline.moments[-1].at_s / _MINUTE, 1e-3))
    for switch in timeline.decisions:
        panel.axvline(switch.at_s / _MINUTE, color=_FAINT, linewidth=0.6, linestyle=(0, (2, 3)), zorder=0.5)


def _label(panel: Axes, text: str) -> None:
    panel.set_title(text, loc="left", fontsize=9, color=_FAINT, pad=4)


def _line(panel: Axes, timeline: Timeline, values: Sequence[float | None], colour: str, missing: str) -> bool:
    """Draw what the device said; tell whether it said anything."""
    known = [float("nan") if v is None else v for v in values]
    if all(v is None for v in values):
        panel.text(0.5, 0.5, missing, transform=panel.transAxes, ha="center", va="center", color=_FAINT)
        panel.set_yticks([])
        return False
    panel.plot(_minutes(timeline), known, color=colour, linewidth=1.8)
    return True


def _battery(panel: Axes, timeline: Timeline) -> None:
    _label(panel, "Battery, %")
    values = [moment.battery_pct for moment in timeline.moments]
    if _line(panel, timeline, values, _BATTERY, "this device has no battery"):
        panel.fill_between(_minutes(timeline), [v or 0.0 for v in values], color=_BATTERY, alpha=0.12, linewidth=0)
        panel.set_ylim(0, 100)
        panel.set_yticks([0, 50, 100])


def _temperature(panel: Axes, timeline: Timeline) -> None:
    _label(panel, "SoC temperature, °C")
    values = [moment.soc_temp_c for moment in timeline.moments]
    drawn = _line(panel, timeline, values, _HEAT, "this device has no thermometer")
    if drawn and timeline.throttle_c is not None:
        panel.axhline(timeline.throttle_c, color=_LIMIT, linewidth=1, linestyle="--")
        panel.annotate(
            f"the firmware throttles from {timeline.throttle_c:g} °C",
            (1, timeline.throttle_c),
            xycoords=("axes fraction", "data"),
            xytext=(-4, 3),
            textcoords="offset points",
            ha="right",
            fontsize=8,
            color=_LIMIT,
        )
        top = max(v for v in values if v is not None)
        panel.set_ylim(top=max(top, timeline.throttle_c) + 6)


def _points(panel: Axes, timeline: Timeline, colours: Mapping[str, str]) -> None:
    _label(panel, "Operating point, best quality on top; the number leads to the reason that the run printed")
    rank = {name: len(timeline.points) - 1 - i for i, name in enumerate(timeline.points)}
    ends = [moment.at_s for moment in timeline.moments[1:]] + [timeline.moments[-1].at_s]
    for name in timeline.points:
        spans = [
            (m.at_s / _MINUTE, (end - m.at_s) / _MINUTE)
            for m, end in zip(timeline.moments, ends, strict=True)
            if m.point == name
        ]
        panel.broken_barh(spans, (rank[name] - 0.32, 0.64), facecolors=colours[name])
    panel.set_yticks(
        [rank[name] for name in timeline.points],
        [f"{name}  {timeline.quality.get(name, '')}".rstrip() for name in timeline.points],
    )
    panel.set_ylim(-0.6, len(timeline.points) + 0.15)
    if len(timeline.decisions) <= _MAX_NOTES:
        for number, (switch, shift) in enumerate(_apart(timeline), start=1):
            panel.annotate(
                str(number),
                (switch.at_s / _MINUTE, len(timeline.points) - 0.2),
                xytext=(shift, 0),
                textcoords="offset points",
                ha="center",
                va="center",
                fontsize=7.5,
                color="white",
                bbox={"boxstyle": "circle,pad=0.25", "facecolor": _INK, "edgecolor": "none"},
            )


def _apart(timeline: Timeline) -> list[tuple[Switch, float]]:
    """Give every switch a sideways shift in points, so that the numbers of near ones do not lie on each other."""
    per_point = timeline.moments[-1].at_s / 640  # seconds under one point of the picture's width
    shifted: list[tuple[Switch, float]] = []
    last_end = float("-inf")
    for switch in timeline.decisions:
        place = switch.at_s / per_point if per_point > 0 else 0.0
        shift = max(last_end + _NOTE_WIDTH - place, 0.0)
        last_end = place + shift
        shifted.append((switch, shift))
    return shifted


def _latency(panel: Axes, timeline: Timeline, colours: Mapping[str, str]) -> None:
    _label(panel, "Latency of every inference on this machine, ms")
    for name in timeline.points:
        mine = [m for m in timeline.moments if m.point == name]
        panel.scatter(
            [m.at_s / _MINUTE for m in mine],
            [m.latency_ms for m in mine],
            s=7,
            color=colours[name],
            linewidths=0,
            label=name,
        )
    ordered = sorted(m.latency_ms for m in timeline.moments)
    top = ordered[min(int(len(ordered) * 0.95), len(ordered) - 1)] * 1.6  # a hiccup must not flatten the rest
    above = sum(latency > top for latency in ordered)
    if timeline.deadline_ms is not None and timeline.deadline_ms < 3 * top:
        panel.axhline(timeline.deadline_ms, color=_LIMIT, linewidth=1, linestyle="--")
        top = max(top, timeline.deadline_ms * 1.1)
    panel.set_ylim(0, top)
    if above:
        panel.annotate(
            f"{above} of {len(ordered)} above, the slowest {ordered[-1]:.3g} ms",
            (1, 1),
            xycoords="axes fraction",
            xytext=(-4, -2),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=8,
            color=_FAINT,
        )
