"""Impression opportunities: who listens, what rivals bid, who wins (a numba kernel).

Opportunities arrive in random order over segments and placements. Their raw random words are drawn a
block at a time, which vectorises; everything after that is one plain pass in order of arrival, so that
budgets and frequency caps count exactly, whatever the block's length.
"""

from __future__ import annotations

import math

from envs import catalogue as cat
from envs import constants as con
from envs.auction import clear_pod
from envs.constants import active_incident
from envs.feedback import bring_feedback
from envs.kernel import kernel
from envs.philox import fill_words, uniform4
from envs.response import HEALTH_MAX

# Streams of the kernel's draws (the generator's start at 100).
_ARRIVAL, _OPPORTUNITY = 0, 1

_FIT, _NEEDS_SCREEN, _VISIBLE = cat.PLACEMENT_FIT, cat.NEEDS_SCREEN, cat.SCREEN_VISIBLE_PROBABILITY
_ARMS = cat.ARMS
_UNIT, _HALF = 1.0 / 4294967296.0, 1.0 / 65536.0
BLOCK = 256
"""Opportunities whose random words are drawn at a time: they and the tables they meet stay in the cache."""
FIRST_PRICE_WORD, WORDS_PER_RIVAL = 4, 2
GUIDE = 64


@kernel
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


@kernel
def _prepare_bids(m, st, k, ctl, scratch, b, t):  # type: ignore[no-untyped-def]
    """Fills scratch.unit_bid [C, S, P]: a campaign's bid per predicted value, 0 where it makes none."""
    campaigns, segments, placements = scratch.unit_bid.shape
    fault = active_incident(
        m.incident_kind[b], m.incident_start[b], m.incident_length[b], con.OVERSPEND_FAULT, t
    )
    for c in range(campaigns):
        factor = con.OVERSPEND_FACTOR if fault >= 0 and m.incident_campaign[b, fault] == c else 1.0
        scratch.own_category[c] = m.vertical[b, c] if k.separation else -1
        for s in range(segments):
            fmt = _ARMS[st.on_air[b, c, s], 0]
            scratch.needs_screen[c, s] = _NEEDS_SCREEN[fmt]
            for p in range(placements):
                wish = min(ctl.multiplier[b, c, s, p], ctl.aggression_cap[b, c]) * ctl.throttle[b, c, p]
                scratch.unit_bid[c, s, p] = (
                    wish * factor * _FIT[fmt, p] * m.attention[b, t, p] * k.price_level_usd
                )


