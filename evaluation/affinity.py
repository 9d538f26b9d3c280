"""How well audience agents tell who will care, where the truth is known.

`python -m evaluation.affinity docs` writes `audience.md`: what each audience predicts at a flight's end
beside the true affinity, by how much was known of a listener, and what each is worth to one team.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from envs.catalogue import S
from envs.errors import InterludeError
from envs.output import write_text_atomically
from envs.scenario import Scenario, load_scenario
from envs.state import Float, Int
from evaluation.intervals import over_markets
from evaluation.metrics import OBJECTIVE
from evaluation.order_of_plays import order_text
from evaluation.predicted_affinity import (
    BINS,
    affinities,
    last_words,
    plays_label,
    rank_correlation,
    reliability_of,
    with_plays,
)
from evaluation.reference import markdown_table
from evaluation.rollout import Course, play
from evaluation.sources import TeamSource
from policies.audience.agent import CollaborativeAudience
from policies.audience.learned_segments import group_listeners
from policies.audience.taste_embedding import FACTORS
from policies.policy import Flight
from policies.team import Team

DOCUMENT: Final = "audience.md"
NOTE: Final = "<!-- written by `python -m evaluation.affinity docs`: change the code, not this file -->\n"
BASE: Final = "certainty-equivalent"
AUDIENCES: Final = ("segment-average", "collaborative", "sequence")
TOLD: Final = "evaluation.affinity:ToldTaste"
LADDER: Final = (
    *("segment-average", "learned-segments", "engagement"),
    *("collaborative", "sequence", TOLD, "oracle"),
)
RUNGS: Final = (*AUDIENCES, "oracle")
PLAYS: Final = ((0, 0), (1, 4), (5, 19), (20, 49), (50, 99), (100, 199), (200, 499), (500, None))
"""Ranges of plays known of a listener, both ends within."""
SEGMENT_MARKETS: Final = 64
GROUPS: Final = (4, 8, 16)
FEW_PLAYS: Final = 30.0
"""Median of a population of which little is known: in `default` hardly anybody has less than 20 plays."""


class ToldTaste(CollaborativeAudience):
    """Told every listener's true taste, it learns campaigns' as always: the most embeddings are worth."""

    privileged = True

    def __init__(self) -> None:
        """As `evaluation.affinity:ToldTaste` on the command line."""
        super().__init__(name="told-taste")

    def start(self, flight: Flight) -> None:
        """Needs a privileged flight."""
        super().start(flight)
        if flight.market is None:
            raise ValueError("told-taste reads the hidden truth: it needs a flight with market=…")
        taste = np.ascontiguousarray(flight.market.parameters.listener_taste[..., :FACTORS])
        self._embed(taste, np.zeros(taste.shape[:2]))


def team_with(audience: str) -> Team:
    """The base team with an audience."""
    return TeamSource(f"{BASE}+audience={audience}")()


def _plays_table(scenario: Scenario, markets: int) -> str:
    course = Course(scenario, num_markets=markets)
    found = {name: affinities(team_with(name), course) for name in AUDIENCES}
    rows = []
    for low, high in (*PLAYS, (0, None)):
        parts = {name: with_plays(one, low, high) for name, one in found.items()}
        count = len(parts[AUDIENCES[0]].true)
        if not count:
            continue
        label = "all" if (low, high) == (0, None) else plays_label(low, high)
        ranks = [f"{rank_correlation(part):.3f}" for part in parts.values()]
        errors = [f"{reliability_of(part.predicted, part.true).error:.3f}" for part in parts.values()]
        within = [f"{100 * parts[name].within.mean():.0f} %" for name in AUDIENCES[1:]]
        rows.append((label, f"{count:,}", *ranks, *errors, *within))
    head = (
        *("plays", "pairs"),
        *(f"ρ {name}" for name in AUDIENCES),
        *(f"error {name}" for name in AUDIENCES),
        *(f"within, {name}" for name in AUDIENCES[1:]),
    )
    return markdown_table(head, rows)


def explained(log_affinity: Float, group: Int) -> float:
    """Share of the variance over listeners [C, L] that groups [L] of them explain, mean over campaigns."""
    found = []
    for row in log_affinity:
        count = np.bincount(group)
        mean = np.bincount(group, row) / np.maximum(1, count)
        found.append(1.0 - np.mean((row - mean[group]) ** 2) / row.var())
    return float(np.mean(found))


def _segments_table(scenario: Scenario, markets: int) -> str:
    """What the market's segments tell of affinity at a flight's end, and groups of the same listeners."""
    team = team_with("sequence")
    audience = team.policies["audience"]
    assert isinstance(audience, CollaborativeAudience)
    alone: dict[str, list[float]] = {}
    crossed: dict[str, list[float]] = {}
    for market, said in last_words(team, Course(scenario, num_markets=markets)):
        truth = market.parameters
        log, given = np.log(truth.affinity), truth.listener_segment
        groups = {f"{S} given segments": given}
        for what, point in (
            ("embeddings", audience.embedding.transpose(0, 2, 1)),
            ("true tastes", truth.listener_taste[..., :FACTORS].transpose(0, 2, 1)),
            ("predictions", np.log(said)),
        ):
            for count in GROUPS:
                groups[f"{count} groups by {what}"] = _grouped(np.ascontiguousarray(point), count)
        for name, group in groups.items():
            for b, row in enumerate(log):
                both = np.unique(group[b] * S + given[b], return_inverse=True)[1]
                alone.setdefault(name, []).append(explained(row, group[b]))
                crossed.setdefault(name, []).append(explained(row, both))
    rows = [
        (name, f"{100 * np.mean(found):.0f} %", f"{100 * np.mean(crossed[name]):.0f} %")
        for name, found in alone.items()
    ]
    return markdown_table(("groups", "explain", "crossed with the given ones"), rows)


def _grouped(point: Float, count: int) -> Int:
    """Groups [B, L] of points [B, ·, L]."""
    group = np.zeros((point.shape[0], point.shape[2]), np.int64)
    group_listeners(point, group, np.empty((len(point), count, point.shape[1])))
    return group


def _ladder_table(scenario: Scenario, markets: int) -> str:
    course = Course(scenario, num_markets=markets)
    metrics = {name: play(team_with(name), course).metrics for name in LADDER}
    objective = {name: metrics[name][OBJECTIVE] for name in LADDER}
    base, best = objective[LADDER[0]], objective[LADDER[-1]]
    rows = []
    for name in LADDER:
        lift = over_markets(objective[name], base)
        relevance = metrics[name]["listeners/relevance"].mean()
        wasted = metrics[name]["market/wasted_usd"].sum() / metrics[name]["spend/spend_usd"].sum()
        earned = (objective[name] - base).mean() / (best - base).mean()
        rows.append(
            (
                "true taste told" if name == TOLD else f"`{name}`",
                f"{objective[name].mean():,.0f}",
                "" if name == LADDER[0] else _lift(lift.estimate, lift.low, lift.high),
                f"{relevance:.3f}",
                f"{100 * wasted:.2f} %",
                f"{100 * earned:.0f} %",
            )
        )
    head = (
        "audience",
        "J, USD",
        f"over `{LADDER[0]}`",
        "relevance",
        "wasted / spend",
        "of the oracle's gain",
    )
    climbed = []
    for down, up in pairwise(RUNGS):
        step = over_markets(objective[up], objective[down])
        climbed.append(f"`{up}` over `{down}` {_lift(step.estimate, step.low, step.high)}")
    return markdown_table(head, rows) + f"\nRung by rung, paired: {'; '.join(climbed)}.\n"


def _lift(estimate: float, low: float, high: float) -> str:
    return f"{100 * estimate:+.1f} % [{100 * low:+.1f}, {100 * high:+.1f}]"


def few_plays(scenario: Scenario) -> Scenario:
    """The scenario with a population of which little is known."""
    listeners = scenario.listeners.model_copy(update={"plays_median": FEW_PLAYS})
    return scenario.model_copy(update={"listeners": listeners})


def affinity_text(scenario: Scenario, markets: int, ladder_markets: int) -> str:
    """`docs/audience.md`: plays all that it tells of."""
    parts = [
        NOTE,
        "# What audience agents know of listeners\n",
        f"Held-out markets of scenario `{scenario.name}`, `{BASE}` with each audience. Affinity is taken "
        "over the campaign's mean in its market, so that 1 is average; predictions are those of the flight's "
        "end. ρ is Spearman's rank correlation of predicted and true affinity over all pairs of campaign and "
        f"listener; the error is the mean distance of both over {BINS} bins of as many predictions each "
        "(expected calibration error, in units of the average affinity). *Within* is how often a listener's "
        "log affinity, less the segment's mean, lies in the interval that the agent itself holds to be 80 % "
        "sure.\n",
        f"## By plays known of a listener, {markets} markets\n",
        _plays_table(scenario, markets),
        f"The same where the median listener has {FEW_PLAYS:g} plays instead of "
        f"{scenario.listeners.plays_median:g}, so that there are many of whom little is known:\n",
        _plays_table(few_plays(scenario), markets),
        "## What the order of plays tells\n",
        order_text(scenario),
        f"## What an audience is worth, {ladder_markets} markets, paired\n",
        _ladder_table(scenario, ladder_markets),
        "*True taste told* is `collaborative` with every listener's true taste for an embedding: the most "
        "that any embedding could earn, whatever it reads, order and moods included. The rest of the "
        "oracle's gain is campaigns' tastes, which clicks and skips of one flight teach slowly.\n",
        f"The same where the median listener has {FEW_PLAYS:g} plays, {ladder_markets // 2} markets:\n",
        _ladder_table(few_plays(scenario), ladder_markets // 2),
        f"## Segments: given or learned, {SEGMENT_MARKETS} markets\n",
        "Share of the variance of true log affinity over a market's listeners that groups explain, a mean "
        "over campaigns, with `sequence` at a flight's end; groups are by k-means. By chance 16 groups of "
        f"{scenario.listeners.count} listeners explain {100 * 15 / (scenario.listeners.count - 1):.0f} %, 64 "
        f"groups {100 * 63 / (scenario.listeners.count - 1):.0f} %.\n",
        _segments_table(scenario, min(markets, SEGMENT_MARKETS)),
        "Half of the variance is between the given segments, and no listening history tells of them: so "
        "groups by embeddings, or even by true tastes, explain less. Groups by predictions know both, and "
        "only the directions of taste that the flight's campaigns divide: they are what `learned-segments` "
        "(16 groups, learned anew every day; `learned-segments:N` for N) bids by. The market's own segments "
        "stay the axis of messages, for traffic, creatives and surveys come by them.\n",
    ]
    return "\n".join(parts)


def main(arguments: Sequence[str]) -> int:
    """Measures audiences against the truth; writes the document into the folder named."""
    parser = argparse.ArgumentParser("python -m evaluation.affinity", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="where audience.md is written; an existing folder")
    parser.add_argument("--scenario", default="default", help="[default: %(default)s]")
    parser.add_argument("--markets", type=int, default=128, help="for the tables [default: %(default)s]")
    parser.add_argument("--ladder-markets", type=int, default=256, help="[default: %(default)s]")
    chosen = parser.parse_args(arguments)
    try:
        if not chosen.folder.is_dir():
            raise InterludeError(f"{chosen.folder} is not a folder")
        text = affinity_text(load_scenario(chosen.scenario), chosen.markets, chosen.ladder_markets)
        write_text_atomically(chosen.folder / DOCUMENT, text)
    except InterludeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
