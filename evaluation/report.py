"""A comparison as one self-contained HTML page: results, tables, and figures with words that explain them.

`python -m evaluation.report docs/report.png` draws the picture of the README: the upper part of a report.
"""

from __future__ import annotations

import html
import math
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from envs.ticker import Bulletin
from evaluation import report_audience as audience
from evaluation import report_figures as figures
from evaluation import report_flights as flights
from evaluation import table
from evaluation.attribution import figures as attribution
from evaluation.bound_report import Fractions
from evaluation.browser import screenshot
from evaluation.comparison import Comparison, Headline
from evaluation.intervals import Interval
from evaluation.metrics import KPIS
from evaluation.replay import Replay, Story, replay
from evaluation.report_style import Draw, image, page

PICTURE_SIZE: Final = (1280, 1480)
"""CSS pixels of the README's picture."""
WATCHED: Final = 3
"""Teams whose flights are watched closely."""
_LOOK: Final = {"as wanted": "good", "the wrong way": "bad"}
_BETTER: Final = {"more": "more", "less": "less", "neither": "–"}
_MOST_MESSAGES: Final = 16
_LOUD: Final = ("monitor", "orchestrator")
"""Senders whose messages a reader sees first: the others talk far more often."""


def html_report(comparison: Comparison, fractions: Fractions | None = None) -> str:
    """The page, with scores as fractions of a bound where they were asked for.

    The first markets are played once more by a few teams, to show bids and messages.
    """
    hero, course = comparison.hero.entrant.name, comparison.course
    watched = [replay(s.entrant.team, course) for s in figures.shown(comparison, WATCHED)]
    watched.sort(key=lambda one: one.team != hero)
    title = f"{hero} against the others, scenario {course.scenario.name}"
    body = [
        '<div class="brand">Interlude</div>',
        f"<h1>{html.escape(title)}</h1>",
        _how(
            f"{course.num_markets} {course.split.replace('_', '-')} markets, the same for every team (seed "
            f"{course.seed}). Lifts are over {comparison.baseline}. The leading team is {hero}: "
            f"{comparison.hero.entrant.kind}."
        ),
        *_headlines(comparison),
        *_teams(comparison),
        *_certainty(comparison),
        *_bound(comparison, fractions),
        *_flights(comparison),
        *_auctions(comparison, watched),
        *_story(watched[0].eventful, course.scenario.intervals_per_day),
        *_creatives(watched, course.scenario.intervals_per_day),
        *_listeners(comparison, watched),
        *_credit(watched),
        "<h2>What the figures stand on</h2>",
        f"<ul>{''.join(_note(note) for note in table.footnotes(comparison))}</ul>",
        *_kpis(comparison),
    ]
    return page(title, "\n".join(body))


def _headlines(comparison: Comparison) -> list[str]:
    """The three results the project is for, over each ad server it is to replace."""
    found = []
    for over in dict.fromkeys(headline.over for headline in comparison.headlines):
        cards = "".join(_card(headline) for headline in comparison.headlines if headline.over == over)
        found.append(f"<h3>Over the {html.escape(over)} ad server</h3>")
        found.append(f'<div class="cards">{cards}</div>')
    return found


def _card(found: Headline) -> str:
    kpi = KPIS[found.tag]
    unit = "" if kpi.unit == "fraction" else f" ({kpi.unit})"
    return (
        f'<div class="card {_LOOK.get(found.verdict, "open")}"><div class="name">{html.escape(found.result)}'
        f"</div><b>{_percent(found.lift)}</b>"
        f"{_bar(found.lift)}"
        f'<div class="said">95 % interval {_ends(found.lift)}<br>'
        f"{_value(found.over_value, kpi.unit)} → {_value(found.value, kpi.unit)}{html.escape(unit)} · "
        f'<span class="verdict">{html.escape(found.verdict)}</span></div></div>'
    )


def _teams(comparison: Comparison) -> list[str]:
    looks = [
        "hero" if standing is comparison.hero else standing.entrant.knowledge
        for standing in comparison.standings
    ]
    rows = [table.row(comparison, standing) for standing in comparison.standings]
    return [
        "<h2>Teams, best first</h2>",
        _how(
            "J is the objective: what completions, conversions, recall and listening were worth, less waste."
        ),
        _panel(_rows(table.header(comparison), rows, looks, "two")),
    ]


