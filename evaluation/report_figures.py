"""Figures of a comparison: who is better and how sure, what the objective is made of, how flights went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from envs.state import Float
from evaluation.bound_report import Fractions
from evaluation.compare import SILOED
from evaluation.comparison import Comparison, Standing
from evaluation.intervals import Interval
from evaluation.metrics import OBJECTIVE, PARTS
from evaluation.report_style import ACCENT, OTHERS, PRIVILEGED, canvas, faint

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH: Final = 11.6
MAX_CURVES: Final = 8
"""Teams whose curves are drawn; beyond that they cannot be told apart."""
FLIGHT: Final = (
    ("objective so far, USD", "market/objective_usd"),
    ("wasted spend / spend, so far", "spend/wasted_fraction"),
    ("relevance of impressions", "listeners/relevance"),
    ("completion rate", "response/completion_rate"),
    ("recall lift", "response/recall_lift"),
    ("listener health", "listeners/health"),
)
"""What is drawn over the flight: (title, KPI)."""
_PART_COLOURS: Final = {
    "market/completions_usd": "#3b82f6",
    "market/conversions_usd": "#0ea5b7",
    "market/recall_usd": "#16a77b",
    "market/health_usd": "#d1a106",
    "market/wasted_usd": "#e5484d",
}
_SCATTER_SEED: Final = 0


def standing_figure(comparison: Comparison) -> Figure:
    """J by team with its interval, and its lift over the baseline with the paired one."""
    standings, colours = comparison.standings[::-1], team_colours(comparison)
    figure = canvas(WIDTH, 1.1 + 0.38 * len(standings))
    left, right = figure.subplots(1, 2, sharey=True)
    for y, standing in enumerate(standings):
        colour = colours[standing.entrant.name]
        _whisker(left, standing.objective, y, colour)
        lift = standing.lift.get(comparison.baseline)
        if lift is None:
            right.plot(0.0, y, "D", color=colour)
        elif np.isfinite(lift.estimate):
            _whisker(right, lift, y, colour, 100.0)
    _name_rows(left, standings)
    _dollars(left.xaxis)
    left.set_xlabel("J, USD a market [95 %, over markets]")
    right.set_xlabel(f"lift of J over {comparison.baseline}, % [95 %, paired over markets]")
    right.axvline(0.0, color=faint(), linewidth=0.9, zorder=0)
    for axes in (left, right):
        axes.grid(axis="y", visible=False)
    return figure


def bound_figure(comparison: Comparison, fractions: Fractions) -> Figure:
    """Share of the measure by team and its regret beside, with their intervals paired over markets."""
    standings, colours = comparison.standings[::-1], team_colours(comparison)
    figure = canvas(WIDTH, 1.1 + 0.38 * len(standings))
    left, right = figure.subplots(1, 2, sharey=True)
    for y, standing in enumerate(standings):
        name = standing.entrant.name
        one = fractions.teams[name]
        if np.isfinite(one.fraction.estimate):
            _whisker(left, one.fraction, y, colours[name], 100.0)
        _whisker(right, one.regret_usd, y, colours[name])
    left.axvline(100.0, color=faint(), linewidth=0.9, zorder=0)
    right.axvline(0.0, color=faint(), linewidth=0.9, zorder=0)
    _name_rows(left, standings)
    _dollars(right.xaxis)
    left.set_xlabel(f"share of the {fractions.measure.label}, % [95 %, paired over markets]")
    right.set_xlabel("regret, USD a market [95 %, paired over markets]")
    for axes in (left, right):
        axes.grid(axis="y", visible=False)
    return figure


def paired_figure(comparison: Comparison) -> Figure:
    """Leading team minus each other, market by market: a dot a market, the mean with its interval."""
    hero, colours = comparison.hero, team_colours(comparison)
    others = [standing for standing in comparison.standings[::-1] if standing is not hero]
    figure = canvas(WIDTH, 1.1 + 0.5 * len(others))
    axes = figure.subplots()
    random, ends = np.random.default_rng(_SCATTER_SEED), [0.0]
    for y, other in enumerate(others):
        name = other.entrant.name
        gained = hero.result.metrics[OBJECTIVE] - other.result.metrics[OBJECTIVE]
        ends += np.percentile(gained, (2, 98)).tolist()
        spread = y - 0.12 + random.uniform(-0.2, 0.2, len(gained))
        dots: dict[str, Any] = {
            "s": 9,
            "linewidths": 0,
            "color": colours[name],
            "alpha": 0.35,
            "rasterized": True,
        }
        axes.scatter(gained, spread, **dots)
        _whisker(axes, hero.versus[name].difference, y + 0.26, colours[name])
    room = 0.06 * max(1e-9, max(ends) - min(ends))
    axes.set_xlim(min(ends) - room, max(ends) + room)
    axes.set_ylim(-0.6, len(others) - 0.4)
    axes.axvline(0.0, color=faint(), linewidth=0.9, zorder=0)
    axes.grid(axis="y", visible=False)
    _name_rows(axes, others)
    _dollars(axes.xaxis)
    axes.set_xlabel(f"J of {hero.entrant.name} − J of the other on the same market, USD")
    return figure


def profile_figure(comparison: Comparison) -> Figure:
    """Share of markets on which each team reaches a fraction of the reference's J."""
    colours = team_colours(comparison)
    figure = canvas(WIDTH, 4.0)
    axes = figure.subplots()
    for standing in shown(comparison):
        profile, colour = standing.profile, colours[standing.entrant.name]
        axes.fill_between(
            profile.thresholds, profile.low, profile.high, color=colour, alpha=0.15, linewidth=0
        )
        axes.plot(
            profile.thresholds,
            profile.share,
            color=colour,
            linewidth=_weight(comparison, standing),
            label=standing.entrant.name,
        )
    reached = [s.profile.thresholds[s.profile.high > 0.0].max(initial=0.0) for s in shown(comparison)]
    axes.set(ylim=(-0.02, 1.02), xlim=(0.0, max(0.1, 1.05 * max(reached))))
    axes.set_xlabel(f"τ: J as a fraction of {comparison.reference}'s on the same market")
    axes.set_ylabel("share of markets above τ")
    figure.legend(loc="outside right upper")
    return figure


