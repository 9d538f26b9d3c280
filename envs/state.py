"""What a batch of markets is made of: structures of arrays, one leading axis B, shapes beside every field.

Axis letters are those of `envs.catalogue`. Money is USD, counts are real impressions
(a simulated opportunity times `impression_weight`) unless a comment says otherwise.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Int = NDArray[np.int64]
Bool = NDArray[np.bool_]

INCIDENT_SLOTS = 2
DELAY_CLASSES = 3


class Brief(NamedTuple):
    """What an advertiser's brief tells everybody: the averages of its vertical, not its own truth."""

    vertical: Int  # [B, C] index into VERTICALS
    log_affinity: Float  # [B, C, S] average log affinity of the vertical
    log_format: Float  # [B, C, S, F]
    log_script: Float  # [B, C, S, V]
    wear_out: Float  # [B, C] log response lost per unit of wear
    recall_decay: Float  # [B, C] share of slow memory kept an interval
    conversion: Float  # [B, C] factor on conversions
    recall: Float  # [B, C] factor on recall


class MarketParameters(NamedTuple):
    """What a seed fixes for a whole flight; hidden from agents unless a comment says public."""

    seed: NDArray[np.uint64]  # [B]
    listener_segment: Int  # [B, L] public, contiguous blocks
    segment_start: Int  # [B, S + 1] first listener of every segment, and the end
    listening_share: Float  # [B, L] of its segment's listening at full health
    alias_probability: Float  # [B, L] Walker's alias table of who of a segment listens
    alias: Int  # [B, L]
    vertical: Int  # [B, C] public
    listener_taste: Float  # [B, L, D]
    campaign_taste: Float  # [B, C, D]
    irritable: Bool  # [B, L] repetition turns them negative
    affinity: Float  # [B, C, L] true affinity, 1 = average
    affinity_hint: Float  # [B, C, S] public, noisy segment means of it
    log_arm: Float  # [B, C, S, K] true log effect of format, script and their interactions
    log_mood: Float  # [B, C, M, F, V] activity × format × script
    mood_probability: Float  # [B, T, S, M] public
    wear_out: Float  # [B, C]
    wear_in: Float  # [B, C]
    recall_decay: Float  # [B, C] slow memory kept an interval
    conversion: Float  # [B, C]
    recall: Float  # [B, C]
    churn: Float  # [B, S]
    traffic: Float  # [B, T, S, P] mean opportunities at full health and the reference ad load
    attention: Float  # [B, T, P] public
    event_interval: Int  # [B] public, −1 without an event
    budget_usd: Float  # [B, C] public
    rival_level: Float  # [B, R, S, P] factor on the price table
    rival_drift: Float  # [B, R, T]
    rival_budget_usd: Float  # [B, R] a day
    rival_paces: Bool  # [B, R] spreads its budget; else burns it
    rival_share: Float  # [B, S, P, R] cumulative probability of owning the market price
    rival_vertical: Int  # [B, R]
    incident_kind: Int  # [B, INCIDENT_SLOTS]
    incident_start: Int  # [B, INCIDENT_SLOTS]
    incident_length: Int  # [B, INCIDENT_SLOTS]
    incident_placement: Int  # [B, INCIDENT_SLOTS]
    incident_campaign: Int  # [B, INCIDENT_SLOTS]
    incident_segment: Int  # [B, INCIDENT_SLOTS] whose creative is struck: what airs there as it begins


class MarketState(NamedTuple):
    """What changes within a flight."""

    budget_left_usd: Float  # [B, C]
    day_left_usd: Float  # [B, C] of today's cap; inf without one
    memory_fast: Float  # [B, C, L] in [0, 1]
    memory_slow: Float  # [B, C, L] in [0, 1]
    annoyance: Float  # [B, C, L]
    recent_exposure: Float  # [B, C, L] decaying count: massing
    exposures: Float  # [B, C, L] this flight
    exposures_today: Float  # [B, L, C]
    ads_heard: Float  # [B, L] decaying count of all ads heard
    hours_listened: Float  # [B, L] decaying count: their ratio is the ad load
    health: Float  # [B, L] share of usual listening
    wear: Float  # [B, C, S, F, V]
    conversion_pool: Int  # [B, C, S, DELAY_CLASSES] conversions that wait
    rival_left_usd: Float  # [B, R] of today's budget
    rival_pace: Float  # [B, R] probability of taking part
    on_air: Int  # [B, C, S] arm that airs this interval
    struck_script: Int  # [B, INCIDENT_SLOTS] what an incident on creatives has struck, −1 before it
    recall: Float  # [B, C, S] mean over listeners
    segment_health: Float  # [B, S] mean over listeners


class Controls(NamedTuple):
    """What the agents' actions amount to in one interval."""

    multiplier: Float  # [B, C, S, P] bid per predicted value
    throttle: Float  # [B, C, P] in [0, 1], 0 = paused
    aggression_cap: Float  # [B, C] highest bid per predicted value
    predicted_affinity: Float  # [B, C, L] what the audience agent believes


class Outcome(NamedTuple):
    """What one interval brought. Per cell = [B, C, S, P]."""

    opportunities: Float  # [B, S, P] simulated opportunities
    bids: Float  # cell, simulated
    wins: Float  # cell, simulated impressions
    spend_usd: Float  # cell
    bid_usd: Float  # cell, sum of bids made
    won_bid_usd: Float  # cell, sum of the bids that won
    price_usd: Float  # cell, sum of prices to beat inside the table
    priced: Float  # cell, how many opportunities had such a price
    predicted_won: Float  # cell, sum over wins of predicted affinity × quality
    completions: Float  # cell
    skips: Float  # cell
    dislikes: Float  # cell
    clicks: Float  # cell
    wasted_usd: Float  # cell, paid for impressions that could bring nothing
    affinity_won: Float  # cell, sum over wins of true affinity
    conversions_caused: Float  # [B, C, S] within the attribution window of 30 days
    conversions: Float  # [B, C, S] reported this interval
    conversions_settled: Float  # [B, C, S] pending at the flight's end: all within the window
    recall_before: Float  # [B, C, S] mean over listeners
    recall: Float  # [B, C, S] mean over listeners
    health_before: Float  # [B, S]
    health: Float  # [B, S]
    fatigue: Float  # [B, C, S] mean log response lost to repetition
    frequency: Float  # [B, C, S] mean exposures of a listener this flight
    recent_exposure: Float  # [B, C, S]
    reach: Float  # [B, C] share of listeners reached this flight
    tracked: Float  # [B, P] 0 where a tracking outage hides completions and clicks
    incident: Int  # [B, INCIDENT_SLOTS] kind active this interval


def empty_outcome(b: int, c: int, s: int, p: int) -> Outcome:
    """An outcome of zeros that a step fills."""
    cell, segment = (b, c, s, p), (b, c, s)
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(Outcome._fields, cell)
    shapes |= dict.fromkeys(
        ("conversions_caused", "conversions", "conversions_settled", "recall_before", "recall"), segment
    )
    shapes |= dict.fromkeys(("fatigue", "frequency", "recent_exposure"), segment)
    shapes |= {"opportunities": (b, s, p), "health_before": (b, s), "health": (b, s), "reach": (b, c)}
    shapes["tracked"] = (b, p)
    arrays: dict[str, NDArray[np.generic]] = {name: np.zeros(shape) for name, shape in shapes.items()}
    arrays["incident"] = np.zeros((b, INCIDENT_SLOTS), np.int64)
    return Outcome(**arrays)  # type: ignore[arg-type]
