"""Figures of flights that were watched: bids against prices, where money goes, messages, creatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from envs.catalogue import ALERT_KINDS, FORMATS, PLACEMENTS, SEGMENTS, P, S
from envs.observation import ROLES
from envs.state import Float, Int
from evaluation.replay import Replay, Story
from evaluation.report_figures import WIDTH, days
from evaluation.report_style import BAD, CAMPAIGNS, FORMAT_COLOURS, GOOD, canvas, faint

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MULTIPLIERS: Final = np.geomspace(0.25, 4.0, 41)
_BINS: Final = 70
_GROUPS: Final = 28
"""Stretches of a flight over which a creative mix is taken."""
_LANES: Final = ROLES[::-1]


def price_figure(replays: Sequence[Replay], colours: dict[str, str], impression_weight: float) -> Figure:
    """Bids against prices to beat, one panel a team, then what any multiple of the bids would have won."""
    from matplotlib.colors import LinearSegmentedColormap

    figure = canvas(WIDTH, 4.1)
    panels: Any = figure.subplots(1, len(replays) + 1)
    every = np.concatenate([_cpm(replay, impression_weight).ravel() for replay in replays])
    low, high = np.percentile(every[every > 0.0], (0.5, 99.5)) if (every > 0.0).any() else (0.1, 10.0)
    edges = np.geomspace(low, max(high, 1.01 * low), _BINS + 1)
    for n, (axes, replay) in enumerate(zip(panels[:-1], replays, strict=True)):
        bid, price = _cpm(replay, impression_weight)
        density = np.histogram2d(price, bid, (edges, edges))[0].T
        tint = LinearSegmentedColormap.from_list("tint", [colours[replay.team] + "00", colours[replay.team]])
        axes.pcolormesh(edges, edges, np.sqrt(density), cmap=tint, rasterized=True)
        axes.plot(edges[[0, -1]], edges[[0, -1]], color=faint(), linewidth=0.9, linestyle=(0, (4, 3)))
        axes.set(xscale="log", yscale="log", xlabel="price to beat, USD CPM")
        axes.set_title(replay.team)
        _plain_logarithm(axes, edges)
        said = {"transform": axes.transAxes, "color": faint(), "fontsize": 8.5}
        axes.text(0.04, 0.95, f"won {replay.bids.won.mean():.0%} of bids", va="top", **said)
        if n == 0:
            axes.set_ylabel("bid, USD CPM")
        else:
            axes.tick_params(labelleft=False)
    for replay in replays:
        share = 100 * won_by_multiplier(replay)
        panels[-1].plot(MULTIPLIERS, share, color=colours[replay.team], linewidth=2, label=replay.team)
    panels[-1].axvline(1.0, color=faint(), linewidth=0.9, linestyle=(0, (4, 3)))
    panels[-1].set(xscale="log", ylim=(0, None), xlim=(MULTIPLIERS[[0, -1]]), xlabel="all bids times")
    panels[-1].set_xticks([0.25, 0.5, 1, 2, 4], ["¼", "½", "1", "2", "4"])
    panels[-1].minorticks_off()
    panels[-1].set_title("bids that would win, %")
    return figure


def won_by_multiplier(replay: Replay) -> Float:
    """[M] share of bids above the price to beat if all were multiplied, other bids and budgets left alone."""
    bid, price = replay.bids.bid_usd, replay.bids.price_to_beat_usd
    if not len(bid):
        return np.zeros(len(MULTIPLIERS))
    with np.errstate(divide="ignore", invalid="ignore"):
        needed = np.where(bid > 0.0, price / bid, np.inf)
    needed = np.sort(needed[np.isfinite(needed)])
    return np.searchsorted(needed, MULTIPLIERS, side="left") / len(bid)


def cells_figure(replays: Sequence[Replay], colours: dict[str, str]) -> Figure:
    """Where each team's money goes, by segment and placement, at which share of opportunities won."""
    from matplotlib.colors import LinearSegmentedColormap

    figure = canvas(WIDTH, 2.9)
    panels: Any = figure.subplots(1, len(replays), squeeze=False)[0]
    top = max(1e-9, *(float(replay.cell_spend_usd.max()) for replay in replays))
    for n, (axes, replay) in enumerate(zip(panels, replays, strict=True)):
        spend = replay.cell_spend_usd
        rate = replay.cell_wins / np.maximum(1.0, replay.cell_opportunities)
        tint = LinearSegmentedColormap.from_list("tint", [colours[replay.team] + "0a", colours[replay.team]])
        axes.imshow(np.sqrt(spend / top), cmap=tint, vmin=0.0, vmax=1.4, aspect="auto")
        for s in range(S):
            for p in range(P):
                told = f"{spend[s, p]:,.0f} USD\n{rate[s, p]:.0%} won" if spend[s, p] > 0 else "–"
                axes.text(p, s, told, fontsize=8.5, ha="center", va="center")
        axes.set_title(replay.team)
        axes.set_xticks(range(P), [name.replace("_", " ") for name in PLACEMENTS])
        axes.set_yticks(range(S), SEGMENTS if n == 0 else [""] * S)
        axes.tick_params(length=0)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
    return figure


