"""Impression opportunities: who listens, what rivals bid, who wins (a numba kernel).

Opportunities arrive in random order over segments and placements. Their raw random words are drawn a
block at a time, which vectorises; everything after that is one plain pass in order of arrival, so that
budgets and frequency caps count exactly, whatever the block's length.
"""

from __future__ import annotations

import numpy as np

from envs import catalogue as cat
from envs import constants as con
from envs.auction import clear_pod, clear_slot
from envs.bids import LOST, SERVED, UNHEARD, our_bids, prepare_bids, taken_bids, write_bid
from envs.constants import active_incident
from envs.feedback import bring_feedback, report_feedback
from envs.kernel import inlined, inner_kernel
from envs.philox import UNIT, fill_words, uniform4
from envs.response import HEALTH_MAX
from envs.rivals import FIRST_PRICE_WORD, WORDS_PER_RIVAL, rival_bids

# Streams of the kernel's draws (the generator's start at 100).
_ARRIVAL, _OPPORTUNITY = 0, 1

_FIT, _NEEDS_SCREEN, _VISIBLE = cat.PLACEMENT_FIT, cat.NEEDS_SCREEN, cat.SCREEN_VISIBLE_PROBABILITY
_ARMS = cat.ARMS
_HALF = 1.0 / 65536.0
BLOCK = 256
"""Opportunities whose random words are drawn at a time: they and the tables they meet stay in the cache."""
GUIDE = 64


@inner_kernel
def _find_cells(traffic, edge, guide):  # type: ignore[no-untyped-def]
    """Cumulative shares of cells [S · P] and where to start looking for one [GUIDE]; gives the total."""
    segments, placements = traffic.shape
    total = 0.0
    for s in range(segments):
        for p in range(placements):
            total += traffic[s, p]
            edge[s * placements + p] = total
    cells = segments * placements
    for cell in range(cells):
        edge[cell] /= total
    edge[cells - 1] = 1.0
    cell = 0
    for g in range(guide.shape[0]):
        while edge[cell] * guide.shape[0] <= g:
            cell += 1
        guide[g] = cell
    return total


@inner_kernel
def _keep_accounts(out, scratch, b):  # type: ignore[no-untyped-def]
    """Moves what the pass over opportunities counted by cell into the outcome, and empties it."""
    count, bid_usd, beat, beat_usd = scratch.bid_count, scratch.bid_usd, scratch.beat, scratch.beat_usd
    extra_usd = scratch.extra_usd
    opportunities, bids, offered = out.opportunities[b], out.bids[b], out.bid_usd[b]
    price_usd, priced = out.price_usd[b], out.priced[b]
    segments, placements = opportunities.shape
    campaigns = bids.shape[0]
    for s in range(segments):
        for p in range(placements):
            cell = s * placements + p
            opportunities[s, p] = scratch.arrived[cell]
            for c in range(campaigns):
                bids[c, s, p] = count[cell, c]
                offered[c, s, p] = bid_usd[cell, c]
                price_usd[c, s, p] = beat_usd[cell] + extra_usd[cell, c]
                priced[c, s, p] = beat[cell]
    scratch.arrived[:] = 0.0
    count[:] = 0.0
    bid_usd[:] = 0.0
    beat[:] = 0.0
    beat_usd[:] = 0.0
    extra_usd[:] = 0.0


@inner_kernel
def open_sale(m, st, k, ctl, scratch, b, t):  # type: ignore[no-untyped-def]
    """Readies the sale of interval t: gives how many opportunities a market in full health would bring."""
    prepare_bids(m, st, k, ctl, scratch, b, t)
    budget, day_left = st.budget_left_usd[b], st.day_left_usd[b]
    for c in range(budget.shape[0]):
        scratch.purse_usd[c] = min(budget[c], day_left[c])
    total = _find_cells(m.traffic[b, t], scratch.edge, scratch.guide)
    arrival, _a1, _a2, _a3 = uniform4(m.seed[b], _ARRIVAL, t, 0, 0)
    return int(total * k.load_factor * HEALTH_MAX + arrival)


@inlined
def _arrive(words, j, edge, guide, start, alias_probability, alias, health, placements, levels):  # type: ignore[no-untyped-def]
    """Cell, listener, visibility and grade of quality of the opportunity of column j; cell −1: nobody."""
    u = (words[0, j] + 0.5) * UNIT
    cell = guide[int(u * GUIDE)]
    while u > edge[cell]:
        cell += 1
    s = cell // placements
    size = start[s + 1] - start[s]
    i, visible, grade = 0, 0, 0
    if size <= 0:
        cell = -1
    else:
        at = (words[1, j] + 0.5) * UNIT * size
        i = start[s] + int(at)
        other = alias[i]  # read in any case: which of the two is a toss that no processor foresees
        i = i if at - int(at) < alias_probability[i] else other
        if ((words[2, j] >> 16) + 0.5) * _HALF * HEALTH_MAX >= health[i]:
            cell = -1
        else:
            visible = 1 if ((words[2, j] & 0xFFFF) + 0.5) * _HALF < _VISIBLE[cell % placements] else 0
            grade = ((words[3, j] >> 16) * levels) >> 16
    return cell, i, visible, grade