@kernel
def play_opportunities(m, st, k, ctl, out, scratch, b, t):  # type: ignore[no-untyped-def]
    """Auctions every opportunity of interval t of market b and draws what the won ones brought.

    Args:
        m: MarketParameters.
        st: MarketState; budgets (ours and rivals'), daily exposures change in place.
        k: Constants.
        ctl: Controls.
        out: Outcome whose cells are added to.
        scratch: Scratch; `attention`, `shown`, `heard` and `waiting` are added to.
        b: the market.
        t: the interval.
    """
    seed, budget = m.seed[b], st.budget_left_usd[b]
    campaigns, placements = budget.shape[0], k.within_table.shape[0]
    believed, today, health = ctl.predicted_affinity[b], st.exposures_today[b], st.health[b]
    left, pace, drift, level = st.rival_left_usd[b], st.rival_pace[b], m.rival_drift[b], m.rival_level[b]
    share, start = m.rival_share[b], m.segment_start[b]
    alias_probability, alias = m.alias_probability[b], m.alias[b]
    kinds, starts, lengths = m.incident_kind[b], m.incident_start[b], m.incident_length[b]
    opportunities, bids, bid_usd = out.opportunities[b], out.bids[b], out.bid_usd[b]
    price_usd, priced = out.price_usd[b], out.priced[b]
    words, bid, category, bidder = scratch.words, scratch.bid, scratch.category, scratch.bidder
    unit_bid, needs_screen, winner, price = (
        scratch.unit_bid,
        scratch.needs_screen,
        scratch.winner,
        scratch.price,
    )
    heard, edge, guide, ranked = scratch.heard, scratch.edge, scratch.guide, scratch.ranked_bid
    fraud = active_incident(kinds, starts, lengths, con.INVALID_TRAFFIC, t)
    fraud_placement = m.incident_placement[b, fraud] if fraud >= 0 else -1
    surge = con.SURGE_FACTOR if active_incident(kinds, starts, lengths, con.RIVAL_SURGE, t) >= 0 else 1.0
    _prepare_bids(m, st, k, ctl, scratch, b, t)
    total = _find_cells(m.traffic[b, t], edge, guide)
    rivals, table_size = left.shape[0], k.price_quantile.shape[1]
    levels = k.quality.shape[0]
    arrival, _a1, _a2, _a3 = uniform4(seed, _ARRIVAL, t, 0, 0)
    count = int(total * k.load_factor * HEALTH_MAX + arrival)
    most_rivals = k.exposure.shape[0]
    draws = (FIRST_PRICE_WORD + WORDS_PER_RIVAL * most_rivals + 3) // 4
    block = words.shape[1]
    for item in range(count):
        j = item % block
        if j == 0:
            fill_words(seed, _OPPORTUNITY, t, item, min(block, count - item), draws, words)
        u = (words[0, j] + 0.5) * _UNIT
        cell = guide[int(u * GUIDE)]
        while u > edge[cell]:
            cell += 1
        s, p = cell // placements, cell % placements
        size = start[s + 1] - start[s]
        if size <= 0:
            continue
        at = (words[1, j] + 0.5) * _UNIT * size
        i = start[s] + int(at)
        if at - int(at) >= alias_probability[i]:
            i = alias[i]
        if ((words[2, j] >> 16) + 0.5) * _HALF * HEALTH_MAX >= health[i]:
            continue
        opportunities[s, p] += 1.0
        visible = 1.0 if ((words[2, j] & 0xFFFF) + 0.5) * _HALF < _VISIBLE[p] else 0.0
        grade = ((words[3, j] >> 16) * levels) >> 16
        quality = k.quality[grade]
        slots, floor = k.slots[p], k.reserve_usd[p]
        # The rivals' prices: the highest from the table, the next ones as order statistics below it.
        scale = k.price_level_usd * k.quality_price[grade] * surge
        if p == fraud_placement:
            scale *= con.INVALID_DISCOUNT
        bidders, sold = 0, 0
        depth = 1.0
        for rank in range(slots + 1):
            word = FIRST_PRICE_WORD + WORDS_PER_RIVAL * rank
            v = (words[word, j] + 0.5) * _UNIT
            depth *= v if rank == 0 else math.exp(k.ladder_exponent * math.log(v))
            if depth >= k.within_table[p]:
                sold += 1  # beyond the table's end: this slot cannot be won
                if sold >= slots:
                    break
                continue
            pick = ((words[word + 1, j] >> 16) + 0.5) * _HALF
            low, high = 0, rivals - 1
            while low < high:
                middle = (low + high) // 2
                if pick > share[s, p, middle]:
                    low = middle + 1
                else:
                    high = middle
            r = low
            quoted = k.price_quantile[p, int(depth / k.within_table[p] * table_size)]
            quoted *= scale * level[r, s, p] * drift[r, t]
            takes_part = ((words[word + 1, j] & 0xFFFF) + 0.5) * _HALF
            if left[r] >= quoted and takes_part < pace[r]:
                bid[bidders] = quoted
                category[bidders] = m.rival_vertical[b, r] if k.separation else -1
                bidder[bidders] = campaigns + r
                bidders += 1
        for c in range(campaigns):
            wish = unit_bid[c, s, p]
            if wish <= 0.0 or (needs_screen[c, s] and visible == 0.0) or today[c, i] >= k.frequency_cap:
                continue
            offer = min(wish * believed[c, i] * quality, budget[c])
            if offer <= 0.0:
                continue
            bids[c, s, p] += 1.0
            bid_usd[c, s, p] += offer
            bid[bidders] = offer
            category[bidders] = scratch.own_category[c]
            bidder[bidders] = c
            bidders += 1
        heard[i] += sold
        if sold >= slots:
            continue
        exposure = k.exposure if sold == 0 else k.exposure[sold:]
        open_slots = slots - sold
        clear_pod(
            bid,
            category,
            bidders,
            floor,
            exposure,
            open_slots,
            k.rule,
            seed,
            t,
            item,
            ranked,
            scratch.ranked_bidder,
            scratch.shadow,
            winner,
            price,
        )
        last, next_best = max(floor, ranked[open_slots - 1]), max(floor, ranked[open_slots])
        for c in range(campaigns):
            price_usd[c, s, p] += last
            priced[c, s, p] += 1.0
        hears_until = ((words[3, j] & 0xFFFF) + 0.5) * _HALF
        for slot in range(open_slots):
            w = winner[slot]
            if w < 0:
                break
            who = bidder[w]
            if who < campaigns:
                price_usd[who, s, p] += next_best - last
            if hears_until >= exposure[slot]:
                continue
            heard[i] += 1.0
            if who >= campaigns:
                r = who - campaigns
                left[r] -= min(price[slot], left[r])
            else:
                budget[who] = max(0.0, budget[who] - price[slot])
                today[who, i] += 1.0
                predicted = believed[who, i] * quality
                bring_feedback(
                    m,
                    st,
                    k,
                    out,
                    scratch,
                    b,
                    t,
                    item,
                    who,
                    i,
                    s,
                    p,
                    quality,
                    visible,
                    predicted,
                    bid[w],
                    price[slot],
                )
