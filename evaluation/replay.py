"""A few flights of a course once more, watched closely: every bid, every message, what was on air.

A comparison keeps figures per market and per interval; pictures of bids, messages and creatives need more
than could be kept of all markets. Markets are the same whoever watches, so a replay is what was compared.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from envs.bids import SERVED, Bids
from envs.catalogue import ARM_FORMAT, F, P, S
from envs.market import VectorMarket
from envs.protocol import ATTRIBUTION, Actions
from envs.render import Viewer
from envs.state import Float, Int
from envs.ticker import Bulletin
from evaluation.attribution.credited import Credited, credited
from evaluation.predicted_affinity import posted_affinity, relative
from evaluation.rollout import Course, opened
from policies.team import Team

MARKETS: Final = 4
"""Markets that are watched: the first of the course."""


@dataclass(frozen=True, eq=False)
class BidRows:
    """Bids of all campaigns, in order: [N] each."""

    market: Float
    segment: Float
    placement: Float
    bid_usd: Float
    price_to_beat_usd: Float
    """What would just have won; NaN beyond the price table."""
    paid_usd: Float
    won: Float
    """1 where the impression was served."""


@dataclass(frozen=True, eq=False)
class Story:
    """One flight: who told what, what went wrong, how money went out."""

    market_seed: int
    names: list[str]
    """[C] number and vertical."""
    spent_fraction: Float  # [T, C] of the budget, so far
    objective_usd: Float  # [T]
    completion_rate: Float  # [T, C] as tracked; NaN where nothing was won
    click_rate: Float  # [T, C] as tracked; NaN where nothing was won
    alerts: Int  # [T, C, P] kind of the alert posted in each interval
    let: Float  # [T, C, P] factor on bids that was in force, 0 = paused
    off_air: Int  # [T, C, V] 1 = the creative could not air
    messages: list[tuple[int, Bulletin]]
    """Interval after which each was delivered, 1 the first, and what it said."""
    incidents: list[tuple[str, int, int]]
    """What and where, first interval, end: hidden from the agents."""


@dataclass(frozen=True, eq=False)
class Listeners:
    """What the audience said of every listener at the flight's end, and what was true."""

    predicted: Float  # [B, C, L] affinity, 1 = the campaign's mean in its market
    true: Float  # [B, C, L] the same
    segment: Int  # [B, L]
    vertical: Int  # [B, C]
    embedding: Float | None = None  # [B, L, D] where the audience embeds listeners
    taste: Float | None = None  # [B, C, D] what it believes of campaigns
    plays: Int | None = None  # [B, L] known of each listener


@dataclass(frozen=True, eq=False)
class Replay:
    """What one team did in the first markets of a course."""

    team: str
    bids: BidRows
    impressions: Float  # [T, S, F] of all campaigns and markets, by format on air
    cell_spend_usd: Float  # [S, P] a market
    cell_wins: Float  # [S, P] a market
    cell_opportunities: Float  # [S, P] a market
    stories: list[Story]
    listeners: Listeners
    credit: Credited | None = None
    """Of its attribution model (or of the last touch, where it has none); None without journeys."""

    @property
    def eventful(self) -> Story:
        """The story with the most kinds of incidents, of equals the one with most to tell."""
        return max(self.stories, key=lambda story: (len(story.incidents), len(story.messages)))


def replay(team: Team, course: Course, markets: int = MARKETS) -> Replay:
    """Plays the first markets of a course once more and watches."""
    count = min(markets, course.num_markets)
    market, observations = opened(team, course, course.first_market, count, log=True)
    viewers = [_AttentiveViewer(market, index) for index in range(count)]
    intervals = course.scenario.intervals
    rows: list[tuple[int, Bids]] = []
    impressions, spend = np.zeros((intervals, S, F)), np.zeros((S, P))
    wins, opportunities = np.zeros((S, P)), np.zeros((S, P))
    for t in range(intervals):
        actions = team.act(observations, market.impressions)
        step = market.step(actions)
        observations, out = step.observations, step.outcome
        for viewer in viewers:
            viewer.watch(step)
        rows += [(index, bids) for index, bids in enumerate(market.bids)]
        kind, won = ARM_FORMAT[market.aired], out.wins.sum(3)  # [B, C, S]
        impressions[t] = np.stack([(won * (kind == f)).sum((0, 1)) for f in range(F)], 1)
        spend += out.spend_usd.sum((0, 1))
        wins += out.wins.sum((0, 1))
        opportunities += out.opportunities.sum(0)
    return Replay(
        team=team.name,
        bids=_joined(rows),
        impressions=impressions,
        cell_spend_usd=spend / count,
        cell_wins=wins / count,
        cell_opportunities=opportunities / count,
        stories=[_story(viewer) for viewer in viewers],
        listeners=_listeners(team, market, actions),
        credit=None if market.journeys is None else credited(market.journeys, _model(team)),
    )


def _model(team: Team) -> str:
    attribution = team.policies.get(ATTRIBUTION)
    return "last" if attribution is None else attribution.name


def _listeners(team: Team, market: VectorMarket, actions: Actions) -> Listeners:
    truth, audience = market.parameters, team.policies["audience"]
    found = Listeners(
        predicted=relative(posted_affinity(actions, market)),
        true=relative(truth.affinity),
        segment=truth.listener_segment,
        vertical=truth.vertical,
    )
    embedding, belief = getattr(audience, "embedding", None), getattr(audience, "belief", None)
    if embedding is None or belief is None:
        return found
    plays = market.listening().plays.sum(-1, dtype=np.int64)
    return replace(found, embedding=embedding, taste=belief.taste, plays=plays)


class _AttentiveViewer(Viewer):
    """A viewer that forgets no message."""

    def reset(self) -> None:
        """A new flight begins."""
        super().reset()
        self.bulletins = deque()


def _story(viewer: Viewer) -> Story:
    market = viewer.market
    return Story(
        market_seed=int(market.seeds[viewer.index]),
        names=[viewer.campaign_name(c) for c in range(market.num_campaigns)],
        spent_fraction=np.stack([frame.spent_fraction for frame in viewer.frames]),
        objective_usd=np.array([frame.objective_usd for frame in viewer.frames]),
        completion_rate=np.stack([frame.completion_rate for frame in viewer.frames]),
        click_rate=np.stack([frame.click_rate for frame in viewer.frames]),
        alerts=np.stack([frame.alert for frame in viewer.frames]),
        let=np.stack([frame.let for frame in viewer.frames]),
        off_air=np.stack([frame.off_air for frame in viewer.frames]),
        messages=list(viewer.bulletins),
        incidents=viewer.incidents(),
    )


def _joined(rows: list[tuple[int, Bids]]) -> BidRows:
    def column(name: str) -> Float:
        return np.concatenate([getattr(bids, name) for _, bids in rows]).astype(np.float64)

    return BidRows(
        market=np.concatenate([np.full(len(bids.status), index, np.float64) for index, bids in rows]),
        segment=column("segment"),
        placement=column("placement"),
        bid_usd=column("bid_usd"),
        price_to_beat_usd=column("price_to_beat_usd"),
        paid_usd=column("paid_usd"),
        won=(column("status") == SERVED).astype(np.float64),
    )
