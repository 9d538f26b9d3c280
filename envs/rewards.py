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
    for b in range(first, end):
        for s in range(segments):
            people = unit.weight * (segment_start[b, s + 1] - segment_start[b, s])
            worth.health[b, s] = unit.health_usd * people * (out.health[b, s] - out.health_before[b, s])
            for c in range(campaigns):
                completions, waste = 0.0, 0.0
                for p in range(placements):
                    completions += out.completions[b, c, s, p]
                    waste += out.wasted_usd[b, c, s, p]
                recall = out.recall[b, c, s]
                gain = unit.recall_gain_usd * (recall - out.recall_before[b, c, s])
                worth.completions[b, c, s] = unit.completion_usd * completions
                worth.conversions[b, c, s] = unit.conversion_usd * out.conversions_caused[b, c, s]
                worth.recall[b, c, s] = people * (gain + unit.recall_level_usd * recall)
                worth.waste[b, c, s] = waste


@kernel
def _reward(worth, dislikes, pacing_error, completion_usd, ahead_usd, rewards, first, end):  # type: ignore[no-untyped-def]
    _, campaigns, segments, placements = dislikes.shape
    for b in range(first, end):
        team = 0.0
        for c in range(campaigns):
            campaign, creative, bidding, disliked = 0.0, 0.0, 0.0, 0.0
            for s in range(segments):
                for p in range(placements):
                    disliked += dislikes[b, c, s, p]
                liked = worth.completions[b, c, s] + worth.recall[b, c, s]
                own = worth.completions[b, c, s] + worth.conversions[b, c, s] + worth.recall[b, c, s]
                own -= worth.waste[b, c, s]
                whole = own + worth.health[b, s] / campaigns
                rewards.segment[b, c, s] = whole
                campaign += whole
                creative += liked
                bidding += own
            team += campaign
            rewards.campaign[b, c] = campaign
            rewards.creative[b, c] = creative - completion_usd * disliked
            rewards.bidding[b, c] = bidding - ahead_usd * max(0.0, pacing_error[b, c] - AHEAD_ALLOWED)
        rewards.team[b] = team


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
