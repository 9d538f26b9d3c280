"""Figures of credit: against the truth cell by cell, its calibration, and the paths that it was made of."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from envs.journeys.settings import CELL_NAMES, ELIGIBLE_CELLS, OWN_CELLS
from evaluation.attribution.credited import LEAST_TOUCHES, STEPS, Credited, Path, scored_cells, shares
from evaluation.report_figures import WIDTH
from evaluation.report_style import GOOD, OTHERS, PRIVILEGED, canvas, faint

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS: Final = {name: PRIVILEGED for name in CELL_NAMES} | {
    CELL_NAMES[cell]: OTHERS[n] for n, cell in enumerate(ELIGIBLE_CELLS)
}
_END_COLOURS: Final = {"converted": GOOD, "not yet": PRIVILEGED}
_BINS: Final = 6
_GAP: Final = 0.02


def credit_figure(credited: Credited) -> Figure:
    """Credited against true share of every cell of every campaign, and what a touch brings, calibrated."""
    figure = canvas(WIDTH, 4.4)
    left, right = figure.subplots(1, 2)
    draw_shares(left, credited)
    draw_calibration(right, credited)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def sankey_figure(credited: Credited) -> Figure:
    """The last steps of journeys and how they ended."""
    figure = canvas(WIDTH, 4.8)
    draw_sankey(figure.subplots(), credited.paths)
    return figure


def draw_shares(axes: Any, credited: Credited) -> None:
    """A point a cell and campaign; the dashed line is credit that is right."""
    seen: set[str] = set()
    for b, c in np.ndindex(credited.truth.shape[:2]):
        cells = scored_cells(credited.touches[b, c])
        true, said = shares(credited.truth[b, c, cells]), shares(credited.credit[b, c, cells])
        for cell, x, y in zip(cells, true, said, strict=True):
            name = CELL_NAMES[cell]
            label = None if name in seen else name.replace("_", " ")
            seen.add(name)
            axes.plot(x, y, "o", color=_COLOURS[name], markersize=5, alpha=0.75, label=label)
    axes.axline((0.0, 0.0), slope=1.0, color=faint(), linewidth=0.9, linestyle=(0, (4, 3)))
    axes.set(
        xlabel="true share (Shapley of the counterfactuals)", ylabel=f"share credited by {credited.model}"
    )


def draw_calibration(axes: Any, credited: Credited) -> None:
    """Tenths of cells by what a thousand touches are credited with, against what they truly brought."""
    own = credited.touches[..., :OWN_CELLS]
    known = own >= LEAST_TOUCHES
    per = 1000.0 / np.where(known, own, 1.0)
    said = (credited.credit[..., :OWN_CELLS] * per)[known]
    true = (credited.truth[..., :OWN_CELLS] * per)[known]
    error = (credited.deviation[..., :OWN_CELLS] * per)[known]
    axes.errorbar(said, true, xerr=error, fmt="o", color=faint(), markersize=3, alpha=0.45, elinewidth=0.7)
    order = np.argsort(said)  # of no cell, where none was met often enough
    parts = [part for part in np.array_split(order, _BINS) if len(part)]
    middle = [(said[part].mean(), true[part].mean()) for part in parts]
    axes.plot(*np.reshape(middle, (-1, 2)).T, "o-", color=OTHERS[0], markersize=6)
    axes.axline((0.0, 0.0), slope=1.0, color=faint(), linewidth=0.9, linestyle=(0, (4, 3)))
    axes.set(xlabel="credited, conversions per 1 000 touches", ylabel="true, conversions per 1 000 touches")


def draw_sankey(axes: Any, paths: Mapping[Path, int]) -> None:
    """Flows between the last steps of journeys, aligned at their ends; widths are numbers of journeys."""
    columns: list[dict[str, float]] = [{} for _ in range(STEPS + 1)]
    flows: dict[tuple[int, str, str], float] = {}
    total = float(sum(paths.values())) or 1.0
    for path, count in paths.items():
        first = STEPS + 1 - len(path)
        for step, name in enumerate(path):
            columns[first + step][name] = columns[first + step].get(name, 0.0) + count / total
        for step, pair in enumerate(pairwise(path)):
            key = (first + step, *pair)
            flows[key] = flows.get(key, 0.0) + count / total
    places = [_stacked(column) for column in columns]
    out = [{name: bottom for name, (bottom, _) in column.items()} for column in places]
    into = [dict(column) for column in out]
    for (x, a, b), width in sorted(
        flows.items(),
        key=lambda flow: (
            flow[0][0],
            places[flow[0][0]][flow[0][1]][0],
            places[flow[0][0] + 1][flow[0][2]][0],
        ),
    ):
        _ribbon(axes, x, out[x][a], x + 1, into[x + 1][b], width, _colour(a))
        out[x][a] += width
        into[x + 1][b] += width
    for x, column in enumerate(places):
        for name, (bottom, height) in column.items():
            axes.bar(x, height, 0.06, bottom, color=_colour(name))
            if height > 0.025:
                last = x == STEPS
                axes.text(
                    x + (0.05 if last else -0.05), bottom + height / 2.0, name.replace("_", " "),
                    ha="left" if last else "right", va="center", fontsize=8,
                )  # fmt: skip
    names = [*(f"{STEPS - n} before the end" if STEPS - n > 1 else "last touch" for n in range(STEPS)), "end"]
    axes.set_xticks(range(STEPS + 1), names)
    axes.set(xlim=(-0.75, STEPS + 0.45), yticks=[])
    axes.grid(visible=False)


def _stacked(column: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Bottom and height of every node, the largest below."""
    bottom, places = 0.0, {}
    for name, height in sorted(column.items(), key=lambda node: -node[1]):
        places[name] = (bottom, height)
        bottom += height + _GAP
    return places


def _ribbon(axes: Any, x: float, y: float, x1: float, y1: float, width: float, colour: str) -> None:
    """A band from one node to another."""
    t = np.linspace(0.0, 1.0, 25)
    ease = t * t * (3.0 - 2.0 * t)
    lower = y + (y1 - y) * ease
    across = x + 0.03 + (x1 - x - 0.06) * t
    axes.fill_between(across, lower, lower + width, color=colour, alpha=0.35, linewidth=0)


def _colour(name: str) -> str:
    return _END_COLOURS.get(name) or _COLOURS[name]
