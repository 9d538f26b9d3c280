"""What an interval was worth: pure functions of its outcome, in USD (EVALUATION.md, "The objective")."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from envs.scenario import Scenario
from envs.state import Float, MarketParameters, Outcome


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


def worth_of(outcome: Outcome, parameters: MarketParameters, scenario: Scenario) -> Worth:
    """The objective's parts in one interval; listeners count `impression_weight` people each."""
    values, weight = scenario.values, scenario.impression_weight
    people = weight * segment_size(parameters)
    gain = values.recall_gain_usd * (outcome.recall - outcome.recall_before)
    level = values.recall_level_usd * outcome.recall / scenario.intervals
    return Worth(
        completions=values.completion_usd * outcome.completions.sum(-1),
        conversions=values.conversion_usd * outcome.conversions_caused,
        recall=people[:, None] * (gain + level),
        health=values.health_usd * people * (outcome.health - outcome.health_before),
        waste=outcome.wasted_usd.sum(-1),
    )


def segment_size(parameters: MarketParameters) -> Float:
    """Listeners of each segment: [B, S]."""
    segments = np.arange(parameters.churn.shape[1])
    size: Float = (parameters.listener_segment[:, :, None] == segments).sum(1).astype(np.float64)
    return size


def rewards_of(outcome: Outcome, worth: Worth, pacing_error: Float, scenario: Scenario) -> Rewards:
    """Rewards of every agent and of the team.

    Args:
        outcome: the interval's outcome.
        worth: its value by `worth_of`.
        pacing_error: [B, C] share spent − share of the flight gone, after the interval.
        scenario: unit values.
    """
    campaigns = worth.completions.shape[1]
    own = worth.completions + worth.conversions + worth.recall - worth.waste
    segment = own + worth.health[:, None, :] / campaigns
    campaign = segment.sum(-1)
    dislikes = scenario.values.completion_usd * outcome.dislikes.sum((-1, -2))
    volume = scenario.opportunities_per_interval * scenario.auction.price_level_usd
    ahead = np.maximum(0.0, pacing_error - 0.25) * 0.1 * volume
    return Rewards(
        team=segment.sum((1, 2)),
        campaign=campaign,
        segment=segment,
        creative=(worth.completions + worth.recall).sum(-1) - dislikes,
        bidding=own.sum(-1) - ahead,
    )
