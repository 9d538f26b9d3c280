"""Two intervals of a made-up flight, so that all code is loaded, or compiled, before anybody waits for it.

Kernels are compiled when they are called first: in a fresh installation that took roles past their deadline.
"""

from __future__ import annotations

import numpy as np

from envs.catalogue import SEGMENTS
from envs.impressions import ImpressionLog
from envs.journeys.feed import ToldFeed
from policies.bundle import Bundle
from policies.policy import Flight
from serving.bidding import snapshot_of
from serving.brief import FlightBrief, ListenerBrief, Report, example_brief
from serving.ledger_cells import empty_cells
from serving.live_market import LiveMarket, outcome_of

_EACH = 8
"""Listeners of a segment."""


def rehearse(bundle: Bundle) -> None:
    """Plays a team of its own; nothing is kept."""
    listeners = tuple(
        ListenerBrief(id=f"{s}-{i}", segment=s, plays={i: 3}, recent=(4 * i,))
        for s in range(len(SEGMENTS))
        for i in range(_EACH)
    )
    example = example_brief(bundle.scenario)
    brief = FlightBrief(id="rehearsal", campaigns=example.campaigns, listeners=listeners)
    market, team = LiveMarket(brief, bundle.scenario), bundle.team()
    observations = market.start()
    seeds, count = np.zeros(1, np.uint64), len(brief.campaigns)
    feed = ToldFeed(market.scenario, count) if bundle.manifest.attribution is not None else None
    flight = Flight(market.scenario, 1, count, seeds, listening=brief.listening(), journeys=feed)
    team.start(flight)
    left_usd = np.array([campaign.budget_usd for campaign in brief.campaigns])
    log = None
    for _ in range(2):
        left_usd = market.begin(team.act(observations, log), left_usd)
        snapshot_of(market, brief.campaigns, {})
        cells = empty_cells(len(brief.campaigns))
        observations = market.close(outcome_of(cells, market.last_outcome, Report()), left_usd)
        log = _an_impression(int(market.aired[0, 0, 0]))
    team.act(observations, log)


def _an_impression(arm: int) -> ImpressionLog:
    """Half of those who heard it heard it out."""
    numbers = (0, 0, 0, 0, 0, arm, 0, 100, 50, 0, 1)
    levels = (1.0, 1.0, 1.0)
    return ImpressionLog(*(np.array([n]) for n in numbers), *(np.array([level]) for level in levels))