def _certainty(comparison: Comparison) -> list[str]:
    hero, course = comparison.hero.entrant.name, comparison.course
    found = [
        "<h2>Who is better, and how sure that is</h2>",
        _how("Every team met the same markets, so differences are taken market by market."),
        _figure(
            lambda: figures.standing_figure(comparison),
            f"J of every team, and its lift over {comparison.baseline}, with 95 % intervals. Best: "
            f"{comparison.standings[0].entrant.name}.",
        ),
    ]
    if len(comparison.standings) > 1:
        found += [
            f"<h3>{html.escape(hero)} minus each other team, on the same market</h3>",
            _how(
                "A dot is a market; above it the mean difference and its interval. Right of 0: it did better."
            ),
            _figure(
                lambda: figures.paired_figure(comparison),
                f"Differences of J between {hero} and each other team on {course.num_markets} markets.",
            ),
            _panel(_rows(("against", *table.AGAINST), table.lifts_of_hero(comparison))),
        ]
    if figures.has_profile(comparison):
        found += [
            "<h3>Performance profile</h3>",
            _how(f"On which share of markets a team reaches a fraction of {comparison.reference}'s J."),
            _figure(
                lambda: figures.profile_figure(comparison),
                f"Performance profiles against {comparison.reference}, with pointwise 95 % intervals.",
            ),
        ]
    else:
        found.append(
            _how(
                f"No performance profile: {comparison.reference} loses money on some market, and a fraction "
                "of a loss has no meaning."
            )
        )
    return [
        *found,
        "<h3>What the objective is made of</h3>",
        _figure(lambda: figures.parts_figure(comparison), "The parts of J by team, in USD a market."),
    ]


def _bound(comparison: Comparison, fractions: Fractions | None) -> list[str]:
    if fractions is None:
        return []
    title = fractions.measure.title
    return [
        "<h2>How near to what could be had</h2>",
        _how(f"{fractions.heading}. {fractions.measure.caution}"),
        _figure(
            lambda: figures.bound_figure(comparison, fractions),
            f"Share of the {title} that each team reaches, and its regret, with 95 % intervals.",
        ),
        _panel(_rows(fractions.columns(), fractions.rows())),
    ]


def _flights(comparison: Comparison) -> list[str]:
    return [
        "<h2>Over the flight</h2>",
        _how("Means over all markets. The plan spends evenly; pacing error is the distance from it."),
        _figure(
            lambda: figures.spend_figure(comparison),
            "Share of the budgets spent by day against the even plan, and the pacing error, by team.",
        ),
        _figure(
            lambda: figures.flight_figure(comparison),
            "By team and day: objective, wasted spend, relevance, completion rate, recall lift, health.",
        ),
    ]


def _auctions(comparison: Comparison, watched: Sequence[Replay]) -> list[str]:
    colours, scenario = figures.team_colours(comparison), comparison.course.scenario
    names = ", ".join(one.team for one in watched)
    return [
        "<h2>Bids and prices</h2>",
        _how(
            f"Every bid of {len(watched[0].stories)} markets. A bid above the dashed line wins; dark columns "
            "are reserve prices. On the right: which share would win if all bids were multiplied, the bids "
            "of others and budgets left alone."
        ),
        _figure(
            lambda: flights.price_figure(watched, colours, scenario.impression_weight),
            f"Bids against prices to beat of {names}, and the share won by multiples of the bids.",
        ),
        "<h3>Where the money goes: USD a market, and the share of opportunities won</h3>",
        _figure(
            lambda: flights.cells_figure(watched, colours),
            f"Spend and win rate by segment and placement of {names}.",
        ),
    ]


def _story(story: Story, intervals_per_day: int) -> list[str]:
    loud = [told for told in story.messages if told[1].sender.startswith(_LOUD)]
    incidents = "; ".join(what for what, _, _ in story.incidents) or "none"
    return [
        "<h2>One flight, and who told what</h2>",
        _how(
            f"Market {story.market_seed}. Red: incidents, which the agents are not told of ({incidents}). "
            "Each message reaches the others one interval after it was sent."
        ),
        _figure(
            lambda: flights.timeline_figure(story, intervals_per_day),
            "A flight's spend, completion and click rates, alerts and pauses by campaign, objective by "
            "interval and messages by sender; incidents: "
            f"{incidents}.",
        ),
        f"<details open><summary>What monitor and orchestrator said first ({len(loud)} messages)</summary>"
        f"{_messages(loud[:_MOST_MESSAGES], intervals_per_day)}</details>",
        f"<details><summary>All {len(story.messages)} messages</summary>"
        f"{_messages(story.messages, intervals_per_day)}</details>",
    ]


def _messages(told: Sequence[tuple[int, Bulletin]], intervals_per_day: int) -> str:
    rows = [
        (f"{1 + (t - 1) // intervals_per_day}", f"{t}", message.sender, message.text) for t, message in told
    ]
    return _panel(_rows(("day", "interval", "sender", "message"), rows, look="words"))


def _creatives(watched: Sequence[Replay], intervals_per_day: int) -> list[str]:
    names = ", ".join(one.team for one in watched)
    return [
        "<h2>What listeners hear</h2>",
        _how("Formats of the impressions each segment got, over the flight; empty where there were none."),
        _figure(
            lambda: flights.creative_figure(watched, intervals_per_day),
            f"Shares of audio, video and display by segment and day, of {names}.",
        ),
    ]