@inner_kernel
def find_opportunity(m, st, k, scratch, b, t, item):  # type: ignore[no-untyped-def]
    """The item-th opportunity of an open sale: cell (−1: nobody is there), listener, visible, quality."""
    fill_words(m.seed[b], _OPPORTUNITY, t, item, 1, 1, scratch.words)
    levels = k.quality.shape[0]
    tables = m.segment_start[b], m.alias_probability[b], m.alias[b], st.health[b]
    start, alias_probability, alias, health = tables
    cell, i, visible, grade = _arrive(
        scratch.words,
        0,
        scratch.edge,
        scratch.guide,
        start,
        alias_probability,
        alias,
        health,
        k.within_table.shape[0],
        levels,
    )
    return cell, i, visible, k.quality[grade]


@inner_kernel
def sell(m, st, k, out, scratch, b, t, first, end, offers):  # type: ignore[no-untyped-def]
    """Auctions opportunities first … end − 1 of an open sale and draws what the won ones brought.

    Args:
        m: MarketParameters.
        st: MarketState; budgets (ours and rivals'), daily caps and exposures change in place.
        k: Constants.
        out: Outcome, whose own cells `close_sale` fills.
        scratch: Scratch; `attention`, `shown`, `heard` and `waiting` are added to.
        b: the market.
        t: the interval.
        first: first opportunity.
        end: one behind the last.
        offers: [C] what campaigns bid in USD, 0 = no bid, from somebody who keeps budgets and caps
            himself; or [0], and they bid by their controls.

    Returns:
        How many rows of scratch.made the last block filled.
    """
    seed, budget, day_left, purse = m.seed[b], st.budget_left_usd[b], st.day_left_usd[b], scratch.purse_usd
    campaigns, placements = budget.shape[0], k.within_table.shape[0]
    today, health = st.exposures_today[b], st.health[b]
    left, pace, level = st.rival_left_usd[b], st.rival_pace[b], m.rival_level[b]
    landscape = (m.rival_share[b], level, m.rival_drift[b, :, t], m.rival_vertical[b], left, pace)
    start = m.segment_start[b]
    alias_probability, alias = m.alias_probability[b], m.alias[b]
    kinds, starts, lengths = m.incident_kind[b], m.incident_start[b], m.incident_length[b]
    words, bid, category, bidder = scratch.words, scratch.bid, scratch.category, scratch.bidder
    unit_bid, believed, own_category = scratch.unit_bid, scratch.believed, scratch.own_category
    winner, price, ranked = scratch.winner, scratch.price, scratch.ranked_bid
    ranked_bidder, shadow = scratch.ranked_bidder, scratch.shadow
    heard, edge, guide, made = scratch.heard, scratch.edge, scratch.guide, scratch.made
    arrived, bid_count, bid_usd = scratch.arrived, scratch.bid_count, scratch.bid_usd
    beat, beat_usd, extra_usd = scratch.beat, scratch.beat_usd, scratch.extra_usd
    auction, bids_made = (bid, category, bidder), (bid_count, bid_usd)
    slots_of, reserve, within, exposure = k.slots, k.reserve_usd, k.within_table, k.exposure
    qualities, quantile = k.quality, k.price_quantile
    separation, rule, cap, ladder = k.separation, k.rule, k.frequency_cap, k.ladder
    fraud = active_incident(kinds, starts, lengths, con.INVALID_TRAFFIC, t)
    fraud_placement = m.incident_placement[b, fraud] if fraud >= 0 else -1
    surge = con.SURGE_FACTOR if active_incident(kinds, starts, lengths, con.RIVAL_SURGE, t) >= 0 else 1.0
    price_level = k.price_level_usd * surge
    levels = qualities.shape[0]
    draws = (FIRST_PRICE_WORD + WORDS_PER_RIVAL * (exposure.shape[0]) + 3) // 4
    block = words.shape[1]
    rows = np.int64(0)  # numba would compile `bring_feedback` for a literal 0, too
    for item in range(first, end):
        j = (item - first) % block
        if j == 0:
            bring_feedback(m, st, k, scratch, b, t, rows)
            rows = np.int64(0)
            fill_words(seed, _OPPORTUNITY, t, item, min(block, end - item), draws, words)
        cell, i, visible, grade = _arrive(
            words, j, edge, guide, start, alias_probability, alias, health, placements, levels
        )
        if cell < 0:
            continue
        s, p = cell // placements, cell % placements
        arrived[cell] += 1.0
        quality = qualities[grade]
        slots, floor = slots_of[p], reserve[p]
        if offers.shape[0] > 0:
            ours = taken_bids(offers, cell, own_category, auction, bids_made)
        else:
            ours = our_bids(
                unit_bid,
                believed,
                quality,
                purse,
                today,
                cap,
                cell,
                visible,
                i,
                own_category,
                auction,
                bids_made,
            )
        follows = ((words[0, j] & 0xFFFF) + 0.5) * _HALF < k.value_price_dependence
        rank_of_quality = (grade + 0.5) / levels if follows else -1.0
        discount = con.INVALID_DISCOUNT if p == fraud_placement else 1.0
        sold, bidders = rival_bids(
            words,
            j,
            s,
            p,
            slots,
            within[p],
            rank_of_quality,
            ladder,
            quantile,
            landscape,
            price_level * discount,
            campaigns,
            ours,
            separation,
            auction,
        )
        hears_until = ((words[3, j] & 0xFFFF) + 0.5) * _HALF
        for slot in range(sold):
            if hears_until < exposure[slot]:
                heard[i] += 1.0
        open_slots = slots - sold
        last, next_best = np.nan, np.nan
        if open_slots > 0:
            if slots == 1:
                winner[0], price[0], last, next_best = clear_slot(bid, bidders, floor, rule, seed, t, item)
            else:
                clear_pod(
                    bid,
                    category,
                    bidders,
                    floor,
                    exposure[sold:],
                    open_slots,
                    rule,
                    seed,
                    t,
                    item,
                    ranked,
                    ranked_bidder,
                    shadow,
                    winner,
                    price,
                )
                last, next_best = ranked[open_slots - 1], ranked[open_slots]
            last, next_best = max(floor, last), max(floor, next_best)
            beat[cell] += 1.0
            beat_usd[cell] += last
        elif not k.log:
            continue
        first_row = rows
        for slot in range(open_slots):
            w = winner[slot]
            if w < 0:
                break
            who = bidder[w]
            ends = hears_until >= exposure[sold + slot]
            if not ends:
                heard[i] += 1.0
            if separation and slots > 1:
                for c in range(campaigns):  # whoever's kind holds a slot has that one to beat
                    if c != who and own_category[c] == category[w]:
                        extra_usd[cell, c] += ranked[slot] - last
            if who >= campaigns:
                if not ends:
                    left[who - campaigns] -= min(price[slot], left[who - campaigns])
                continue
            to_beat = max(next_best, shadow[slot]) if slots > 1 else next_best
            extra_usd[cell, who] += to_beat - last
            if ends and not k.log:
                continue
            if not ends:
                budget[who] = max(0.0, budget[who] - price[slot])
                day_left[who] = max(0.0, day_left[who] - price[slot])
                purse[who] = min(budget[who], day_left[who])
                today[i, who] += 1.0
            status, paid = (UNHEARD, 0.0) if ends else (SERVED, price[slot])
            predicted = believed[i, who] * quality
            write_bid(
                made,
                rows,
                item,
                who,
                i,
                s,
                p,
                sold + slot,
                visible,
                status,
                quality,
                predicted,
                unit_bid[visible, cell, who],
                bid[w],
                to_beat,
                paid,
            )
            rows += 1
        if not k.log:
            continue
        for w in range(ours):
            won = False
            for row in range(first_row, rows):
                won |= made.campaign[row] == bidder[w]
            if won:
                continue
            to_beat = last
            for slot in range(open_slots if separation and slots > 1 else 0):
                if winner[slot] >= 0 and category[winner[slot]] == category[w]:
                    to_beat = ranked[slot]
            predicted = believed[i, bidder[w]] * quality
            write_bid(
                made,
                rows,
                item,
                bidder[w],
                i,
                s,
                p,
                -1,
                visible,
                LOST,
                quality,
                predicted,
                unit_bid[visible, cell, bidder[w]],
                bid[w],
                to_beat,
                0.0,
            )
            rows += 1
    bring_feedback(m, st, k, scratch, b, t, rows)
    return rows


@inner_kernel
def close_sale(out, scratch, b):  # type: ignore[no-untyped-def]
    """Moves what an interval's sale counted into the outcome of market b."""
    _keep_accounts(out, scratch, b)
    report_feedback(out, scratch, b)
