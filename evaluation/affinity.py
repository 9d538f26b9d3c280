"""How well audience agents tell who will care, where the truth is known.

`python -m evaluation.affinity docs` writes `audience.md`: what each audience predicts at a flight's end
beside the true affinity, by how much was known of a listener, and what each is worth to one team.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from scipy.cluster.vq import kmeans2
from scipy.stats import rankdata

from envs.catalogue import S
from envs.errors import InterludeError
from envs.market import VectorMarket
from envs.output import write_text_atomically
from envs.protocol import Actions
from envs.scenario import Scenario, load_scenario
from envs.seeds import market_seeds
from envs.state import Float, Int
from evaluation.intervals import over_markets
from evaluation.metrics import OBJECTIVE
from evaluation.order_of_plays import order_text
from evaluation.reference import markdown_table
from evaluation.rollout import Course, opened, play
from evaluation.sources import TeamSource
from policies.audience.agent import CollaborativeAudience
from policies.audience.listener_model import embed_listeners, shipped_session_model
from policies.audience.taste_embedding import FACTORS
from policies.policy import Flight
from policies.team import Team

DOCUMENT: Final = "audience.md"
NOTE: Final = "<!-- written by `python -m evaluation.affinity docs`: change the code, not this file -->\n"
BASE: Final = "certainty-equivalent"
AUDIENCES: Final = ("segment-average", "collaborative", "sequence")
TOLD: Final = "evaluation.affinity:ToldTaste"
LADDER: Final = (*AUDIENCES, TOLD, "oracle")
PLAYS: Final = ((0, 0), (1, 4), (5, 19), (20, 49), (50, 99), (100, 199), (200, 499), (500, None))
"""Ranges of plays known of a listener, both ends within."""
BINS: Final = 10
SEGMENT_MARKETS: Final = 64
CLUSTERS: Final = (0, 4, 8, 16)
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


class Affinity(NamedTuple):
    """What an audience said at a flight's end and what was true, a row a market, campaign and listener."""

    predicted: Float  # [N] 1 = the campaign's average over the market's listeners
    true: Float  # [N] the same
    plays: Int  # [N] known of the listener
    market: Int  # [N]


class Reliability(NamedTuple):
    """What was true where so much was predicted."""

    predicted: Float  # [BINS] mean of equally filled bins
    true: Float  # [BINS]
    filled: Int  # [BINS] with how many

    @property
    def error(self) -> float:
        """Mean distance of both over all predictions: the expected calibration error."""
        return float(np.average(np.abs(self.predicted - self.true), weights=self.filled))


def posted_affinity(actions: Actions, market: VectorMarket) -> Float:
    """What an audience says of every listener [B, C, L]: its table, else its segment's value."""
    if actions.listener_affinity is not None:
        return np.array(actions.listener_affinity)
    value = actions.audience.affinity[:, : market.num_campaigns]
    segment = market.parameters.listener_segment[:, None, :]
    return np.take_along_axis(value, np.broadcast_to(segment, (*value.shape[:2], segment.shape[2])), 2)


def relative(affinity: Float) -> Float:
    """Affinity [B, C, L] over each campaign's mean: its level is the creative's doing as much."""
    mean: Float = affinity / affinity.mean(-1, keepdims=True)
    return mean


def affinities(team: Team, course: Course) -> Affinity:
    """Plays a team through a course and keeps its audience's last word on every listener."""
    return _joined(list(_by_batch(team, course)))


def _by_batch(team: Team, course: Course) -> Iterator[Affinity]:
    for start, count in course.batches():
        market, observations = opened(team, course, start, count)
        terminated = False
        while not terminated:
            actions = team.act(observations, market.impressions)
            step = market.step(actions)
            observations, terminated = step.observations, step.terminated
        if team.incapacities:
            raise InterludeError(f"the audience cannot be judged: {team.incapacities[0].reason}")
        predicted = relative(posted_affinity(actions, market))
        shape = predicted.shape
        plays = market.listening().plays.sum(-1, dtype=np.int64)[:, None, :]
        yield Affinity(
            predicted=predicted.ravel(),
            true=relative(market.parameters.affinity).ravel(),
            plays=np.broadcast_to(plays, shape).ravel(),
            market=np.broadcast_to(start + np.arange(count)[:, None, None], shape).ravel(),
        )


