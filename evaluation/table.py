"""A comparison as text: headline results, the table of teams, and what each figure stands on."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import Final

import numpy as np

from evaluation.aggregates import POWER
from evaluation.comparison import Absolute, Comparison, Headline, Standing
from evaluation.intervals import MIN_RUNS, Interval
from evaluation.methods import Method
from evaluation.metrics import KPIS

AGAINST: Final = ("J [95 %, over markets]", "Cohen's d", "markets won [95 %]", "verdict")
"""Columns of `lifts_of_hero` behind the team: how large, then how sure, then what may be said."""
COLUMNS: Final = (
    ("spend USD", "spend/spend_usd", ",.0f"),
    ("CPA USD", "auction/cpa_usd", ",.0f"),
    ("completion", "response/completion_rate", ".1%"),
    ("recall lift", "response/recall_lift", "+.1%"),
    ("relevance", "listeners/relevance", ".3f"),
    ("wasted", "spend/wasted_fraction", ".2%"),
    ("health", "listeners/health", ".1%"),
)
"""KPIs of the table: (heading, tag, format)."""
_WIDTH, _NOTE_WIDTH = 1000, 120


def percent(interval: Interval | None, digits: int = 1) -> str:
    """A lift with its interval, in percent; empty without one, "undefined" where it has no meaning."""
    if interval is None:
        return ""
    if interval.estimate != interval.estimate:
        return "undefined"
    values = (interval.estimate, interval.low, interval.high)
    estimate, low, high = (f"{100 * value:+.{digits}f}" for value in values)
    return f"{estimate} % [{low}, {high}]"


def share(interval: Interval) -> str:
    """A share with its interval, in percent; undefined where what it is a share of may be nothing."""
    if not np.isfinite([interval.estimate, interval.low, interval.high]).all():
        return "undefined"
    return f"{100 * interval.estimate:.0f} % [{100 * interval.low:.0f}, {100 * interval.high:.0f}]"


def header(comparison: Comparison) -> list[str]:
    """Column headings of the table of teams."""
    return [
        "team",
        "kind",
        "J USD a market",
        "IQM",
        f"J over {comparison.baseline} [95 %]",
        f"gap to {comparison.reference}",
        *(column[0] for column in COLUMNS),
    ]


def row(comparison: Comparison, standing: Standing) -> list[str]:
    """One team's cells."""
    return [
        standing.entrant.name,
        standing.entrant.kind,
        f"{standing.objective.estimate:,.0f}",
        f"{standing.interquartile_mean.estimate:,.0f}",
        percent(standing.lift.get(comparison.baseline)) or "baseline",
        share(standing.optimality_gap),
        *(format(standing.mean(tag), style) for _, tag, style in COLUMNS),
    ]


def headline(found: Headline) -> str:
    """One headline result as a sentence."""
    return (
        f"{found.result}: {percent(found.lift)} over {found.over} ({found.over_value:.4g} -> "
        f"{found.value:.4g}), {found.verdict}"
    )


def footnotes(comparison: Comparison) -> list[str]:
    """What the figures stand on, and what they do not say."""
    course, scenario = comparison.course, comparison.course.scenario
    listeners = "a real listening history" if course.taste_pool is not None else "the synthetic population"
    notes = [
        f"{course.num_markets} {course.split} markets of scenario {scenario.name} (seed {course.seed}), the "
        f"same for every team; listeners' tastes from {listeners}. One simulated opportunity stands for "
        f"{scenario.impression_weight} real ones; slow dynamics run {scenario.time_acceleration:g} times as "
        "fast.",
        "Intervals are over markets: paired bootstrap, 95 %. They hold for these policies and say nothing "
        "about training luck.",
        f"IQM: J of the middle half of the markets. Gap: mean shortfall of J from {comparison.reference}'s, "
        "market by market. Cohen's d: mean paired difference in its own standard deviations.",
        "J, relevance, wasted spend and recall lift use the simulator's truth, which only a privileged team "
        "sees.",
    ]
    for standing in comparison.standings:
        entrant = standing.entrant
        if entrant.learned:
            seeds = ", ".join(str(seed) for seed in entrant.training_seeds) or "unknown"
            count = max(1, len(entrant.training_seeds))
            notes.append(
                f"{entrant.name}: learned {', '.join(entrant.learned_roles)}; stands on {count} training "
                f"seed{'s' if count > 1 else ''} ({seeds})."
            )
    notes += [_of_method(comparison, method) for method in comparison.methods.values() if method.figures]
    refused = [name for name, method in comparison.methods.items() if method.refusal]
    if refused:
        notes.append(
            f"No interval over training runs, which needs at least {MIN_RUNS} runs of a method: "
            f"{'; '.join(refused)}."
        )
    notes += _of_power(comparison)
    if comparison.absolute is not None:
        notes.append(_of_absolute(comparison, comparison.absolute))
    for standing in comparison.standings:
        failed = {(i.role, i.interval, i.reason) for i in standing.result.incapacities}
        notes += [
            f"WARNING: {standing.entrant.name}: {role} failed in interval {interval} and its stand-in took "
            f"over: {reason}"
            for role, interval, reason in sorted(failed)
        ]
    return notes


