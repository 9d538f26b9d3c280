"""The picture of a market: its listeners, what campaigns buy where, budgets over time, and who told what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from envs.catalogue import PLACEMENTS, SEGMENTS, P, S

if TYPE_CHECKING:
    from envs.render import Viewer

WIDTH, HEIGHT = 1200, 800
NIGHT, PANEL, LINE, TEXT, FAINT = "#12141B", "#1B1F2A", "#323848", "#E8EAF0", "#8D94A8"
CAMPAIGN: Final = ("#4CC9F0", "#F9A03F", "#C08BF5", "#7BD88F")
ALARM, GOOD = "#EF476F", "#06D6A0"
HEALTH = LinearSegmentedColormap.from_list("health", [ALARM, "#FFD166", GOOD])
SENDER: Final = {
    "audience": "#FFD166",
    "creative": "#F28EC4",
    "bidding": "#4CC9F0",
    "monitor": ALARM,
    "orchestrator": GOOD,
}
CENTRES: Final = ((-1.15, 1.25), (1.15, 1.25), (-1.15, -1.3), (1.15, -1.3))
GOLDEN_ANGLE: Final = np.pi * (3.0 - np.sqrt(5.0))
TICKER_LINES: Final = 14


def draw(viewer: Viewer) -> NDArray[np.uint8]:
    """The picture as an array [H, W, 3]."""
    canvas = FigureCanvasAgg(_figure(viewer))
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba(), np.uint8)[..., :3].copy()  # type: ignore[no-untyped-call]


def write_png(viewer: Viewer, path: Path) -> None:
    """The picture as a file."""
    figure = _figure(viewer)
    FigureCanvasAgg(figure)
    figure.savefig(path, format="png", metadata={"Software": None}, facecolor=NIGHT)


def _figure(viewer: Viewer) -> Figure:
    figure = Figure(figsize=(WIDTH / 100, HEIGHT / 100), dpi=100, facecolor=NIGHT)
    _header(figure, viewer)
    _listeners(_panel(figure, (0.02, 0.455, 0.36, 0.445), "listeners"), viewer)
    width = 0.535 / viewer.market.num_campaigns
    for c in range(viewer.market.num_campaigns):
        _cells(figure.add_axes((0.46 + c * width, 0.495, width - 0.012, 0.345)), viewer, c)
    _pacing(
        _panel(
            figure,
            (0.045, 0.185, 0.335, 0.21),
            "share of the budget spent (above: alerts, and bids held back)",
        ),
        viewer,
    )
    _objective(_panel(figure, (0.045, 0.05, 0.335, 0.09), ""), viewer)
    _ticker(_panel(figure, (0.40, 0.05, 0.583, 0.345), "who told what (interval, sender, message)"), viewer)
    return figure


def _panel(figure: Figure, box: tuple[float, float, float, float], title: str) -> Any:
    axes = figure.add_axes(box, facecolor=PANEL)
    for spine in axes.spines.values():
        spine.set_color(LINE)
    axes.tick_params(colors=FAINT, labelsize=7, length=2)
    axes.set_title(title, color=FAINT, fontsize=9, loc="left", pad=5)
    return axes


def _header(figure: Figure, viewer: Viewer) -> None:
    market, b = viewer.market, viewer.index
    health = market.market_state.health[b].mean()
    where = f"{market.scenario.name} market {int(market.seeds[b])}"
    figure.text(0.02, 0.952, "Interlude", color=TEXT, fontsize=20, fontweight="bold")
    figure.text(0.165, 0.955, f"{where}  ·  {viewer.clock()}", color=FAINT, fontsize=10)
    for x, label, value in (
        (0.85, "listener health", f"{health:.0%}"),
        (0.983, "objective", f"{viewer.objective_usd:,.0f} USD"),
    ):
        style: dict[str, Any] = {"horizontalalignment": "right"}
        figure.text(x, 0.945, value, color=TEXT, fontsize=16, fontweight="bold", **style)
        figure.text(x, 0.974, label, color=FAINT, fontsize=8, **style)


def _listeners(axes: Any, viewer: Viewer) -> None:
    """One dot a listener: colour = health, size = ads heard this flight, ring = brand remembered best."""
    m, st, b = viewer.market.parameters, viewer.market.market_state, viewer.index
    segment, exposures = m.listener_segment[b], st.exposures[b].sum(0)
    recall = 1.0 - (1.0 - st.memory_slow[b]) * (1.0 - 0.35 * st.memory_fast[b])
    best = recall.argmax(0)
    known = recall.max(0) > 0.25
    for s, (name, centre) in enumerate(zip(SEGMENTS, CENTRES, strict=True)):
        who = np.flatnonzero(segment == s)
        order = np.arange(len(who)) + 0.5
        radius = np.sqrt(order / max(1, len(who)))
        x = centre[0] + radius * np.cos(GOLDEN_ANGLE * order)
        y = centre[1] + radius * np.sin(GOLDEN_ANGLE * order)
        room = 9000.0 / max(16, len(who))
        size = room * (0.10 + 0.90 * np.minimum(1.0, exposures[who] / 20.0))
        ring = [CAMPAIGN[k] if seen else "none" for k, seen in zip(best[who], known[who], strict=True)]
        axes.scatter(
            x,
            y,
            s=size,
            c=st.health[b, who],
            cmap=HEALTH,
            vmin=0.3,
            vmax=1.0,
            edgecolors=ring,
            linewidths=0.9,
        )
        well = st.health[b, who].mean() if len(who) else 1.0
        style = {"fontsize": 9, "horizontalalignment": "center"}
        axes.text(centre[0], centre[1] - 1.34, f"{name}  {well:.0%}", color=TEXT, **style)
    axes.set(xlim=(-2.35, 2.35), ylim=(-2.8, 2.4), xticks=[], yticks=[])
    legend = "listeners (colour: health, size: ads heard, ring: brand recalled)"
    axes.set_title(legend, color=FAINT, fontsize=9, loc="left", pad=5)


def _cells(axes: Any, viewer: Viewer, c: int) -> None:
    """The format on air, then spend and win rate by segment and placement in the last interval."""
    market, b, out = viewer.market, viewer.index, viewer.market.outcome
    spend, rate = np.zeros((S, P)), np.zeros((S, P))
    if out is not None:
        spend, rate = out.spend_usd[b, c], out.wins[b, c] / np.maximum(1.0, out.opportunities[b])
    top = 1.0 if out is None else max(1e-9, float(out.spend_usd[b].max()))
    tint = LinearSegmentedColormap.from_list("tint", [PANEL, CAMPAIGN[c]])
    shade = np.concatenate([np.zeros((S, 1)), np.sqrt(spend / top)], 1)
    axes.imshow(shade, cmap=tint, vmin=0.0, vmax=1.25, aspect="auto")
    style = {"fontsize": 8, "horizontalalignment": "center", "verticalalignment": "center"}
    for s, kind in enumerate(viewer.on_air()[c]):
        colour, weight = (CAMPAIGN[c], "bold") if kind == "video" else (FAINT, "normal")
        axes.text(0, s, kind, color=colour, fontweight=weight, **style)
        for p in range(P):
            bought = spend[s, p] > 0
            told = f"{spend[s, p]:.1f}\n{rate[s, p]:.0%}" if bought else "·"
            axes.text(p + 1, s, told, color=TEXT if bought else FAINT, **style)
    axes.set_yticks(range(S), SEGMENTS if c == 0 else [""] * S)
    axes.set_xticks(range(P + 1), ["on air", *(name.replace("_", "\n") for name in PLACEMENTS)])
    axes.tick_params(colors=FAINT, labelsize=8, length=0)
    axes.set_xticks(np.arange(P + 2) - 0.5, minor=True)
    axes.set_yticks(np.arange(S + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=NIGHT, linewidth=2.5)
    axes.tick_params(which="minor", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    budget = market.feed.budget_usd[b, c]
    left = market.market_state.budget_left_usd[b, c] / max(1e-9, budget)
    state = "paused, " if market.board.directive.pause[b, c] else ""
    money = f"{state}{left:.0%} of {budget:,.0f} USD left"
    over = {"transform": axes.transAxes}
    axes.text(
        0.01, 1.085, viewer.campaign_name(c), color=CAMPAIGN[c], fontsize=9.5, fontweight="bold", **over
    )
    axes.text(0.01, 1.03, money, color=FAINT, fontsize=8, **over)
    if c == 0:
        legend = "last interval: USD spent, share of opportunities won"
        axes.figure.text(0.40, 0.9085, legend, color=FAINT, fontsize=9)


def _time(axes: Any, viewer: Viewer) -> None:
    axes.set_xlim(0, viewer.market.scenario.intervals)
    day = viewer.market.scenario.intervals_per_day
    axes.set_xticks(range(0, viewer.market.scenario.intervals + 1, day))
    axes.grid(color=LINE, linewidth=0.5, alpha=0.6)
    axes.set_axisbelow(True)
    for _, start, end in viewer.incidents():
        axes.axvspan(start, end, color=ALARM, alpha=0.16, linewidth=0)


def _pacing(axes: Any, viewer: Viewer) -> None:
    """Spend over time against the even pace; incidents and the announced event."""
    intervals = viewer.market.scenario.intervals
    _time(axes, viewer)
    axes.plot([0, intervals], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (4, 4)))
    nothing = np.zeros(viewer.market.num_campaigns)
    spent = np.array([nothing, *(frame.spent_fraction for frame in viewer.frames)])
    for c in range(spent.shape[1]):
        axes.plot(spent[:, c], color=CAMPAIGN[c], linewidth=2)
        axes.plot([len(spent) - 1], [spent[-1, c]], "o", color=CAMPAIGN[c], markersize=5)
    event = int(viewer.market.parameters.event_interval[viewer.index])
    if event >= 0:
        axes.axvline(event, color="#FFD166", linewidth=1, linestyle=":")
        axes.text(event + 0.3, 0.03, "event", color="#FFD166", fontsize=7)
    for n, (what, start, _) in enumerate(viewer.incidents()):
        right = start > 0.6 * intervals
        x = intervals - 0.3 if right else start + 0.3
        side = "right" if right else "left"
        axes.text(x, 0.16 + 0.09 * n, what, color=ALARM, fontsize=7.5, horizontalalignment=side)
    _watchdog(axes, viewer)
    axes.set(ylim=(0, 1.16), yticks=(0, 0.5, 1), yticklabels=("0 %", "50 %", "100 %"))
    axes.tick_params(labelbottom=False)


def _watchdog(axes: Any, viewer: Viewer) -> None:
    """Above the curves, a line a campaign: dots where it was alerted, bars where its bids were held back.

    A bar of dashes: a creative was off air.
    """
    for t, frame in enumerate(viewer.frames):
        for c in range(viewer.market.num_campaigns):
            y = 1.13 - 0.04 * c
            if (frame.let[c] < 1.0).any():
                axes.plot([t, t + 1], [y, y], color=CAMPAIGN[c], linewidth=3, alpha=0.7)
            if frame.off_air[c].any():
                style: dict[str, Any] = {"linestyle": (0, (1, 1)), "linewidth": 2}
                axes.plot([t, t + 1], [y - 0.012, y - 0.012], color=CAMPAIGN[c], **style)
            if (frame.alert[c] > 0).any():
                axes.plot([t + 0.5], [y], "o", color=ALARM, markersize=3)


def _objective(axes: Any, viewer: Viewer) -> None:
    """Objective of each interval."""
    _time(axes, viewer)
    values = [frame.objective_usd for frame in viewer.frames]
    colours = [GOOD if value >= 0 else ALARM for value in values]
    axes.bar(np.arange(len(values)) + 0.5, values, width=0.8, color=colours, alpha=0.85)
    axes.set_title("objective by interval, USD", color=FAINT, fontsize=8, loc="left", pad=3)


def _ticker(axes: Any, viewer: Viewer) -> None:
    """The newest messages, newest last; colours say who speaks and about which campaign."""
    axes.set(xlim=(0, 1), ylim=(TICKER_LINES, 0), xticks=[], yticks=[])
    for line, (t, told) in enumerate(list(viewer.bulletins)[-TICKER_LINES:]):
        y = line + 0.55
        role = told.sender.rpartition("_")[0]
        style: dict[str, Any] = {"fontsize": 8.5, "verticalalignment": "center"}
        axes.text(0.012, y, f"{t:3d}", color=FAINT, **style)
        axes.text(0.05, y, told.sender, color=SENDER[role], fontweight="bold", **style)
        about = TEXT if told.campaign is None else CAMPAIGN[told.campaign]
        axes.text(0.215, y, told.text, color=about, **style)
