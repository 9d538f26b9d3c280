"""Our bids: from multipliers and predictions to the auction, and the rows that feedback and logs read."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from envs import catalogue as cat
from envs import constants as con
from envs.constants import struck_campaign
from envs.kernel import inlined, inner_kernel
from envs.state import Float, Int

_FIT, _NEEDS_SCREEN, _ARMS = cat.PLACEMENT_FIT, cat.NEEDS_SCREEN, cat.ARMS
OUTCOME_DRAWS = 2
"""Draws of four random words that tell what one impression brought."""
LOST, SERVED, UNHEARD = 0, 1, 2
"""What became of a bid; a slot that nobody hears (the listener left the pod) is won and not billed."""


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
    status: Int  # LOST, SERVED or UNHEARD
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


_USD_AND_FACTORS = (
    "quality",
    "predicted",
    "wish_usd",
    "bid_usd",
    "price_to_beat_usd",
    "paid_usd",
    "response",
)


def no_bids(rows: int) -> Bids:
    """Room for so many rows."""
    return Bids(
        **{name: np.empty(rows, float if name in _USD_AND_FACTORS else np.int64) for name in Bids._fields}
    )


@inner_kernel
def prepare_bids(m, st, k, ctl, scratch, b, t):  # type: ignore[no-untyped-def]
    """Bids per predicted value, and predicted values by listener, as the pass over opportunities reads them.

    Fills scratch.unit_bid [2, S · P, C] (screen hidden or visible; 0 where a campaign makes no bid) and
    scratch.believed [L, C].
    """
    listeners, campaigns = scratch.believed.shape
    segments, placements = k.segments, k.within_table.shape[0]
    predicted, believed, unit_bid = ctl.predicted_affinity[b], scratch.believed, scratch.unit_bid
    for c in range(campaigns):
        for i in range(listeners):
            believed[i, c] = predicted[c, i]
    overspending = struck_campaign(m, b, con.OVERSPEND_FAULT, t)
    silent = struck_campaign(m, b, con.SILENT_AGENT, t)
    for c in range(campaigns):
        factor = con.OVERSPEND_FACTOR if c == overspending else 1.0
        factor = 0.0 if c == silent else factor
        scratch.own_category[c] = m.vertical[b, c] if k.separation else -1
        for s in range(segments):
            fmt = _ARMS[st.on_air[b, c, s], 0]
            for p in range(placements):
                wish = min(ctl.multiplier[b, c, s, p], ctl.aggression_cap[b, c]) * ctl.throttle[b, c, p]
                wish *= factor * _FIT[fmt, p] * m.attention[b, t, p] * k.price_level_usd
                cell = s * placements + p
                unit_bid[0, cell, c] = 0.0 if _NEEDS_SCREEN[fmt] else wish
                unit_bid[1, cell, c] = wish


@inlined
def our_bids(  # type: ignore[no-untyped-def]
    unit_bid,
    believed,
    quality,
    purse,
    exposures_today,
    cap,
    cell,
    visible,
    i,
    own_category,
    scratch_bid,
    tally,
):
    """Puts the bids of our campaigns first into the auction; gives how many.

    Args:
        unit_bid: [2, S · P, C] bid per predicted value.
        believed: [L, C] predicted affinity.
        quality: of the opportunity.
        purse: [C] what a campaign can pay now, USD.
        exposures_today: [L, C].
        cap: impressions a day and listener.
        cell: segment × placement.
        visible: 1 = the screen is in view.
        i: the listener.
        own_category: [C].
        scratch_bid: (bids, categories, bidders) of the auction; filled from 0.
        tally: (count, sum in USD) of bids [S · P, C]; added to.
    """
    bid, category, bidder = scratch_bid
    bid_count, bid_usd = tally
    bidders = 0
    for c in range(own_category.shape[0]):
        offer = min(unit_bid[visible, cell, c] * believed[i, c] * quality, purse[c])
        if offer > 0.0 and exposures_today[i, c] < cap:
            bid_count[cell, c] += 1.0
            bid_usd[cell, c] += offer
            bid[bidders] = offer
            category[bidders] = own_category[c]
            bidder[bidders] = c
            bidders += 1
    return bidders


@inlined
def taken_bids(offers, cell, own_category, scratch_bid, tally):  # type: ignore[no-untyped-def]
    """As `our_bids`, of bids [C] that somebody else made, 0 = none."""
    bid, category, bidder = scratch_bid
    bid_count, bid_usd = tally
    bidders = 0
    for c in range(own_category.shape[0]):
        if offers[c] > 0.0:
            bid_count[cell, c] += 1.0
            bid_usd[cell, c] += offers[c]
            bid[bidders] = offers[c]
            category[bidders] = own_category[c]
            bidder[bidders] = c
            bidders += 1
    return bidders


@inlined
def write_bid(  # type: ignore[no-untyped-def]
    made,
    row,
    item,
    c,
    i,
    s,
    p,
    slot,
    visible,
    status,
    quality,
    predicted,
    unit_usd,
    bid_usd,
    to_beat_usd,
    paid_usd,
):
    """One row of scratch.made."""
    made.item[row] = item
    made.first_draw[row] = OUTCOME_DRAWS * c
    made.campaign[row] = c
    made.listener[row] = i
    made.segment[row] = s
    made.placement[row] = p
    made.slot[row] = slot
    made.visible[row] = visible
    made.status[row] = status
    made.quality[row] = quality
    made.predicted[row] = predicted
    made.wish_usd[row] = unit_usd * predicted
    made.bid_usd[row] = bid_usd
    made.price_to_beat_usd[row] = to_beat_usd
    made.paid_usd[row] = paid_usd