def timeline_figure(story: Story, intervals_per_day: int) -> Figure:
    """A flight: money against plan, KPIs, alerts and bids held back, worth, messages; incidents in red."""
    intervals = len(story.objective_usd)
    figure = canvas(WIDTH, 11.0)
    heights = (3.2, 1.4, 1.4, 1.6, 1.4, 3.0)
    panels: Any = figure.subplots(6, 1, sharex=True, height_ratios=heights)
    spend, completed, clicked, watchdog, worth, lanes = panels
    spend.plot(
        [0, intervals], [0, 100], color=faint(), linestyle=(0, (4, 3)), linewidth=1, label="plan: even"
    )
    for c, name in enumerate(story.names):
        spent = 100 * np.concatenate([[0.0], story.spent_fraction[:, c]])
        spend.plot(spent, color=CAMPAIGNS[c], linewidth=2, label=name)
    spend.set_title("share of each campaign's budget spent, %")
    spend.set_ylim(0, 126)  # room for the names of incidents
    spend.set_yticks(range(0, 101, 20))
    for axes, rate, title in (
        (completed, 100 * story.completion_rate, "completion rate as tracked, %"),
        (clicked, 1000 * story.click_rate, "clicks per 1000 impressions as tracked"),
    ):
        for c in range(len(story.names)):
            axes.plot(np.arange(intervals) + 0.5, rate[:, c], color=CAMPAIGNS[c], linewidth=1.5)
        axes.set_title(title)
    _alerts(watchdog, story)
    colours = [GOOD if value >= 0 else BAD for value in story.objective_usd]
    worth.bar(np.arange(intervals) + 0.5, story.objective_usd, 0.85, color=colours)
    worth.set_title("objective of each interval, USD")
    for t, told in story.messages:
        lane = _LANES.index(told.sender.rpartition("_")[0])
        offset = 0.0 if told.campaign is None else 0.18 * (1.5 - told.campaign)
        colour = faint() if told.campaign is None else CAMPAIGNS[told.campaign]
        lanes.plot(t, lane + offset, "o", color=colour, markersize=4.5, markeredgewidth=0, clip_on=False)
    lanes.set_yticks(range(len(_LANES)), _LANES)
    lanes.set_ylim(-0.6, len(_LANES) - 0.4)
    lanes.set_title("messages that said something new, by sender and the campaign they are about")
    for axes in panels:
        days(axes, intervals, intervals_per_day)
        for _, start, end in story.incidents:
            axes.axvspan(start, end, color=BAD, alpha=0.16, linewidth=0)
    for n, (what, start, end) in enumerate(story.incidents):
        late = start > 0.65 * intervals
        side = {"ha": "right" if late else "left", "va": "top", "color": BAD, "fontsize": 9}
        spend.text(end - 0.15 if late else start + 0.15, 124 - 12 * (n % 2), what, **side)
    for axes in panels[:-1]:
        axes.set_xlabel("")
    figure.legend(*spend.get_legend_handles_labels(), ncols=5, loc="outside lower center")
    return figure


