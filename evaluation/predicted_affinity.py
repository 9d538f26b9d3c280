"""What audience agents predict of listeners beside what is true of them, pair by pair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from scipy.stats import rankdata

from envs.errors import InterludeError
from envs.market import VectorMarket
from envs.protocol import Actions
from envs.state import Float, Int
from evaluation.rollout import Course, opened
from policies.audience.agent import CollaborativeAudience
from policies.team import Team

BINS: Final = 10
INTERVAL_SD: Final = 1.2816
"""Half the width of an interval that holds 80 % of a normal distribution, in standard deviations."""


class Affinity(NamedTuple):
    """What an audience said at a flight's end and what was true, a row a market, campaign and listener."""

    predicted: Float  # [N] 1 = the campaign's average over the market's listeners
    true: Float  # [N] the same
    plays: Int  # [N] known of the listener
    market: Int  # [N]
    within: Float  # [N] 1 where the agent's own 80 % interval holds the truth; NaN of one that has none


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


def last_words(team: Team, course: Course) -> Iterator[tuple[VectorMarket, Float]]:
    """Plays a team through a course: markets of a batch at their flight's end, and what was said [B, C, L].

    Raises:
        InterludeError: a role of the team failed, so that a stand-in spoke.
    """
    for start, count in course.batches():
        market, observations = opened(team, course, start, count)
        terminated = False
        while not terminated:
            actions = team.act(observations, market.impressions)
            step = market.step(actions)
            observations, terminated = step.observations, step.terminated
        if team.incapacities:
            raise InterludeError(f"{team.name} cannot be judged: {team.incapacities[0].reason}")
        yield market, posted_affinity(actions, market)


def _by_batch(team: Team, course: Course) -> Iterator[Affinity]:
    seen = 0
    for market, said in last_words(team, course):
        plays = market.listening().plays.sum(-1, dtype=np.int64)[:, None, :]
        number = seen + np.arange(len(said))[:, None, None]
        seen += len(said)
        yield Affinity(
            predicted=relative(said).ravel(),
            true=relative(market.parameters.affinity).ravel(),
            plays=np.broadcast_to(plays, said.shape).ravel(),
            market=np.broadcast_to(number, said.shape).ravel(),
            within=_within(team, market).ravel(),
        )


def _within(team: Team, market: VectorMarket) -> Float:
    """[B, C, L] whether log affinity less its segment's mean lies in the interval that the agent believes."""
    audience, truth = team.policies["audience"], market.parameters
    found = np.full(truth.affinity.shape, np.nan)
    if not isinstance(audience, CollaborativeAudience):
        return found
    apart = np.log(truth.affinity) - audience.expected_deviation()
    for b, segment in enumerate(truth.listener_segment):
        people = np.maximum(1, np.bincount(segment))
        for c, row in enumerate(apart[b]):
            row -= (np.bincount(segment, row) / people)[segment]
            found[b, c] = np.abs(row) <= INTERVAL_SD * np.sqrt(audience.deviation_variance()[b, c])
    return found


def _joined(batches: Sequence[Affinity]) -> Affinity:
    return Affinity._make(np.concatenate(column) for column in zip(*batches, strict=True))


def with_plays(found: Affinity, low: int, high: int | None) -> Affinity:
    """The rows of listeners of whom so many plays are known."""
    kept = (found.plays >= low) & (found.plays <= (np.inf if high is None else high))
    return Affinity._make(column[kept] for column in found)


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
