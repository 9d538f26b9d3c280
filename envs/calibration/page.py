"""The calibration, shown: a text table, `docs/calibration.md`, an HTML page, the picture of the main rows.

`python -m envs.calibration.page docs` writes `calibration.md` and `calibration.png` into the folder.
"""

from __future__ import annotations

import base64
import html
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from envs.calibration.findings import Curve
from envs.calibration.prices import EXCHANGE, PROBABILITY
from envs.calibration.rows import NOT_EXPRESSED
from envs.calibration.simulate import EXPERIMENTS, Comparison, compare_all
from envs.output import format_table, write_bytes_atomically, write_text_atomically
from envs.price_landscape import IPINYOU_PRICE_QUANTILES_BY_EXCHANGE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NOTE: Final = "<!-- written by `python -m envs.calibration.page docs`: change the code, not this file -->\n"
ABOUT: Final = (
    "Every fact about real listeners and ad markets that the market can express, simulated with the kernels "
    "that training plays and compared with its source. The clock is the field's own (`time_acceleration` 1), "
    "except where flights of the default scenario are played. A row holds when the simulated figure lies in "
    "the interval."
)
HEADER: Final = (
    "quantity",
    "source's figure",
    "interval",
    "simulated",
    "verdict",
    "source",
    "how it is taken",
)
_SOURCE: Final[dict[str, Any]] = {
    "color": "black",
    "marker": "o",
    "linestyle": "none",
    "markersize": 5.0,
    "label": "source",
}
_COLOURS: Final = ("tab:blue", "tab:orange", "tab:green", "tab:purple")


def amount(value: float, unit: str) -> str:
    """A figure with its unit, three digits."""
    if unit == "fraction":
        return f"{_digits(100.0 * value)} %"
    return f"{_digits(value)} {unit}".rstrip()


def _digits(value: float) -> str:
    """Three significant digits; an exact zero and what rounding makes one are 0."""
    return f"{value:,.0f}" if abs(value) >= 1000.0 else f"{float(f'{value:.3g}'):g}"


def cells(comparison: Comparison) -> tuple[str, ...]:
    """A comparison as the columns of `HEADER`."""
    row = comparison.row
    interval = f"{amount(row.low, row.unit)} to {amount(row.high, row.unit)}"
    verdict = "holds" if comparison.holds else "FALLS SHORT"
    simulated = amount(comparison.simulated, row.unit)
    return (row.quantity, row.target, interval, simulated, verdict, row.source, row.judged)


def verdict(comparisons: Sequence[Comparison]) -> str:
    """One sentence; every row that falls short is named with its figure."""
    short = [c for c in comparisons if not c.holds]
    said = f"{len(comparisons) - len(short)} of {len(comparisons)} rows hold."
    if short:
        named = (
            f"{c.row.quantity} ({amount(c.simulated, c.row.unit)}; source: {c.row.target})" for c in short
        )
        said += " These fall short: " + "; ".join(named) + "."
    return said


def text(comparisons: Sequence[Comparison]) -> str:
    """For a terminal."""
    picked = [(key, *cell[:5]) for key, cell in ((c.row.key, cells(c)) for c in comparisons)]
    return f"{format_table(('row', *HEADER[:5]), picked)}\n\n{verdict(comparisons)}"


