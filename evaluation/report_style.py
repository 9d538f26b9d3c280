"""How reports look: the colours of pages and figures, light and dark, and figures as images inside a page.

A figure is drawn once, in stand-in colours; in the SVG these become variables that follow the reader's
colour scheme, so that one image is readable on white and on black. No script, nothing loaded from outside.
"""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ACCENT: Final = "#d6409f"
"""The team that a report is about."""
OTHERS: Final = ("#3b82f6", "#f08c2e", "#16a77b", "#8b5cf6", "#d1a106", "#0ea5b7", "#b4694e")
"""Of middling lightness: readable on white and on black."""
PRIVILEGED: Final = "#8a92a3"
GOOD, BAD, EVENT = "#1f9d55", "#e5484d", "#d1a106"
CAMPAIGNS: Final = ("#3b82f6", "#f08c2e", "#8b5cf6", "#16a77b")
FORMAT_COLOURS: Final = ("#3b82f6", "#f08c2e", "#16a77b")
"""Audio, video, display."""

_PAPER: Final = {"ink": "#1b1f2a", "faint": "#5d6577", "line": "#dfe3ea"}
_NIGHT: Final = {"ink": "#e8eaf0", "faint": "#9aa3b5", "line": "#323848"}
_STAND_INS: Final = {"ink": "#010101", "faint": "#020202", "line": "#030303"}
_INCH = 96
"""CSS pixels."""

Draw = Callable[[], "Figure"]

CSS: Final = """
:root { color-scheme: light dark; --paper: #f6f7fa; --panel: #fff; --ink: #1b1f2a; --faint: #5d6577;
  --line: #dfe3ea; --accent: #b32681; --soft: #fbf0f7; --good: #157a40; --bad: #c22b30; }
@media (prefers-color-scheme: dark) { :root { --paper: #12141b; --panel: #1b1f2a; --ink: #e8eaf0;
  --faint: #9aa3b5; --line: #323848; --accent: #f07cc4; --soft: #2b2130; --good: #4fce8a; --bad: #ff7b7f; } }
* { box-sizing: border-box; }
body { font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  color: var(--ink); background: var(--paper); max-width: 78rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem; letter-spacing: -.01em; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .2rem; }
h3 { font-size: .95rem; margin: 1.6rem 0 .5rem; color: var(--faint); font-weight: 600; }
p.how { color: var(--faint); margin: 0 0 .9rem; max-width: 62rem; }
.brand { color: var(--accent); font-weight: 700; letter-spacing: .08em; font-size: .8rem;
  text-transform: uppercase; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(16rem, 1fr)); gap: 1rem; }
.card, .panel { background: var(--panel); border: 1px solid var(--line); border-radius: .8rem; }
.card { padding: 1rem 1.2rem; } .panel { padding: 1rem; overflow-x: auto; }
.panel + .panel, details .panel { margin-top: 1rem; }
.card .name { color: var(--faint); font-size: .88rem; } .card b { font-size: 2.1rem; line-height: 1.25; }
.card .said { font-size: .88rem; color: var(--faint); }
.good b, .good .verdict { color: var(--good); } .bad b, .bad .verdict { color: var(--bad); }
.open b, .open .verdict { color: var(--faint); } .verdict { font-weight: 600; }
.bar { display: block; width: 100%; height: 1rem; margin: .35rem 0; color: var(--faint); }
.good .bar { color: var(--good); } .bad .bar { color: var(--bad); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .85rem; width: 100%; }
th, td { padding: .38rem .6rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th { color: var(--faint); font-weight: 600; vertical-align: bottom; white-space: normal; }
tr:last-child td { border-bottom: 0; }
th:first-child, td:first-child { text-align: left; }
.two td, .two th { padding: .38rem .34rem; font-size: .81rem; }
.two th:nth-child(2), .two td:nth-child(2) { text-align: left; white-space: normal; min-width: 6rem; }
tr.hero td { background: var(--soft); font-weight: 600; } tr.privileged td { color: var(--faint); }
.words td { text-align: left; white-space: normal; } .words th { text-align: left; }
img { display: block; width: 100%; min-width: 46rem; height: auto; }
small { display: block; color: var(--faint); font-weight: 400; white-space: normal; max-width: 22rem; }
ul { color: var(--faint); font-size: .9rem; padding-left: 1.2rem; } li { margin: .25rem 0; }
details { margin-top: .8rem; } summary { cursor: pointer; color: var(--faint); }
.warning { color: var(--bad); font-weight: 600; }
"""


def page(title: str, body: str) -> str:
    """A whole page that needs nothing but itself; `body` is markup, `title` is text."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        # the empty icon keeps browsers from asking for one
        f'<link rel="icon" href="data:,"><title>{html.escape(title)}</title><style>{CSS}</style></head>\n'
        f"<body>\n{body}\n</body></html>\n"
    )


def image(draw: Draw, alt: str) -> str:
    """A figure as an image of the page, in both colour schemes; `alt` says in words what it shows."""
    from matplotlib import rc_context

    out = io.StringIO()
    with rc_context(_settings(_STAND_INS)):
        figure = draw()
        width, height = (round(_INCH * inches) for inches in figure.get_size_inches())
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None}, dpi=120)
    svg = out.getvalue()
    for name, colour in _STAND_INS.items():
        svg = svg.replace(colour, f"var(--{name})")
    svg = re.sub(r"(<svg [^>]*>)", lambda found: found[1] + _SCHEME, svg, count=1)
    data = base64.b64encode(svg.encode()).decode("ascii")
    return (
        f'<img width="{width}" height="{height}" alt="{html.escape(alt)}" '
        f'src="data:image/svg+xml;base64,{data}">'
    )


def png(draw: Draw, dpi: int = 90) -> bytes:
    """A figure as PNG on white, for what cannot show SVG."""
    from matplotlib import rc_context

    out = io.BytesIO()
    with rc_context(_settings(_PAPER)):
        draw().savefig(out, format="png", dpi=dpi, facecolor="white")
    return out.getvalue()


def canvas(width: float, height: float) -> Figure:
    """An empty figure, in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def faint() -> str:
    """The colour of what stands back, in the style being drawn."""
    from matplotlib import rcParams

    return str(rcParams["axes.labelcolor"])


def _variables(colours: dict[str, str]) -> str:
    return ";".join(f"--{name}:{colour}" for name, colour in colours.items())


_SCHEME: Final = (
    f"<style>:root{{{_variables(_PAPER)}}}"
    f"@media(prefers-color-scheme:dark){{:root{{{_variables(_NIGHT)}}}}}</style>"
)


def _settings(colours: dict[str, str]) -> Any:
    """Of matplotlib."""
    return {
        "font.size": 9.5,
        "text.color": colours["ink"],
        "axes.edgecolor": colours["line"],
        "axes.labelcolor": colours["faint"],
        "axes.titlecolor": colours["ink"],
        "axes.titlelocation": "left",
        "axes.titlesize": 10.5,
        "axes.titleweight": "bold",
        "axes.facecolor": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": colours["line"],
        "grid.linewidth": 0.7,
        "xtick.color": colours["line"],
        "ytick.color": colours["line"],
        "xtick.labelcolor": colours["faint"],
        "ytick.labelcolor": colours["ink"],
        "figure.facecolor": "none",
        "savefig.facecolor": "none",
        "legend.frameon": False,
        "svg.fonttype": "path",
        "svg.hashsalt": "interlude",
    }
