"""A scenario as the kernels read it, and the incidents that strike a market."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from envs import response as res
from envs.auction import RULE
from envs.catalogue import ARMS, S
from envs.kernel import inner_kernel, kernel
from envs.price_landscape import TABLE_SIZE
from envs.scenario import Scenario

_SCRIPT = ARMS[:, 1].copy()
INVALID_TRAFFIC, RIVAL_SURGE, TRACKING_OUTAGE, CREATIVE_BURN_OUT, OVERSPEND_FAULT = 1, 2, 3, 4, 5
FREQUENCY_BREACH, DISLIKE_SURGE, SILENT_AGENT, CTR_DROP, CPA_BREACH = 6, 7, 8, 9, 10
INVALID_SHARE = 0.75
INVALID_CLICK_RATE = 0.02
INVALID_DISCOUNT = 0.7
SURGE_FACTOR, OVERSPEND_FACTOR = 1.7, 3.0
BURNT_OUT_RESPONSE = 0.5
"""Share left of the response to a creative that burnt out: listeners have met it elsewhere, too, so that more
is worn than what this flight has shown of it, and pausing it here does not mend it."""
REPEATS = 4.0
"""Times that a listener hears a spot that was bought once, where the frequency cap is breached."""
DISLIKE_FACTOR, DISLIKED_ANNOYANCE = 5.0, 2.0
"""On dislikes, and on what each impression annoys, where a creative gives offence: of those who hear it."""
DEAD_LINK_CLICKS, DEAD_LINK_CONVERSIONS = 0.1, 0.5
"""Shares left where a creative's link leads nowhere: of clicks, and of purchases, half of them elsewhere."""
BROKEN_SHOP_CONVERSIONS = 0.2
"""Share of purchases left where a campaign's shop is broken: what a conversion costs rises fivefold."""
INATTENTIVE_SHARE = 0.04
"""Share of impressions not heard or seen at all: muted, in a pocket, below the fold."""


class Constants(NamedTuple):
    """A scenario as the kernel reads it."""

    intervals: int
    intervals_per_day: int
    weight: int
    rule: int  # of pricing, an index that the auction's kernel knows
    separation: bool
    reactive: bool
    log: bool  # keep a row for every bid, for the event log
    segments: int
    price_level_usd: float
    value_price_dependence: float  # share of prices that rank as the opportunity's quality
    frequency_cap: float
    daily_cap_fraction: float  # of a campaign's first budget; inf without a cap
    load_factor: float  # ads an hour against the reference
    health_change: float  # share of the way to its target that health goes in an interval
    fast_kept: float  # of fast memory, an interval
    annoyance_kept: float
    recent_kept: float
    load_kept: float
    wear_kept: float
    delay_release: NDArray[np.float64]  # [DELAY_CLASSES] reported an interval
    slots: NDArray[np.int64]  # [P]
    exposure: NDArray[np.float64]  # [longest pod + 1], 0 at the end
    ladder: NDArray[
        np.float64
    ]  # [longest pod + 1] R / (R − rank): how a rival's price follows the next higher
    within_table: NDArray[np.float64]  # [P]
    reserve_usd: NDArray[np.float64]  # [P]
    price_quantile: NDArray[np.float64]  # [P, Q]
    quality: NDArray[np.float64]  # [QUALITY_LEVELS] equally likely qualities of an opportunity


QUALITY_LEVELS = 1024
LADDER = 1024


