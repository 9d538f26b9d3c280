"""One interval of a batch of markets: opportunities, listeners, delayed conversions, rivals.

Order within an interval: memory, annoyance, health and wear act from their state at its start;
budgets and frequency caps count in order of arrival. Every market is stepped alone with draws
addressed by (seed, interval, opportunity), so batches, blocks, threads and workers cannot change it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs import catalogue as cat
from envs import constants as con
from envs.constants import active_incident
from envs.feedback import OUTCOME_DRAWS, TALLIES, prepare_creatives
from envs.kernel import kernel
from envs.listeners import survey, update_listeners
from envs.opportunities import BLOCK, GUIDE, play_opportunities
from envs.philox import UNIT, binomial, fill_words
from envs.rivals import FIRST_PRICE_WORD, WORDS_PER_RIVAL, update_rivals
from envs.state import (
    DELAY_CLASSES,
    Float,
    Int,
    MarketParameters,
    MarketState,
)

_RELEASE = 5
_ARMS = cat.ARMS
INITIAL_RECALL = 0.02


class Bids(NamedTuple):
    """Bids of ours in a block of opportunities, one row each, in order of arrival.

    Without an event log only the impressions served are kept. The last columns are filled by feedback.
    """

    item: Int  # which opportunity of the interval
    first_draw: Int  # of its feedback
    campaign: Int
    listener: Int
    segment: Int
    placement: Int
    slot: Int  # of the pod; −1 where the bid lost
    visible: Int  # 1 = the screen is in view
    status: Int  # LOST, SERVED, UNHEARD of `envs.opportunities`
    quality: Float  # factor of the opportunity's value
    predicted: Float  # predicted affinity × quality
    wish_usd: Float  # the bid before it was cut to what budget and daily cap left
    bid_usd: Float
    price_to_beat_usd: Float  # what would just have won; NaN beyond the price table
    paid_usd: Float
    response: Float  # z; 0 where nobody attended
    completions: Int
    skips: Int
    dislikes: Int
    clicks: Int
    conversions: Int  # caused
    valid: Int  # 0 = invalid traffic or nobody attended


class Scratch(NamedTuple):
    """Working memory of one market's interval, one a thread; nothing of it outlives the interval."""

    words: NDArray[np.uint32]  # [words of an opportunity, block]
    edge: Float  # [S · P] cumulative shares of cells
    guide: Int  # [GUIDE]
    unit_bid: Float  # [2, S · P, C] bid per predicted value, screen hidden or visible
    believed: Float  # [L, C] predicted affinity
    arrived: Float  # [S · P] opportunities
    bid_count: Float  # [S · P, C] bids
    bid_usd: Float  # [S · P, C] their sum
    beat: Float  # [S · P] opportunities with a price inside the table
    beat_usd: Float  # [S · P] sum of what it took to win one
    extra_usd: Float  # [S · P, C] the same where the campaign won, above what it took others
    release_words: NDArray[np.uint32]  # [4, C · S · DELAY_CLASSES]
    tally: Float  # [C · S · P, TALLIES] what impressions brought
    conversions: Float  # [C, S] caused
    own_category: Int  # [C]
    purse_usd: Float  # [C] what a campaign can pay: of its budget, and today
    bid: Float  # [bidders of an opportunity]
    category: Int  # [bidders]
    bidder: Int  # [bidders] campaign c, or C + rival
    ranked_bid: Float  # [slots + 1]
    ranked_bidder: Int  # [slots + 1]
    shadow: Float  # [slots + 1]
    winner: Int  # [slots]
    price: Float  # [slots]
    made: Bids  # [block · C] rows
    outcome_words: NDArray[np.uint32]  # [words of a row's feedback, block · C]
    met: Float  # [block · C, 5] of the row's listener: affinity, annoyance, that of all, exposures, recall
    effect: Float  # [C, S, M] effect of what is on air
    shown: Float  # [C, L] impressions
    attention: Float  # [C, L] response × recall factor of the impressions
    reached: Int  # [C · L, 2] campaign and listener of those shown something
    reached_count: Int  # [1] how many of them
    aired: Float  # [C, S] impressions
    heard: Float  # [L] ads of anybody
    total: Float  # [L] annoyance over campaigns
    waiting: Int  # [C, S, DELAY_CLASSES] conversions caused


_USD_AND_FACTORS = (
    "quality",
    "predicted",
    "wish_usd",
    "bid_usd",
    "price_to_beat_usd",
    "paid_usd",
    "response",
)


def _no_bids(rows: int) -> Bids:
    return Bids(
        **{name: np.empty(rows, float if name in _USD_AND_FACTORS else np.int64) for name in Bids._fields}
    )