def _alerts(axes: Any, story: Story) -> None:
    """A lane a campaign: dots where alerts began, and what they told; bars where something was held back."""
    for c in range(len(story.names)):
        lane = len(story.names) - 1 - c
        for t in np.flatnonzero((story.let[:, c] < 1.0).any(1)).tolist():
            paused = (story.let[t, c] == 0.0).any()
            axes.barh(lane, 1.0, 0.5 if paused else 0.22, t, color=CAMPAIGNS[c], alpha=0.45, linewidth=0)
        for t in np.flatnonzero(story.off_air[:, c].any(1)).tolist():
            axes.barh(lane - 0.3, 1.0, 0.08, t, color=CAMPAIGNS[c], linewidth=0)
        for t, kind in begun(story.alerts[:, c]):
            axes.plot(t + 0.5, lane, "o", color=CAMPAIGNS[c], markersize=5, markeredgewidth=0)
            axes.annotate(
                ALERT_KINDS[kind].replace("_", " "),
                (t + 0.5, lane),
                (4, 3),
                textcoords="offset points",
                fontsize=7.5,
                color=faint(),
            )
    axes.set_yticks(range(len(story.names)), [f"campaign {c}" for c in reversed(range(len(story.names)))])
    axes.set_ylim(-0.6, len(story.names) - 0.3)
    bars = "bids held back (thick: a placement paused, thin: throttled; below: a creative off air)"
    axes.set_title(f"alerts as they began; bars: {bars}")


def begun(alerts: Int) -> list[tuple[int, int]]:
    """(interval, kind) of every alert [T, P] of a campaign that was not there an interval before."""
    found: list[tuple[int, int]] = []
    before: set[int] = set()
    for t, kinds in enumerate(alerts):
        now = {int(kind) for kind in kinds if kind > 0}
        found += [(t, kind) for kind in sorted(now - before)]
        before = now
    return found


def creative_figure(replays: Sequence[Replay], intervals_per_day: int) -> Figure:
    """Which formats each segment hears over the flight, a row a team."""
    figure = canvas(WIDTH, 0.9 + 1.7 * len(replays))
    grid: Any = figure.subplots(len(replays), S, sharex=True, sharey=True, squeeze=False)
    for n, (row, replay) in enumerate(zip(grid, replays, strict=True)):
        edges, share = creative_mix(replay)
        for s, axes in enumerate(row):
            below = np.zeros(len(share))
            for f, name in enumerate(FORMATS):
                label = name if n == s == 0 else None
                look: dict[str, Any] = {"color": FORMAT_COLOURS[f], "label": label, "align": "edge"}
                look |= {"linewidth": 0.5, "edgecolor": FORMAT_COLOURS[f]}  # no seams between bars
                axes.bar(edges[:-1], 100 * share[:, s, f], np.diff(edges), below, **look)
                below = below + 100 * share[:, s, f]
            axes.set_title(f"{SEGMENTS[s]}" if n == 0 else "")
            axes.set_ylim(0, 100)
            axes.grid(visible=False)
            days(axes, len(replay.impressions), intervals_per_day)
            if n < len(replays) - 1:
                axes.set_xlabel("")
        row[0].set_ylabel(f"{replay.team}\n% of impressions")
    figure.legend(ncols=len(FORMATS), loc="outside lower center")
    return figure


def creative_mix(replay: Replay) -> tuple[Int, Float]:
    """[G + 1] edges of stretches, [G, S, F] formats' shares of their impressions, 0 where there were none."""
    intervals = len(replay.impressions)
    edges = np.append(np.arange(0, intervals, -(-intervals // _GROUPS)), intervals)
    total = np.add.reduceat(replay.impressions, edges[:-1], axis=0)
    return edges, total / np.maximum(1.0, total.sum(2, keepdims=True))


def _cpm(replay: Replay, impression_weight: float) -> Float:
    """[2, N] bid and price to beat of bids whose price lay within the table, USD per 1000 impressions."""
    bids = replay.bids
    known = np.isfinite(bids.price_to_beat_usd) & (bids.price_to_beat_usd > 0.0) & (bids.bid_usd > 0.0)
    both = np.stack([bids.bid_usd[known], bids.price_to_beat_usd[known]])
    found: Float = 1000.0 * both / impression_weight
    return found


def _plain_logarithm(axes: Any, edges: Float) -> None:
    """Plain numbers on a logarithmic axis."""
    ticks = [v for v in (0.1, 0.3, 1, 3, 10, 30, 100, 300) if edges[0] <= v <= edges[-1]]
    axes.set_xticks(ticks, [f"{v:g}" for v in ticks])
    axes.set_yticks(ticks, [f"{v:g}" for v in ticks])
    axes.minorticks_off()
    axes.set(xlim=edges[[0, -1]], ylim=edges[[0, -1]])