def _of_method(comparison: Comparison, method: Method) -> str:
    """What may be said of a method, over training runs."""
    figures = method.figures
    if figures is None:
        return ""
    found = (
        f"Over training runs ({method.name}, {figures.lift.count} runs; stratified bootstrap, 95 %): J over "
        f"{comparison.baseline} {percent(figures.lift)}; interquartile mean "
        f"{share(figures.interquartile_mean)} of {comparison.reference}, gap "
        f"{share(figures.optimality_gap)}; a run beats {comparison.baseline} with probability "
        f"{share(figures.probability_of_improvement)}."
    )
    against = [
        f" Against {other}: {percent(versus.lift)}, a run beats its run with probability "
        f"{share(versus.better_run)}."
        for other, versus in figures.versus.items()
    ]
    return "".join([found, *against])


def _of_power(comparison: Comparison) -> list[str]:
    """The least difference that these markets would have shown."""
    versus = comparison.hero.versus.get(comparison.baseline)
    if versus is None or versus.minimal_detectable_fraction != versus.minimal_detectable_fraction:
        return []
    return [
        f"These {comparison.course.num_markets} markets show a lift of "
        f"{100 * versus.minimal_detectable_fraction:.2g} % of {comparison.hero.entrant.name} over "
        f"{comparison.baseline} with a power of {POWER:.0%}; teams whose differences scatter less are told "
        "apart at less."
    ]


def _of_absolute(comparison: Comparison, absolute: Absolute) -> str:
    """The absolute metric as a sentence."""
    over = "" if absolute.lift is None else f", {percent(absolute.lift)} over {comparison.baseline}"
    j = absolute.objective
    return (
        f"Absolute metric: {absolute.result.team}, chosen on the markets above, once more on "
        f"{absolute.course.num_markets} of their own: J {j.estimate:,.0f} USD a market "
        f"[{j.low:,.0f}, {j.high:,.0f}]{over}."
    )


def lifts_of_hero(comparison: Comparison) -> list[tuple[str, ...]]:
    """The leading team against every other: the team, then `AGAINST`."""
    hero = comparison.hero
    return [
        (
            other.entrant.name,
            percent(versus.lift),
            f"{versus.cohens_d:+.2f}",
            share(versus.probability_of_improvement),
            versus.verdict,
        )
        for other in comparison.standings
        if other is not hero
        for versus in [hero.versus[other.entrant.name]]
    ]


def kpi_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """Every KPI by team: tag, unit, a value a team, best team first."""
    return [
        (tag, kpi.unit, *(f"{standing.mean(tag):,.4g}" for standing in comparison.standings))
        for tag, kpi in KPIS.items()
    ]


def text(comparison: Comparison, *, kpis: bool = False) -> str:
    """The whole comparison for a terminal, with every KPI if asked for."""
    from rich.console import Console
    from rich.table import Table

    def table(columns: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> Table:
        made = Table(box=None, pad_edge=False, header_style="bold")
        for index, column in enumerate(columns):
            made.add_column(column, justify="left" if index < left else "right", no_wrap=True)
        for cells in rows:
            made.add_row(*cells)
        return made

    hero = comparison.hero.entrant.name
    out = io.StringIO()
    console = Console(file=out, width=_WIDTH, highlight=False, emoji=False, markup=False)
    console.print(f"{hero} against {' and '.join(dict.fromkeys(h.over for h in comparison.headlines))}")
    for found in comparison.headlines:
        console.print(f"  {headline(found)}")
    console.print()
    console.print(table(header(comparison), [row(comparison, s) for s in comparison.standings], 2))
    console.print()
    console.print(table([f"{hero} over", *AGAINST], lifts_of_hero(comparison), 1))
    console.print()
    if kpis:
        names = [standing.entrant.name for standing in comparison.standings]
        console.print(table(["KPI", "unit", *names], kpi_rows(comparison), 2))
        console.print()
    for note in footnotes(comparison):
        console.print(textwrap.fill(note, _NOTE_WIDTH, subsequent_indent="  "))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())