def new_scratch(campaigns: int, listeners: int, longest_pod: int, block: int = BLOCK) -> Scratch:
    """Working memory for markets of this size; `block` changes the speed and nothing else."""
    ranks, words = longest_pod + 1, FIRST_PRICE_WORD + WORDS_PER_RIVAL * (longest_pod + 1)
    bidders, segment, cells = campaigns + ranks, (campaigns, cat.S), cat.S * cat.P
    return Scratch(
        words=np.empty((4 * -(-words // 4), block), np.uint32),
        edge=np.empty(cells),
        guide=np.empty(GUIDE, np.int64),
        unit_bid=np.empty((2, cells, campaigns)),
        believed=np.empty((listeners, campaigns)),
        arrived=np.zeros(cells),
        bid_count=np.zeros((cells, campaigns)),
        bid_usd=np.zeros((cells, campaigns)),
        beat=np.zeros(cells),
        beat_usd=np.zeros(cells),
        extra_usd=np.zeros((cells, campaigns)),
        release_words=np.empty((4, campaigns * cat.S * DELAY_CLASSES), np.uint32),
        tally=np.zeros((campaigns * cells, TALLIES)),
        conversions=np.zeros(segment),
        own_category=np.empty(campaigns, np.int64),
        purse_usd=np.empty(campaigns),
        bid=np.empty(bidders),
        category=np.empty(bidders, np.int64),
        bidder=np.empty(bidders, np.int64),
        ranked_bid=np.empty(ranks),
        ranked_bidder=np.empty(ranks, np.int64),
        shadow=np.empty(ranks),
        winner=np.empty(longest_pod, np.int64),
        price=np.empty(longest_pod),
        made=_no_bids(block * campaigns),
        outcome_words=np.empty((4 * OUTCOME_DRAWS, block * campaigns), np.uint32),
        met=np.empty((block * campaigns, 5)),
        effect=np.empty((*segment, cat.M)),
        shown=np.zeros((campaigns, listeners)),
        attention=np.zeros((campaigns, listeners)),
        reached=np.empty((campaigns * listeners, 2), np.int64),
        reached_count=np.zeros(1, np.int64),
        aired=np.zeros(segment),
        heard=np.zeros(listeners),
        total=np.zeros(listeners),
        waiting=np.zeros((*segment, DELAY_CLASSES), np.int64),
    )


@kernel
def _settle(m, st, k, out, scratch, next_on_air, b, t):  # type: ignore[no-untyped-def]
    """Wear, reported conversions, creatives on air, what is tracked, which incidents were active."""
    campaigns, segments, classes = scratch.waiting.shape
    last, words, waiting = t == k.intervals - 1, scratch.release_words, scratch.waiting
    waits, wear, on_air = st.conversion_pool[b], st.wear[b], st.on_air[b]
    start, conversions, settled = m.segment_start[b], out.conversions[b], out.conversions_settled[b]
    fill_words(m.seed[b], _RELEASE, t, 0, campaigns * segments * classes, 1, words)
    for c in range(campaigns):
        for s in range(segments):
            reports, rest = 0, 0
            for d in range(classes):
                pool = waits[c, s, d] + waiting[c, s, d]
                waiting[c, s, d] = 0
                u = (words[0, (c * segments + s) * classes + d] + 0.5) * UNIT
                reported = binomial(pool, k.delay_release[d], u)
                reports += reported
                waits[c, s, d] = pool - reported
                rest += pool - reported
            conversions[c, s] = reports
            settled[c, s] = rest if last else 0
            for f in range(wear.shape[2]):
                for v in range(wear.shape[3]):
                    wear[c, s, f, v] *= k.wear_kept
            arm = on_air[c, s]
            people = max(1, start[s + 1] - start[s])
            wear[c, s, _ARMS[arm, 0], _ARMS[arm, 1]] += scratch.aired[c, s] / people
            scratch.aired[c, s] = 0.0
            on_air[c, s] = next_on_air[b, c, s]
    kinds, starts, lengths = m.incident_kind[b], m.incident_start[b], m.incident_length[b]
    outage = active_incident(kinds, starts, lengths, con.TRACKING_OUTAGE, t)
    for p in range(out.tracked.shape[1]):
        out.tracked[b, p] = 0.0 if outage >= 0 and m.incident_placement[b, outage] == p else 1.0
    for slot in range(kinds.shape[0]):
        if starts[slot] <= t < starts[slot] + lengths[slot]:
            out.incident[b, slot] = kinds[slot]


@kernel
def play_interval(m, st, k, ctl, out, scratch, next_on_air, first, end, t):  # type: ignore[no-untyped-def]
    """Plays interval t of markets first … end − 1: `st` and `scratch` change, `out` (zeros) is filled."""
    for b in range(first, end):
        if t % k.intervals_per_day == 0:
            st.exposures_today[b] = 0.0
            for c in range(ctl.aggression_cap.shape[1]):
                st.day_left_usd[b, c] = k.daily_cap_fraction * m.budget_usd[b, c]
        prepare_creatives(m, st, scratch, b, t)
        play_opportunities(m, st, k, ctl, out, scratch, b, t)
        update_listeners(m, st, k, scratch, b, t)
        _settle(m, st, k, out, scratch, next_on_air, b, t)
        update_rivals(m, st, k, out, b, t)
        survey(m, st, out, b)


def new_state(m: MarketParameters, initial_arm: Int) -> MarketState:
    """The state at the start of a flight: nobody exposed, nothing spent."""
    batch, campaigns, listeners = m.affinity.shape
    rivals = m.rival_budget_usd.shape[1]
    per_listener = (batch, campaigns, listeners)
    return MarketState(
        budget_left_usd=m.budget_usd.copy(),
        day_left_usd=np.full((batch, campaigns), np.inf),
        memory_fast=np.zeros(per_listener),
        memory_slow=np.full(per_listener, INITIAL_RECALL),
        annoyance=np.zeros(per_listener),
        recent_exposure=np.zeros(per_listener),
        exposures=np.zeros(per_listener),
        exposures_today=np.zeros((batch, listeners, campaigns)),
        ads_heard=np.zeros((batch, listeners)),
        hours_listened=np.zeros((batch, listeners)),
        health=np.ones((batch, listeners)),
        wear=np.zeros((batch, campaigns, cat.S, cat.F, cat.V)),
        conversion_pool=np.zeros((batch, campaigns, cat.S, DELAY_CLASSES), np.int64),
        rival_left_usd=m.rival_budget_usd.copy(),
        rival_pace=np.ones((batch, rivals)),
        on_air=initial_arm.copy(),
        recall=np.full((batch, campaigns, cat.S), INITIAL_RECALL),
        segment_health=np.ones((batch, cat.S)),
    )
