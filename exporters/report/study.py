"""A simulated mission as a picture: quality, power, battery, temperature and chosen point over time."""

from __future__ import annotations

import html
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgehybrid.errors import MissingExtraError, OutputError, RequestError
from edgehybrid.profiles import load_device
from edgehybrid.runtime.simulation import Scenario, Study, Trail

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
FORMATS = (".png", ".svg", ".html")
_INK, _FAINT, _GRID, _LIMIT = "#1f2430", "#6b7280", "#e5e7eb", "#9b2226"
_PALETTE = ("#1d4e89", "#3a86c8", "#58b09c", "#e0a030", "#d1693c")  # best quality to least energy
_LINES: dict[str, tuple[str, float, Any]] = {  # name to colour, width, dashes
    "oracle": ("#1f2430", 1.2, (0, (4, 2))),
    "edgehybrid": ("#d1495b", 2.0, "-"),
    "alert": ("#3a86c8", 1.2, "-"),
    "fixed": ("#9aa3af", 1.2, "-"),
}
_OTHERS = ("#58b09c", "#e0a030", "#8b5fbf", "#7a5c3e")
_MOST_LINES = 4
_UNDATED = {"Date": None}  # the same figures make the same file
_SMOOTH = 40  # windows of a picture
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
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>body{{font:15px/1.5 system-ui,sans-serif;color:#1f2430;max-width:75em;margin:2em auto;padding:0 1em}}
table{{border-collapse:collapse;font-size:.9em}}
th,td{{padding:.25em .8em;text-align:right;border-bottom:1px solid #e5e7eb;white-space:nowrap}}
div{{overflow-x:auto}}ul{{color:#6b7280;font-size:.85em;padding-left:1.2em}}
th:first-child,td:first-child{{text-align:left}}svg{{max-width:100%;height:auto}}</style>
<h1>{title}</h1>
<div><table><tr>{head}</tr>{rows}</table></div>
<ul>{words}</ul>
{picture}
</html>
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPicture:
    """What is drawn.

    Attributes:
        study: With the trails of the first run.
        scenario: What was simulated.
        points: Names of the points, best quality first.
        columns: Head of the table of the page.
        rows: Its rows.
        words: What its words mean, a line each.
    """

    study: Study
    scenario: Scenario
    points: tuple[str, ...]
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: Sequence[str] = ()


def check_picture(path: Path) -> None:
    """Refuse early what could not be drawn after a long simulation.

    Raises:
        MissingExtraError: matplotlib is not installed.
        RequestError: The ending is none that we draw.
    """
    if path.suffix.lower() not in FORMATS:
        raise RequestError(f"{path.name} is no picture that can be drawn.", f"End it in {', '.join(FORMATS)}.")
    if find_spec("matplotlib") is None:
        raise MissingExtraError("matplotlib", "report")


def draw_study(picture: StudyPicture, path: Path) -> None:
    """Draw the first run into ``path`` (png, svg, or a page of its own by its ending).

    Raises:
        MissingExtraError: matplotlib is not installed.
        RequestError: Another ending.
        OutputError: The file cannot be written.
    """
    check_picture(path)
    from matplotlib import rc_context

    with rc_context(_STYLE):
        figure = _figure(picture)
        kind = path.suffix.lower().removeprefix(".")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind == "html":
                path.write_text(_page(picture, figure), encoding="utf-8")
            else:
                figure.savefig(path, format=kind, metadata=_UNDATED if kind == "svg" else None)
        except OSError as error:
            raise OutputError(f"{path} cannot be written ({error.strerror}).", "Choose another place.") from error


def _figure(picture: StudyPicture) -> Figure:
    import matplotlib.figure

    battery = picture.scenario.doc.battery is not None
    points, whose = _of(picture)
    ratios = [1.2, 1.0, *([1.0] if battery else []), 1.1, *([0.4 + 0.16 * len(picture.points)] if points else [])]
    figure = matplotlib.figure.Figure(figsize=(11, 2.0 * sum(ratios) + 0.8), dpi=120, layout="constrained")
    panels = list(figure.subplots(len(ratios), 1, sharex=True, height_ratios=ratios))
    title = picture.scenario.doc.title or picture.scenario.name
    figure.suptitle(f"{title} (first run)", x=0.01, ha="left", fontsize=12, fontweight="bold")
    lines = _lines(picture)
    study = picture.study
    share = study.metric.startswith(("accuracy", "agreement"))  # in percent, as in the table
    quality = f"Quality of the inputs: {study.metric}{', %' if share else ''}"
    _curves(panels[0], lines, quality, lambda t: _shown(study, t.worth) * (100 if share else 1), smooth=True)
    panels[0].legend(loc="lower right", bbox_to_anchor=(1, 0.98), ncols=_MOST_LINES, frameon=False, fontsize=8)
    _curves(panels[1], lines, "Power of the board, W", lambda t: t.power_w, smooth=True)
    if battery:
        _battery(panels[2], lines)
    heat = panels[3 if battery else 2]
    _curves(heat, lines, "Temperature of the chip, °C", lambda t: t.temp_c, smooth=True)
    _throttling(heat, picture)
    if points is not None:
        _points(panels[-1], picture, points, whose)
    for panel in panels:
        _calm(panel, picture.scenario.doc.mission.duration_h)
    panels[-1].set_xlabel("hours")
    return figure


def _of(picture: StudyPicture) -> tuple[Trail | None, str]:
    """Return the trail whose points are shown, and whose it is: ours, else the first that is driven."""
    driven = [r for r in picture.study.results if not r.name.startswith("oracle")]
    best = next((r for r in driven if r.name == "edgehybrid"), driven[0] if driven else None)
    return (best.outcomes[0].trail, best.name) if best else (None, "")


def _lines(picture: StudyPicture) -> dict[str, tuple[Trail, str, float, Any]]:
    """Choose what is drawn: ours and the oracle, then those of the table in its order."""
    results = {result.name: result for result in picture.study.results}
    names = [name for name in _LINES if name in results]
    names += [name for name in results if name not in names]
    chosen, others = {}, iter(_OTHERS)
    for name in names[:_MOST_LINES]:
        colour, width, dashes = _LINES.get(name) or (next(others), 1.2, "-")
        trail = results[name].outcomes[0].trail
        if trail is not None:
            chosen[name] = (trail, colour, width, dashes)
    return dict(reversed(chosen.items()))  # ours and the oracle on top


def _shown(study: Study, worth: Floats) -> Floats:
    return worth if study.higher_is_better else -worth


def _smoothed(at_s: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Take means over equal pieces, so that single inputs do not hide the course."""
    size = max(len(values) // (4 * _SMOOTH), 1)
    count = -(-len(values) // size)
    padded = np.full(count * size, np.nan)
    padded[: len(values)] = values
    pieces = padded.reshape(count, size)
    known = np.isfinite(pieces)
    sums = np.where(known, pieces, 0.0).sum(axis=1)
    return at_s[::size], np.divide(sums, known.sum(axis=1), out=np.full(count, np.nan), where=known.any(axis=1))


def _curves(
    panel: Axes,
    lines: dict[str, tuple[Trail, str, float, Any]],
    label: str,
    read: Callable[[Trail], Floats],
    *,
    smooth: bool = False,
) -> None:
    panel.set_title(label, loc="left", fontsize=9, color=_FAINT, pad=4)
    for name, (trail, colour, width, dashes) in lines.items():
        at_s, values = _smoothed(trail.at_s, read(trail)) if smooth else (trail.at_s, read(trail))
        panel.plot(at_s / 3600, values, color=colour, linewidth=width, linestyle=dashes, label=name)
        if name == "edgehybrid":
            panel.margins(y=0.12)


def _battery(panel: Axes, lines: dict[str, tuple[Trail, str, float, Any]]) -> None:
    _curves(panel, lines, "Battery, %: as it is; dotted: what the gauge told ours", lambda t: t.soc_pct)
    if "edgehybrid" in lines:
        trail, colour, _, _ = lines["edgehybrid"]
        panel.step(trail.at_s / 3600, trail.gauge_pct, color=colour, linewidth=0.9, linestyle=":", where="post")
    panel.set_ylim(0, 103)
    panel.set_yticks([0, 50, 100])


def _throttling(panel: Axes, picture: StudyPicture) -> None:
    throttle_c = load_device(picture.scenario.doc.device.profile).thermal.throttle_c
    if panel.get_ylim()[1] > throttle_c - 12:
        panel.axhline(throttle_c, color=_LIMIT, linewidth=1, linestyle="--")
        panel.annotate(
            f"the firmware throttles from {throttle_c:g} °C",
            (1, throttle_c),
            xycoords=("axes fraction", "data"),
            xytext=(-4, 3),
            textcoords="offset points",
            ha="right",
            fontsize=8,
            color=_LIMIT,
        )
        panel.set_ylim(top=max(panel.get_ylim()[1], throttle_c + 4))


def _points(panel: Axes, picture: StudyPicture, trail: Trail, whose: str) -> None:
    panel.set_title(f"Operating point of {whose}, best quality on top", loc="left", fontsize=9, color=_FAINT, pad=4)
    hours = np.append(trail.at_s, picture.scenario.duration_s) / 3600
    if len(trail.at_s) > 1:
        hours[-1] = min(hours[-1], hours[-2] + (hours[1] - hours[0]))
    last = max(len(picture.points) - 1, 1)
    for index in range(len(picture.points)):
        turns = np.flatnonzero(np.diff((trail.point == index).astype(np.int8), prepend=0, append=0))
        spans = [(hours[a], hours[b] - hours[a]) for a, b in zip(turns[::2], turns[1::2], strict=True)]
        colour = _PALETTE[round(index * (len(_PALETTE) - 1) / last)]
        panel.broken_barh(spans, (last - index - 0.34, 0.68), facecolors=colour, edgecolors="none")
    panel.set_yticks([last - i for i in range(len(picture.points))], list(picture.points))
    panel.set_ylim(-0.6, last + 0.6)


def _calm(panel: Axes, hours: float) -> None:
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
    panel.tick_params(length=0)
    panel.grid(axis="y", color=_GRID, linewidth=0.8)
    panel.set_axisbelow(True)
    panel.set_xlim(0, hours)


def _page(picture: StudyPicture, figure: Figure) -> str:
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata=_UNDATED)
    svg = drawn.getvalue()
    cells = ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in picture.rows]
    return _PAGE.format(
        title=html.escape(picture.scenario.doc.title or picture.scenario.name),
        head="".join(f"<th>{html.escape(name)}</th>" for name in picture.columns),
        rows="".join(f"<tr>{row}</tr>" for row in cells),
        words="".join(f"<li>{html.escape(line)}</li>" for line in picture.words),
        picture=svg[svg.index("<svg") :],
    )