def markdown(comparisons: Sequence[Comparison]) -> str:
    """`docs/calibration.md`."""
    rows = [HEADER, ("---",) * len(HEADER), *(cells(c) for c in comparisons)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    missing = "\n".join(f"| {what} | {why} |" for what, why in NOT_EXPRESSED.items())
    return (
        f"{NOTE}\n# Calibration\n\n{ABOUT}\n\n**{verdict(comparisons)}**\n\n{table}\n\n"
        f"## Not expressed\n\n| fact | why the market has none |\n| --- | --- |\n{missing}\n"
    )


def page(comparisons: Sequence[Comparison], drawing: bytes) -> str:
    """One HTML page, with the picture, a PNG, inside it."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in HEADER)
    body = []
    for comparison in comparisons:
        colour = "" if comparison.holds else ' style="background: #fbe3e4"'
        columns = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells(comparison))
        body.append(f"<tr{colour}>{columns}</tr>")
    missing = "".join(
        f"<tr><td>{html.escape(what)}</td><td>{html.escape(why)}</td></tr>"
        for what, why in NOT_EXPRESSED.items()
    )
    encoded = base64.b64encode(drawing).decode("ascii")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<title>Calibration of the market</title>"
        "<style>table {border-collapse: collapse} td, th {padding: .2em .6em; text-align: left; "
        "border-bottom: 1px solid #ccc; vertical-align: top}</style></head>\n"
        '<body style="font-family: sans-serif; max-width: 90em; margin: 2em auto">\n'
        f"<h1>Calibration of the market</h1>\n<p>{html.escape(ABOUT)}</p>\n"
        f"<p><strong>{html.escape(verdict(comparisons))}</strong></p>\n"
        '<img alt="Simulated curves and the points their sources give" style="max-width: 100%" '
        f'src="data:image/png;base64,{encoded}">\n'
        f"<table><thead><tr>{head}</tr></thead><tbody>\n" + "\n".join(body) + "\n</tbody></table>\n"
        f"<h2>Not expressed</h2>\n<table><tbody>{missing}</tbody></table>\n</body></html>\n"
    )


def _show(axes: Axes, title: str, xlabel: str, curves: dict[str, Curve], points: Curve | None = None) -> None:
    for (name, (x, y)), colour in zip(curves.items(), _COLOURS, strict=False):
        axes.plot(x, y, color=colour, label=name)
    if points is not None:
        axes.plot(*points, **_SOURCE)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(xlabel, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def picture() -> bytes:
    """PNG: simulated curves of the main rows, with the points that their sources give."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15.0, 7.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 4)
    of = {name: experiment().curves for name, experiment in EXPERIMENTS.items()}

    loads, listened = of["ad_load"]["load"]
    there = listened.mean() - 0.02 * (loads - loads.mean())
    _show(panels[0, 0], "Listening after three years", "ads an hour", {"": (loads, listened)}, (loads, there))
    panels[0, 0].set_ylabel("share of usual", fontsize=9)

    months = np.array([1.0, 12.0])
    lag = {"": tuple(part[:500] for part in of["ad_load"]["lag"])}
    _show(panels[0, 1], "Share of that effect", "months", lag, (months, np.array([0.33, 0.99])))  # type: ignore[arg-type]

    left = {"recall": of["memory"]["recall"], "annoyance": of["memory"]["annoyance"]}
    points = np.array([1 / 72, 1.0, 7.0]), np.array([0.77, 0.62, 0.52])
    _show(panels[0, 2], "Left of what one exposure brought", "days", left, points)

    frequency = of["frequency"]
    shown = {name: frequency[name] for name in frequency}
    dentsu = np.array([8.0]), np.array([0.41])
    _show(panels[0, 3], "Recall and attitude by frequency", "exposures", shown, dentsu)

    _show(panels[1, 0], "Listening by hour, 1 = average", "hour", of["day"])

    for axes, group, title in (
        (panels[1, 1], "price", "Prices as resampled"),
        (panels[1, 2], "sold", "Prices with rivals, hours, quality"),
    ):
        _show(axes, title, "CNY fen CPM" if group == "price" else "the same, by the median", of[group])
        for exchange in EXCHANGE:
            known = np.array(IPINYOU_PRICE_QUANTILES_BY_EXCHANGE[exchange])
            axes.plot(known, PROBABILITY, **_SOURCE | {"label": None})
        axes.plot([], [], **_SOURCE)
        axes.set_xlim(0.0, 300.0)

    hours = np.array([1.0, 24.0]), np.array([0.35, 0.50])
    _show(panels[1, 3], "Conversions reported", "hours since the impression", of["delay"], hours)
    panels[1, 3].set_xscale("log")

    for axes in panels.flat:
        if axes.get_legend_handles_labels()[1]:
            axes.legend(frameon=False, fontsize=8)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=100)
    return image.getvalue()


def main(arguments: list[str]) -> int:
    """Writes table and picture into the folder named."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        print("usage: python -m envs.calibration.page FOLDER (an existing one)", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    write_text_atomically(folder / "calibration.md", markdown(compare_all()))
    write_bytes_atomically(folder / "calibration.png", picture())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
