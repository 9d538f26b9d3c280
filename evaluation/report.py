"""A comparison as one self-contained HTML page: tables, and figures inside it."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from evaluation import table
from evaluation.compare import SILOED, Comparison, Standing
from evaluation.intervals import Interval
from evaluation.metrics import KPIS, PARTS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_CURVES: Final = 8
"""Teams whose flights are drawn; beyond that curves cannot be told apart."""
FLIGHT: Final = (
    ("share of the budget spent", "spend/budget_fraction", True),
    ("objective so far, USD", "market/objective_usd", True),
    ("recall lift", "response/recall_lift", False),
    ("listener health", "listeners/health", False),
    ("relevance of impressions", "listeners/relevance", False),
    ("completion rate", "response/completion_rate", False),
)
"""What is drawn over the flight: (title, KPI, whether summed up)."""
_PART_COLOURS: Final = {
    "market/completions_usd": "#4477aa",
    "market/conversions_usd": "#66ccee",
    "market/recall_usd": "#228833",
    "market/health_usd": "#ccbb44",
    "market/wasted_usd": "#ee6677",
}
_CURVES: Final = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#777777", "#000000")
"""Paul Tol's bright scheme: told apart by the colour-blind too."""
_LEARNED, _SCRIPTED, _PRIVILEGED = "#aa3377", "#4477aa", "#999999"

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #222; }
body { max-width: 84rem; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.lead { color: #666; margin-top: 0; }
.cards { display: flex; flex-wrap: wrap; gap: 1rem; }
.card { flex: 1 1 15rem; border: 1px solid #ddd; border-radius: .6rem; padding: .8rem 1.1rem; }
.card b { display: block; font-size: 1.45rem; } .card span { color: #666; font-size: .88rem; }
.good b { color: #1a7a37; } .bad b { color: #b3261e; } .open b { color: #666; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .86rem; }
th, td { padding: .32rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #eee; }
th { color: #666; font-weight: 600; } td:nth-child(-n+2), th:nth-child(-n+2) { text-align: left; }
tr.learned td { background: #faf2f7; } tr.privileged td { color: #888; }
td.words { white-space: normal; text-align: left; }
img { max-width: 100%; } ul { color: #555; font-size: .9rem; padding-left: 1.2rem; }
"""


def html_report(comparison: Comparison) -> str:
    """The page."""
    course = comparison.course
    title = f"{comparison.hero.entrant.name} and others on {course.scenario.name}"
    figures = (
        ("The objective, and what it gained", "Mean J, and lift over the baseline", standing_figure),
        ("What the objective is made of", "Parts of J by team", parts_figure),
        ("Over the flight", "KPIs by interval, mean over markets", flight_figure),
    )
    body = [
        f"<h1>{html.escape(title)}</h1>",
        f'<p class="lead">{course.num_markets} {html.escape(course.split)} markets, seed {course.seed}; '
        f"baseline {html.escape(comparison.baseline)}</p>",
        f"<h2>{html.escape(comparison.hero.entrant.name)} against the ad servers it is to replace</h2>",
        f'<div class="cards">{"".join(_card(found) for found in comparison.headlines)}</div>',
        "<h2>Teams, best first</h2>",
        _table(table.header(comparison), comparison.standings, comparison),
        f"<h2>{html.escape(comparison.hero.entrant.name)} over each other team</h2>",
        _rows(("team", *table.AGAINST), table.lifts_of_hero(comparison)),
        *(
            f'<h2>{heading}</h2><img alt="{alt}" src="data:image/png;base64,{_png(draw(comparison))}">'
            for heading, alt, draw in figures
        ),
        "<h2>What the figures stand on</h2>",
        f"<ul>{''.join(f'<li>{html.escape(note)}</li>' for note in table.footnotes(comparison))}</ul>",
        "<h2>Every KPI</h2>",
        _kpi_table(comparison),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def standing_figure(comparison: Comparison) -> Figure:
    """J by team with its interval, and its lift over the baseline with the paired one."""
    standings = comparison.standings[::-1]
    figure = _figure(11.0, 1.1 + 0.42 * len(standings))
    left, right = figure.subplots(1, 2, sharey=True)
    for y, standing in enumerate(standings):
        colour = _colour(standing)
        _whisker(left, standing.objective, y, colour, 1.0)
        lift = standing.lift.get(comparison.baseline)
        if lift is None:
            right.plot(0.0, y, "D", color=colour)
        elif np.isfinite(lift.estimate):
            _whisker(right, lift, y, colour, 100.0)
    left.set_yticks(range(len(standings)), [standing.entrant.name for standing in standings])
    left.set_xlabel("J, USD a market [95 %, over markets]")
    right.set_xlabel(f"lift of J over {comparison.baseline}, % [95 %, paired over markets]")
    right.axvline(0.0, color="0.6", linewidth=0.8, zorder=0)
    return figure


def parts_figure(comparison: Comparison) -> Figure:
    """The parts of J, stacked: gains to the right of 0, losses and waste to its left."""
    standings = comparison.standings[::-1]
    figure = _figure(11.0, 1.5 + 0.42 * len(standings))
    axes = figure.subplots()
    for y, standing in enumerate(standings):
        right = left = 0.0
        for tag in PARTS:
            value = standing.mean(tag) * (-1.0 if tag == "market/wasted_usd" else 1.0)
            start = right if value >= 0 else left
            label = tag.removeprefix("market/").removesuffix("_usd") if y == 0 else None
            axes.barh(y, value, 0.62, left=start, color=_PART_COLOURS[tag], label=label)
            right, left = right + max(0.0, value), left + min(0.0, value)
        label = "J" if y == 0 else None
        axes.plot(standing.objective.estimate, y, "D", color="black", markersize=4, label=label)
    axes.set_yticks(range(len(standings)), [standing.entrant.name for standing in standings])
    axes.axvline(0.0, color="0.4", linewidth=0.8)
    axes.set_xlabel("USD a market")
    axes.legend(frameon=False, ncols=len(PARTS) + 1, loc="upper center", bbox_to_anchor=(0.5, -0.22))
    return figure


def flight_figure(comparison: Comparison) -> Figure:
    """How KPIs go over the flight, one curve a team."""
    shown = _shown(comparison)
    figure = _figure(11.0, 8.4)
    grid: Any = figure.subplots(3, 2, sharex=True)
    for axes, (title, tag, summed) in zip(grid.flat, FLIGHT, strict=True):
        for standing, colour in zip(shown, _CURVES, strict=False):
            values = standing.result.series[tag]
            learned = standing.entrant.learned
            axes.plot(
                np.arange(1, len(values) + 1),
                np.cumsum(values) if summed else values,
                color=colour,
                linewidth=2.4 if learned else 1.3,
                linestyle="--" if standing.entrant.knowledge == "privileged" else "-",
                label=standing.entrant.name,
            )
        axes.set_title(title, fontsize=10, loc="left")
    for axes in grid[-1]:
        axes.set_xlabel("interval of the flight")
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, ncols=4, loc="outside lower center")
    return figure


def _shown(comparison: Comparison) -> Sequence[Standing]:
    """Teams drawn over the flight: the leading team, baseline and siloed for sure, then the best."""
    first = [comparison.hero.entrant.name, comparison.baseline]
    first += [s.entrant.name for s in comparison.standings if s.entrant.argument == SILOED]
    names = dict.fromkeys([*first, *(s.entrant.name for s in comparison.standings)])
    chosen = list(names)[:MAX_CURVES]
    return [standing for standing in comparison.standings if standing.entrant.name in chosen]


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _whisker(axes: Any, interval: Interval, y: float, colour: str, scale: float) -> None:
    axes.plot([scale * interval.low, scale * interval.high], [y, y], color=colour, linewidth=2.0)
    axes.plot(scale * interval.estimate, y, "o", color=colour)


def _colour(standing: Standing) -> str:
    if standing.entrant.learned:
        return _LEARNED
    return _PRIVILEGED if standing.entrant.knowledge == "privileged" else _SCRIPTED


def _png(figure: Figure) -> str:
    """The figure as base64 of a PNG."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", color="0.92")
        axes.set_axisbelow(True)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    return base64.b64encode(image.getvalue()).decode("ascii")


def _card(found: Any) -> str:
    look = {"as wanted": "good", "the wrong way": "bad"}.get(found.verdict, "open")
    result, lift = f"{found.result} over {found.over}", table.percent(found.lift)
    said = f"{found.over_value:.4g} to {found.value:.4g} ({KPIS[found.tag].unit}); {found.verdict}"
    return (
        f'<div class="card {look}">{html.escape(result)}<b>{html.escape(lift)}</b>'
        f"<span>{html.escape(said)}</span></div>"
    )


def _rows(columns: Sequence[str], rows: Sequence[Sequence[str]], looks: Sequence[str] | None = None) -> str:
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = "".join(
        f'<tr class="{look}">' + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"
        for cells, look in zip(rows, looks or [""] * len(rows), strict=True)
    )
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def _table(columns: Sequence[str], standings: Sequence[Standing], comparison: Comparison) -> str:
    looks = ["learned" if s.entrant.learned else s.entrant.knowledge for s in standings]
    return _rows(columns, [table.row(comparison, standing) for standing in standings], looks)


def _kpi_table(comparison: Comparison) -> str:
    columns = ("KPI", "unit, formula", *(standing.entrant.name for standing in comparison.standings))
    rows = [
        (tag, f"{kpi.unit}: {kpi.formula}", *(f"{s.mean(tag):,.4g}" for s in comparison.standings))
        for tag, kpi in KPIS.items()
    ]
    return _rows(columns, rows)