def has_profile(comparison: Comparison) -> bool:
    """Whether fractions of the reference have a meaning: its J is positive on every market."""
    return bool(np.isfinite(comparison.hero.profile.share).all())


def parts_figure(comparison: Comparison) -> Figure:
    """The parts of J, stacked: gains to the right of 0, losses and waste to its left."""
    standings = comparison.standings[::-1]
    figure = canvas(WIDTH, 1.3 + 0.38 * len(standings))
    axes = figure.subplots()
    for y, standing in enumerate(standings):
        right = left = 0.0
        for tag in PARTS:
            value = standing.mean(tag) * (-1.0 if tag == "market/wasted_usd" else 1.0)
            start = right if value >= 0 else left
            label = tag.removeprefix("market/").removesuffix("_usd") if y == 0 else None
            axes.barh(y, value, 0.62, left=start, color=_PART_COLOURS[tag], label=label)
            right, left = right + max(0.0, value), left + min(0.0, value)
        axes.plot(
            standing.objective.estimate,
            y,
            "D",
            color="white",
            markeredgecolor="black",
            markersize=5,
            label="J" if y == 0 else None,
        )
    _name_rows(axes, standings)
    axes.axvline(0.0, color=faint(), linewidth=0.9)
    axes.grid(axis="y", visible=False)
    _dollars(axes.xaxis)
    axes.set_xlabel("USD a market")
    figure.legend(ncols=len(PARTS) + 1, loc="outside upper center")
    return figure


def spend_figure(comparison: Comparison) -> Figure:
    """Share of the budget spent against the even plan, and the campaigns' pacing error."""
    intervals, day = comparison.course.scenario.intervals, comparison.course.scenario.intervals_per_day
    figure = canvas(WIDTH, 3.9)
    spend, error = figure.subplots(1, 2, width_ratios=(3, 2))
    spend.plot([0, intervals], [0, 100], color=faint(), linestyle=(0, (4, 3)), label="plan: even")
    for standing, style in _curves(comparison):
        series = standing.result.series
        spent = 100 * np.cumsum(np.concatenate([[0.0], series["spend/budget_fraction"]]))
        spend.plot(spent, **style)
        error.plot(np.arange(1, intervals + 1), 100 * series["spend/pacing_error"], **style)
    spend.set_title("share of the budgets spent, %")
    error.set_title("pacing error, % of the budget")
    for axes in (spend, error):
        days(axes, intervals, day)
        axes.set_ylim(bottom=0)
    handles, labels = spend.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper")
    return figure