def _listeners(comparison: Comparison, watched: Sequence[Replay]) -> list[str]:
    colours, first = figures.team_colours(comparison), watched[0]
    names = ", ".join(one.team for one in watched)
    return [
        "<h2>Who cares, and who was thought to</h2>",
        _how(
            "What audience agents said of every listener at the flight's end, against the truth, which no "
            "agent sees. Tenths of the predictions, from the least to the most liking; the dashed line is "
            "a prediction that holds on average."
        ),
        _figure(
            lambda: audience.reliability_figure(watched, colours),
            f"True affinity by predicted affinity of {names}.",
        ),
        _how(
            f"Market {first.eventful.market_seed}, {first.team}: green listeners care more than average for "
            "the campaign, red ones less; by segment, and within it from the least to the most liking."
        ),
        _figure(
            lambda: audience.map_figure(first),
            f"Predicted and true affinity of every listener for each campaign, by segment, of {first.team}.",
        ),
    ]


def _credit(watched: Sequence[Replay]) -> list[str]:
    """Nothing where the scenario has no journeys."""
    found = []
    for one in watched:
        credit = one.credit
        if credit is not None:
            found += [
                _how(
                    f"{one.team}, by {credit.model}: left, a point for each cell of each campaign; right, "
                    "what a thousand touches are credited with and what they truly brought."
                ),
                _figure(
                    partial(attribution.credit_figure, credit),
                    f"Credit by {credit.model} against the truth, by cell, of {one.team}.",
                ),
                _how(
                    "The last steps of its campaigns' journeys, as far as they are known, and how they ended."
                ),
                _figure(partial(attribution.sankey_figure, credit), f"Paths of journeys of {one.team}."),
            ]
    return ["<h2>What brought conversions, and what was credited</h2>", *found] if found else []


def _kpis(comparison: Comparison) -> list[str]:
    columns = ("KPI", "unit", "better", *(standing.entrant.name for standing in comparison.standings))
    rows = [
        (
            f"{tag}\n{kpi.formula}",
            kpi.unit,
            _BETTER[kpi.better],
            *(_plain(standing.mean(tag)) for standing in comparison.standings),
        )
        for tag, kpi in KPIS.items()
    ]
    return [
        "<h2>Every KPI</h2>",
        _how("Means over markets; rates are fractions."),
        _panel(_rows(columns, rows)),
    ]


def _figure(draw: Draw, alt: str) -> str:
    return _panel(image(draw, alt))


def _panel(content: str) -> str:
    return f'<div class="panel">{content}</div>'


def _how(text: str) -> str:
    """How a figure is read."""
    return f'<p class="how">{html.escape(text)}</p>'


def _note(note: str) -> str:
    look = ' class="warning"' if note.startswith("WARNING") else ""
    return f"<li{look}>{html.escape(note)}</li>"


def _rows(
    columns: Sequence[str], rows: Sequence[Sequence[str]], looks: Sequence[str] | None = None, look: str = ""
) -> str:
    """A table; what follows a line break in a cell is set small below it."""
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = "".join(
        f'<tr class="{of_row}">' + "".join(_cell(cell) for cell in cells) + "</tr>"
        for cells, of_row in zip(rows, looks or [""] * len(rows), strict=True)
    )
    return f'<table class="{look}"><tr>{head}</tr>{body}</table>'


def _cell(text: str) -> str:
    above, _, below = text.partition("\n")
    return f"<td>{html.escape(above)}{f'<small>{html.escape(below)}</small>' if below else ''}</td>"


def _plain(value: float) -> str:
    """Four digits, never an exponent; a dash where there is no value."""
    if value != value:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}" if abs(value) >= 1e-4 else f"{value:.6f}"


def _percent(interval: Interval) -> str:
    if interval.estimate != interval.estimate:
        return "undefined"
    return f"{100 * interval.estimate:+.1f} %".replace("-", "−")


def _ends(interval: Interval) -> str:
    return f"{100 * interval.low:+.1f} to {100 * interval.high:+.1f} %".replace("-", "−")


def _bar(interval: Interval) -> str:
    """An interval as a line beside 0, the whole from - to + its farther end."""
    far = max(abs(interval.low), abs(interval.high))
    if not 0.0 < far < math.inf:
        return ""
    low, at, high = (100 + 90 * value / far for value in (interval.low, interval.estimate, interval.high))
    return (
        '<svg class="bar" viewBox="0 0 200 14" preserveAspectRatio="none" aria-hidden="true" fill="none" '
        'stroke="currentColor"><path d="M0 7H200M100 1V13" stroke-opacity=".35"/>'
        f'<path d="M{low:.1f} 7H{high:.1f}" stroke-width="4"/>'
        f'<path d="M{at:.1f} 2V12" stroke-width="2"/></svg>'
    )


def _value(value: float, unit: str) -> str:
    return f"{100 * value:.3g} %" if unit == "fraction" else f"{value:.4g}"


def main(arguments: list[str]) -> int:
    """Writes the picture of the README to the file named: what a browser shows of a report's upper part."""
    if len(arguments) != 1:
        print("usage: python -m evaluation.report FILE.png", file=sys.stderr)
        return 2
    from evaluation import evaluate

    with tempfile.TemporaryDirectory(prefix="interlude-") as folder:
        written = Path(folder) / "report.html"
        teams = ["reference", "certainty-equivalent", "value-aware", "pid", "random", "oracle"]
        written.write_text(html_report(evaluate(teams)), encoding="utf-8")
        screenshot(written, Path(arguments[0]), *PICTURE_SIZE)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
