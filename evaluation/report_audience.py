"""Figures of what audience agents said of listeners, beside the truth that only evaluation sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from envs.catalogue import SEGMENTS, S
from evaluation.predicted_affinity import reliability_of
from evaluation.replay import Replay
from evaluation.report_figures import WIDTH
from evaluation.report_style import BAD, GOOD, canvas, faint

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TICKS: Final = (0.5, 0.7, 1.0, 1.4, 2.0)
_STRONGEST: Final = 2.5
"""Affinity, or one over it, beyond which colours stay the same."""


def reliability_figure(replays: Sequence[Replay], colours: dict[str, str]) -> Figure:
    """How much listeners truly cared where so much was predicted, a curve a team."""
    figure = canvas(WIDTH, 3.9)
    axes = figure.subplots()
    ends = [1.0]
    for replay in replays:
        found = reliability_of(replay.listeners.predicted, replay.listeners.true)
        label = f"{replay.team}: off by {found.error:.3f} on average"
        axes.plot(found.predicted, found.true, "o-", color=colours[replay.team], markersize=5, label=label)
        ends += [*found.predicted, *found.true]
    low, high = 0.95 * min(ends), 1.05 * max(ends)
    axes.plot([low, high], [low, high], color=faint(), linewidth=0.9, linestyle=(0, (4, 3)))
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
    ticks = [tick for tick in _TICKS if low <= tick <= high]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("predicted affinity, 1 = the campaign's average")
    axes.set_ylabel("true affinity")
    figure.legend(loc="outside right upper")
    return figure


def map_figure(replay: Replay) -> Figure:
    """Who cares for which campaign in one market, and who was thought to: listeners by segment and liking."""
    from matplotlib.colors import LinearSegmentedColormap, LogNorm

    at = replay.stories.index(replay.eventful)
    names, people = replay.eventful.names, replay.listeners
    figure = canvas(WIDTH, 0.9 + 1.0 * len(names))
    panels: Any = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    shades = LinearSegmentedColormap.from_list("care", [BAD, BAD + "00", GOOD + "00", GOOD])
    norm = LogNorm(1.0 / _STRONGEST, _STRONGEST, clip=True)
    segment = people.segment[at]
    edges = np.concatenate([[0], np.cumsum(np.bincount(segment, minlength=S))])
    for c, (axes, name) in enumerate(zip(panels, names, strict=True)):
        order = np.lexsort((people.true[at, c], segment))
        shown = np.stack([people.predicted[at, c, order], people.true[at, c, order]])
        axes.pcolormesh(shown, cmap=shades, norm=norm, rasterized=True)
        axes.set_yticks([0.5, 1.5], ["predicted", "true"])
        axes.set_title(name)
        axes.tick_params(length=0)
        axes.grid(visible=False)
        for edge in edges[1:-1]:
            axes.axvline(edge, color=faint(), linewidth=0.9)
    middles = (edges[1:] + edges[:-1]) / 2
    panels[-1].set_xticks(middles, [f"{n} {name}" for name, n in zip(SEGMENTS, np.diff(edges), strict=True)])
    return figure