def flight_figure(comparison: Comparison) -> Figure:
    """How KPIs go over the flight, one curve a team."""
    intervals, day = comparison.course.scenario.intervals, comparison.course.scenario.intervals_per_day
    figure = canvas(WIDTH, 6.2)
    grid: Any = figure.subplots(2, 3, sharex=True)
    for axes, (title, tag) in zip(grid.flat, FLIGHT, strict=True):
        for standing, style in _curves(comparison):
            axes.plot(np.arange(1, intervals + 1), _over_the_flight(standing, tag), **style)
        axes.set_title(title)
        if tag == OBJECTIVE:
            _dollars(axes.yaxis)
        days(axes, intervals, day)
    for axes in grid[0]:
        axes.set_xlabel("")
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=4, loc="outside lower center")
    return figure


def team_colours(comparison: Comparison) -> dict[str, str]:
    """A colour a team, the same in every figure."""
    found, rest = {}, 0
    for standing in comparison.standings:
        name = standing.entrant.name
        if standing is comparison.hero:
            found[name] = ACCENT
        elif standing.entrant.knowledge == "privileged":
            found[name] = PRIVILEGED
        else:
            found[name], rest = OTHERS[rest % len(OTHERS)], rest + 1
    return found


def shown(comparison: Comparison, most: int = MAX_CURVES) -> Sequence[Standing]:
    """Teams drawn as curves: the leading team, siloed and baseline for sure, then the best."""
    first = [comparison.hero.entrant.name]
    first += [s.entrant.name for s in comparison.standings if s.entrant.argument == SILOED]
    first += [comparison.baseline]
    names = dict.fromkeys([*first, *(s.entrant.name for s in comparison.standings)])
    chosen = list(names)[:most]
    return [standing for standing in comparison.standings if standing.entrant.name in chosen]


def days(axes: Any, intervals: int, intervals_per_day: int) -> None:
    """Marks days on an axis of intervals."""
    ticks = range(0, intervals + 1, intervals_per_day)
    axes.set_xlim(0, intervals)
    axes.set_xticks(ticks, [str(n) for n, _ in enumerate(ticks)])
    axes.set_xlabel("day of the flight")


def _over_the_flight(standing: Standing, tag: str) -> Float:
    """[T] a KPI after every interval: sums so far, of waste its share so far, else the interval's own."""
    series = standing.result.series
    if tag == OBJECTIVE:
        return np.cumsum(series[tag])
    if tag == "spend/wasted_fraction":
        spend = np.cumsum(series["spend/spend_usd"])
        return np.cumsum(series["market/wasted_usd"]) / np.maximum(1e-9, spend)
    return series[tag]


def _curves(comparison: Comparison) -> list[tuple[Standing, dict[str, Any]]]:
    """Teams shown and how their curves look."""
    colours = team_colours(comparison)
    return [
        (
            standing,
            {
                "color": colours[standing.entrant.name],
                "linewidth": _weight(comparison, standing),
                "linestyle": "--" if standing.entrant.knowledge == "privileged" else "-",
                "label": standing.entrant.name,
            },
        )
        for standing in shown(comparison)
    ]


def _weight(comparison: Comparison, standing: Standing) -> float:
    return 2.4 if standing is comparison.hero else 1.4


def _name_rows(axes: Any, standings: Sequence[Standing]) -> None:
    axes.set_yticks(range(len(standings)), [standing.entrant.name for standing in standings])
    axes.tick_params(axis="y", length=0)


def _dollars(axis: Any) -> None:
    """Thousands apart."""
    axis.set_major_formatter("{x:,.0f}")


def _whisker(axes: Any, interval: Interval, y: float, colour: str, scale: float = 1.0) -> None:
    axes.plot([scale * interval.low, scale * interval.high], [y, y], color=colour, linewidth=2.4)
    axes.plot(scale * interval.estimate, y, "o", color=colour, markersize=6)
