"""A comparison as text: headline results, the table of teams, and what each figure stands on."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import Final

from evaluation.compare import Comparison, Headline, Standing
from evaluation.intervals import MIN_RUNS, Interval

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


def header(comparison: Comparison) -> list[str]:
    """Column headings of the table of teams."""
    return [
        "team",
        "kind",
        "J USD a market",
        f"J over {comparison.baseline} [95 %]",
        *(column[0] for column in COLUMNS),
    ]


def row(comparison: Comparison, standing: Standing) -> list[str]:
    """One team's cells."""
    return [
        standing.entrant.name,
        standing.entrant.kind,
        f"{standing.objective.estimate:,.0f}",
        percent(standing.lift.get(comparison.baseline)) or "baseline",
        *(format(standing.mean(tag), style) for _, tag, style in COLUMNS),
    ]


def headline(comparison: Comparison, found: Headline) -> str:
    """One headline result as a sentence."""
    return (
        f"{found.result}: {percent(found.lift)} over siloed ({found.siloed:.4g} -> {found.value:.4g}), "
        f"{found.verdict}"
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
    for method, found in comparison.methods.items():
        if isinstance(found, Interval):
            notes.append(f"Over training runs ({method}): J over {comparison.baseline} {percent(found)}.")
    refused = [method for method, found in comparison.methods.items() if not isinstance(found, Interval)]
    if refused:
        notes.append(
            f"No interval over training runs, which needs at least {MIN_RUNS} runs of a method: "
            f"{'; '.join(refused)}."
        )
    for standing in comparison.standings:
        failed = {(i.role, i.interval, i.reason) for i in standing.result.incapacities}
        notes += [
            f"WARNING: {standing.entrant.name}: {role} failed in interval {interval} and its stand-in took "
            f"over: {reason}"
            for role, interval, reason in sorted(failed)
        ]
    return notes


def lifts_of_hero(comparison: Comparison) -> list[tuple[str, str, str]]:
    """The leading team against every other: (team, lift, share of markets won)."""
    hero = comparison.hero
    return [
        (
            other.entrant.name,
            percent(hero.lift[other.entrant.name]),
            f"{hero.probability_of_improvement[other.entrant.name]:.0%}",
        )
        for other in comparison.standings
        if other is not hero
    ]


def text(comparison: Comparison) -> str:
    """The whole comparison for a terminal."""
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
    console.print(f"{hero} against siloed")
    for found in comparison.headlines:
        console.print(f"  {headline(comparison, found)}")
    console.print()
    console.print(table(header(comparison), [row(comparison, s) for s in comparison.standings], 2))
    console.print()
    against = [f"{hero} over", "J [95 %]", "markets won"]
    console.print(table(against, lifts_of_hero(comparison), 1))
    console.print()
    for note in footnotes(comparison):
        console.print(textwrap.fill(note, _NOTE_WIDTH, subsequent_indent="  "))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())