def constants_of(scenario: Scenario, held_out: bool = False, log: bool = False) -> Constants:
    """The numbers of a scenario that the kernel needs, on held-out markets or on others."""
    auction, rivals, hours = scenario.auction, scenario.rivals.count, scenario.hours_per_interval
    z = ndtri((np.arange(QUALITY_LEVELS) + 0.5) / QUALITY_LEVELS)
    quality = np.exp(scenario.response.quality_sd * z)
    longest = max(auction.slots)
    return Constants(
        intervals=scenario.intervals,
        intervals_per_day=scenario.intervals_per_day,
        weight=scenario.impression_weight,
        rule=RULE[auction.pricing],
        separation=auction.competitive_separation,
        reactive=scenario.rivals.reactive,
        log=log,
        segments=S,
        price_level_usd=auction.price_level_usd,
        value_price_dependence=auction.value_price_dependence,
        frequency_cap=float(scenario.listeners.daily_frequency_cap),
        daily_cap_fraction=math.inf if scenario.daily_cap_fraction is None else scenario.daily_cap_fraction,
        load_factor=scenario.listeners.ads_per_hour / res.REFERENCE_ADS_PER_HOUR,
        health_change=1.0 - float(res.kept(hours * scenario.time_acceleration, res.HEALTH_HOURS)),
        fast_kept=float(res.kept(hours, res.FAST_MEMORY_HOURS)),
        annoyance_kept=float(res.kept(hours, res.ANNOYANCE_HOURS)),
        recent_kept=float(res.kept(hours, res.RECENT_EXPOSURE_HOURS)),
        load_kept=float(res.kept(hours, res.LOAD_HOURS)),
        wear_kept=float(res.kept(hours, res.WEAR_HOURS)),
        delay_release=1.0 - np.asarray(res.kept(hours, np.array(res.DELAY_HOURS))),
        slots=np.array(auction.slots, np.int64),
        exposure=np.array([*auction.slot_exposure[:longest], 0.0]),
        ladder=_ladder(rivals, longest + 1),
        within_table=np.array(auction.probability_within_table),
        reserve_usd=np.array(auction.reserve_fraction) * auction.price_level_usd,
        price_quantile=np.array([_table(landscape.quantile) for landscape in scenario.landscapes(held_out)]),
        quality=quality,
    )


def _ladder(rivals: int, ranks: int) -> NDArray[np.float64]:
    """[ranks, LADDER + 1] u^(R / (R − rank)) at u = n / LADDER; straight lines between are within 1e-6.

    With G the distribution of the highest of R independent prices, the next of them has a G that is
    smaller by the factor u^(R / (R − rank)), u uniform: order statistics from the top.
    """
    u = np.arange(LADDER + 1) / LADDER
    exponent = rivals / np.maximum(1.0, rivals - np.arange(ranks, dtype=np.float64))
    return np.asarray(u ** exponent[:, None])


def _table(quantile: NDArray[np.float64]) -> NDArray[np.float64]:
    """[TABLE_SIZE] the same landscape with as many points as the others."""
    at = ((np.arange(TABLE_SIZE) + 0.5) / TABLE_SIZE * len(quantile)).astype(np.int64)
    return np.asarray(quantile[at], np.float64)


@inner_kernel
def active_incident(kinds, starts, lengths, kind, t):  # type: ignore[no-untyped-def]
    """Slot of an incident of this kind that is active at interval t in one market, or −1."""
    for slot in range(kinds.shape[0]):
        if kinds[slot] == kind and starts[slot] <= t < starts[slot] + lengths[slot]:
            return slot
    return -1


@kernel
def struck_campaign(m, b, kind, t):  # type: ignore[no-untyped-def]
    """Campaign of market b that an incident of this kind strikes at interval t, or −1."""
    slot = active_incident(m.incident_kind[b], m.incident_start[b], m.incident_length[b], kind, t)
    return m.incident_campaign[b, slot] if slot >= 0 else -1


@kernel
def struck_creative(m, st, b, kind, t):  # type: ignore[no-untyped-def]
    """Campaign and script of market b that an incident of this kind strikes at interval t, or −1, −1.

    What airs in the incident's segment as it begins is struck, and stays so: nobody misses what never airs.
    """
    slot = active_incident(m.incident_kind[b], m.incident_start[b], m.incident_length[b], kind, t)
    if slot < 0:
        return -1, -1
    campaign = m.incident_campaign[b, slot]
    if t > m.incident_start[b, slot]:
        return campaign, st.struck_script[b, slot]
    return campaign, _SCRIPT[st.on_air[b, campaign, m.incident_segment[b, slot]]]
