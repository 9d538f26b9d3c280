"""What an interval was worth: pure functions of its outcome, in USD (EVALUATION.md, "The objective")."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from envs.kernel import kernel
from envs.scenario import Scenario
from envs.state import Float, MarketParameters, Outcome

AHEAD_ALLOWED: Final = 0.25
"""Share of the budget that may be spent ahead of plan for nothing."""
AHEAD_PENALTY: Final = 0.1
"""Of an interval's volume at the price level, times the share further ahead."""


class Worth(NamedTuple):
    """The parts of the objective J by campaign and segment, USD."""

    completions: Float  # [B, C, S]
    conversions: Float  # [B, C, S] caused; those pending at the end count at their expected value
    recall: Float  # [B, C, S] increments and mean level
    health: Float  # [B, S] increments, shared by all campaigns
    waste: Float  # [B, C, S] paid for impressions that could bring nothing


class Rewards(NamedTuple):
    """Rewards of one interval, USD."""

    team: Float  # [B] the objective J of this interval
    campaign: Float  # [B, C] the campaign's part of it, health shared equally
    segment: Float  # [B, C, S] the same by segment
    creative: Float  # [B, C] completions + recall − dislikes at the price of a completion lost
    bidding: Float  # [B, C] value delivered − pacing penalty


@kernel
def _weigh(out, segment_start, unit, worth, first, end):  # type: ignore[no-untyped-def]
    _, campaigns, segments, placements = out.completions.shape
    completions, caused, wasted_usd = out.completions, out.conversions_caused, out.wasted_usd
    recall_before, recall, health_before, health = (
        out.recall_before,
        out.recall,
        out.health_before,
        out.health,
    )
    completions_usd, conversions_usd, recall_usd, health_usd, waste_usd = worth
    for b in range(first, end):
        for s in range(segments):
            people = unit.weight * (segment_start[b, s + 1] - segment_start[b, s])
            health_usd[b, s] = unit.health_usd * people * (health[b, s] - health_before[b, s])
            for c in range(campaigns):
                completed, waste = 0.0, 0.0
                for p in range(placements):
                    completed += completions[b, c, s, p]
                    waste += wasted_usd[b, c, s, p]
                gain = unit.recall_gain_usd * (recall[b, c, s] - recall_before[b, c, s])
                completions_usd[b, c, s] = unit.completion_usd * completed
                conversions_usd[b, c, s] = unit.conversion_usd * caused[b, c, s]
                recall_usd[b, c, s] = people * (gain + unit.recall_level_usd * recall[b, c, s])
                waste_usd[b, c, s] = waste


@kernel
def _reward(worth, dislikes, pacing_error, completion_usd, ahead_usd, rewards, first, end):  # type: ignore[no-untyped-def]
    _, campaigns, segments, placements = dislikes.shape
    completions, conversions, recall, health, waste = worth
    by_team, by_campaign, by_segment, by_creative, by_bidding = rewards
    for b in range(first, end):
        team = 0.0
        for c in range(campaigns):
            campaign, creative, bidding, disliked = 0.0, 0.0, 0.0, 0.0
            for s in range(segments):
                for p in range(placements):
                    disliked += dislikes[b, c, s, p]
                own = completions[b, c, s] + conversions[b, c, s] + recall[b, c, s] - waste[b, c, s]
                whole = own + health[b, s] / campaigns
                by_segment[b, c, s] = whole
                campaign += whole
                creative += completions[b, c, s] + recall[b, c, s]
                bidding += own
            team += campaign
            by_campaign[b, c] = campaign
            by_creative[b, c] = creative - completion_usd * disliked
            by_bidding[b, c] = bidding - ahead_usd * max(0.0, pacing_error[b, c] - AHEAD_ALLOWED)
        by_team[b] = team


class _Units(NamedTuple):
    """What each part of the objective is worth."""

    weight: float
    completion_usd: float
    conversion_usd: float
    recall_gain_usd: float
    recall_level_usd: float  # an interval
    health_usd: float


def worth_of(outcome: Outcome, parameters: MarketParameters, scenario: Scenario) -> Worth:
    """The objective's parts in one interval; listeners count `impression_weight` people each."""
    values, segment = scenario.values, outcome.recall.shape
    unit = _Units(
        weight=float(scenario.impression_weight),
        completion_usd=values.completion_usd,
        conversion_usd=values.conversion_usd,
        recall_gain_usd=values.recall_gain_usd,
        recall_level_usd=values.recall_level_usd / scenario.intervals,
        health_usd=values.health_usd,
    )
    worth = Worth(
        completions=np.empty(segment),
        conversions=np.empty(segment),
        recall=np.empty(segment),
        health=np.empty_like(outcome.health),
        waste=np.empty(segment),
    )
    _weigh(outcome, parameters.segment_start, unit, worth, 0, segment[0])
    return worth


def segment_size(parameters: MarketParameters) -> Float:
    """Listeners of each segment: [B, S]."""
    return np.diff(parameters.segment_start).astype(np.float64)


def rewards_of(outcome: Outcome, worth: Worth, pacing_error: Float, scenario: Scenario) -> Rewards:
    """Rewards of every agent and of the team.

    Args:
        outcome: the interval's outcome.
        worth: its value by `worth_of`.
        pacing_error: [B, C] share spent − share of the flight gone, after the interval.
        scenario: unit values.
    """
    batch, campaigns, _ = worth.recall.shape
    volume_usd = scenario.opportunities_per_interval * scenario.auction.price_level_usd
    rewards = Rewards(
        team=np.empty(batch),
        campaign=np.empty((batch, campaigns)),
        segment=np.empty(worth.recall.shape),
        creative=np.empty((batch, campaigns)),
        bidding=np.empty((batch, campaigns)),
    )
    _reward(
        *(worth, outcome.dislikes, pacing_error, scenario.values.completion_usd),
        *(AHEAD_PENALTY * volume_usd, rewards, 0, batch),
    )
    return rewards