def _joined(batches: Sequence[Affinity]) -> Affinity:
    return Affinity(
        predicted=np.concatenate([batch.predicted for batch in batches]),
        true=np.concatenate([batch.true for batch in batches]),
        plays=np.concatenate([batch.plays for batch in batches]),
        market=np.concatenate([batch.market for batch in batches]),
    )


def with_plays(found: Affinity, low: int, high: int | None) -> Affinity:
    """The rows of listeners of whom so many plays are known."""
    kept = (found.plays >= low) & (found.plays <= (np.inf if high is None else high))
    return Affinity(found.predicted[kept], found.true[kept], found.plays[kept], found.market[kept])


def rank_correlation(found: Affinity) -> float:
    """Spearman's, of all rows together; NaN of fewer than 3 or where all predictions are one."""
    if len(found.true) < 3 or np.ptp(found.predicted) == 0.0:
        return float("nan")
    return float(np.corrcoef(rankdata(found.predicted), rankdata(found.true))[0, 1])


def reliability_of(predicted: Float, true: Float, bins: int = BINS) -> Reliability:
    """Bins of as many predictions each, from the lowest to the highest; the arrays have one shape."""
    said, was = predicted.ravel(), true.ravel()
    order = np.argsort(said, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return Reliability(
        predicted=np.array([said[part].mean() for part in parts]),
        true=np.array([was[part].mean() for part in parts]),
        filled=np.array([len(part) for part in parts]),
    )


def plays_label(low: int, high: int | None) -> str:
    """As tables call a range."""
    return f"from {low}" if high is None else str(low) if low == high else f"{low} to {high}"


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
        rows.append((label, f"{count:,}", *ranks, *errors))
    head = ("plays", "pairs", *(f"ρ {name}" for name in AUDIENCES), *(f"error {name}" for name in AUDIENCES))
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
    """What the market's segments tell of affinity, and clusters of the embeddings of the same listeners."""
    market = VectorMarket(scenario, markets, split="held_out")
    market.reset(market_seeds("held_out", 0, 0, markets))
    truth, listening = market.parameters, market.listening(order=True)
    embedding = embed_listeners(shipped_session_model(), listening).taste
    rows = []
    for clusters in CLUSTERS:
        alone, crossed = [], []
        for b in range(markets):
            given, log = listening.segment[b], np.log(truth.affinity[b])
            group = (
                kmeans2(embedding[b], clusters, seed=b, minit="++")[1] if clusters else np.zeros_like(given)
            )
            alone.append(explained(log, group if clusters else given))
            crossed.append(explained(log, np.unique(group * S + given, return_inverse=True)[1]))
        name = f"{clusters} clusters" if clusters else f"{S} given segments"
        rows.append((name, f"{100 * np.mean(alone):.0f} %", f"{100 * np.mean(crossed):.0f} %"))
    return markdown_table(("groups", "explain", "crossed with the given ones"), rows)


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
    apart = over_markets(objective["sequence"], objective["collaborative"])
    return markdown_table(head, rows) + (
        f"\n`sequence` over `collaborative`, paired: {_lift(apart.estimate, apart.low, apart.high)}. *True "
        "taste told* is `collaborative` with every listener's true taste for an embedding: the most that any "
        "embedding could earn. The rest of the oracle's gain is campaigns' tastes, which clicks and skips of "
        "one flight teach slowly.\n"
    )


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
        "(expected calibration error, in units of the average affinity).\n",
        f"## By plays known of a listener, {markets} markets\n",
        _plays_table(scenario, markets),
        f"The same where the median listener has {FEW_PLAYS:g} plays instead of "
        f"{scenario.listeners.plays_median:g}, so that there are many of whom little is known:\n",
        _plays_table(few_plays(scenario), markets),
        "## What the order of plays tells\n",
        order_text(scenario),
        f"## What an audience is worth, {ladder_markets} markets, paired\n",
        _ladder_table(scenario, ladder_markets),
        f"## Segments: given or learned, {SEGMENT_MARKETS} markets\n",
        "Share of the variance of true log affinity over a market's listeners that groups explain, a mean "
        "over campaigns; clusters are k-means of the embeddings that `sequence` makes before the flight. By "
        f"chance 16 groups of {scenario.listeners.count} listeners explain "
        f"{100 * 15 / (scenario.listeners.count - 1):.0f} %, 64 groups "
        f"{100 * 63 / (scenario.listeners.count - 1):.0f} %.\n",
        _segments_table(scenario, SEGMENT_MARKETS),
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
