"""Impression opportunities: who listens, what rivals bid, who wins, what follows (a numba kernel)."""

from __future__ import annotations

import math

import numpy as np

from envs import catalogue as cat
from envs import constants as con
from envs import response as res
from envs.constants import active_incident
from envs.kernel import kernel
from envs.philox import binomial, normal_pair, uniform4

_completion = kernel(res.completion_probability)
_click = kernel(res.click_probability)
_conversion = kernel(res.conversion_probability)
_recall = kernel(res.recall_of)

# Streams of the kernel's draws (the generator's start at 100).
_ARRIVAL, _LISTENER, _PRICE, _OUTCOME, _DELAY = 0, 1, 2, 3, 4

_FIT, _NEEDS_SCREEN, _VISIBLE = cat.PLACEMENT_FIT, cat.NEEDS_SCREEN, cat.SCREEN_VISIBLE_PROBABILITY
_ARMS, _RECALL, _CONVERSION = cat.ARMS, cat.ARM_RECALL, cat.ARM_CONVERSION
_HAZARD, _CLICK, _ACTIVITY_CLICK = cat.ARM_HAZARD, cat.ARM_CLICK, cat.ACTIVITY_CLICK
_DELAY_SHARE = res.DELAY_SHARE


@kernel
def _draw_response(  # type: ignore[no-untyped-def]
    seed, t, item, weight, z, arm, click, visible, annoyance, chance
):
    """Completions, skips, dislikes, clicks, conversions caused among `weight` impressions of response z."""
    u0, u1, u2, u3 = uniform4(seed, _OUTCOME, t, item, 0)
    v0, v1, v2, v3 = uniform4(seed, _OUTCOME, t, item, 1)
    w0, w1, _w2, _w3 = uniform4(seed, _OUTCOME, t, item, 2)
    done = binomial(weight, _completion(z, _HAZARD[arm]), u0, v0)
    skips = binomial(weight - done, 0.7, u1, v1)
    dislike = min(0.5, res.DISLIKE_RATE * math.exp(min(4.0, annoyance)) / max(0.2, z))
    dislikes = binomial(weight, dislike, w0, w1)
    clicks = binomial(weight, _click(z, _CLICK[arm] * click, visible), u2, v2)
    return done, skips, dislikes, clicks, binomial(weight, chance, u3, v3)


@kernel
def _market_price(  # type: ignore[no-untyped-def]
    seed, t, item, within, table, scale, level, drift, share, left, pace
):
    """The rivals' price (−1: only the reserve; inf: unwinnable) and the rival that owns it (−1: nobody).

    One price is drawn per opportunity and owned by one rival; where that one is out of budget or sits
    the auction out, a second one bids 30 % less, and then nobody.
    """
    u0, u1, u2, u3 = uniform4(seed, _PRICE, t, item, 0)
    if u0 >= within:
        return math.inf, -1
    quoted = scale * table[min(int(u1 * table.shape[0]), table.shape[0] - 1)]
    v0, v1, _v2, _v3 = uniform4(seed, _PRICE, t, item, 1)
    for attempt in range(2):
        pick, takes_part = (u2, u3) if attempt == 0 else (v0, v1)
        r = 0
        while r < share.shape[0] - 1 and pick > share[r]:
            r += 1
        price = quoted * level[r] * drift[r]
        if attempt == 1:
            price *= 0.7
        if left[r] >= price and takes_part < pace[r]:
            return price, r
    return -1.0, -1


@kernel
def play_opportunities(  # type: ignore[no-untyped-def]
    m, st, k, ctl, out, bounds, lingering, negative, attention, shown, heard, waiting, t
):
    """Auctions every opportunity of interval t in order of arrival and draws what the won ones brought.

    Args:
        m: MarketParameters.
        st: MarketState; budgets (ours and rivals') change in place.
        k: Constants.
        ctl: Controls.
        out: Outcome whose cells are added to.
        bounds: [B, S + 1] first listener of every segment.
        lingering: [B, C, L] listeners' response after repetition.
        negative: [B, C, L] listeners whom repetition turned.
        attention: [B, C, L] added to: response × recall factor of the impressions.
        shown: [B, C, L] added to: impressions.
        heard: [B, L] added to: ads of anybody.
        waiting: [B, C, S, DELAY_CLASSES] added to: conversions caused, by delay.
        t: the interval.
    """
    batch, campaigns = st.budget_left_usd.shape
    segments, placements = out.opportunities.shape[1], out.opportunities.shape[2]
    bids, predicted = np.zeros(campaigns), np.zeros(campaigns)
    for b in range(batch):
        seed, budget = m.seed[b], st.budget_left_usd[b]
        affinity, log_arm, log_mood = m.affinity[b], m.log_arm[b], m.log_mood[b]
        slow, fast, annoyance, today = (
            st.memory_slow[b],
            st.memory_fast[b],
            st.annoyance[b],
            st.exposures_today[b],
        )
        on_air, wear, health = st.on_air[b], st.wear[b], st.health[b]
        left, pace, drift = st.rival_left_usd[b], st.rival_pace[b], m.rival_drift[b, :, t]
        believed, throttle, multiplier, cap = (
            ctl.predicted_affinity[b],
            ctl.throttle[b],
            ctl.multiplier[b],
            ctl.aggression_cap[b],
        )
        kinds, starts, lengths = m.incident_kind[b], m.incident_start[b], m.incident_length[b]
        fraud = active_incident(kinds, starts, lengths, con.INVALID_TRAFFIC, t)
        surging = active_incident(kinds, starts, lengths, con.RIVAL_SURGE, t) >= 0
        burn = active_incident(kinds, starts, lengths, con.CREATIVE_BURN_OUT, t)
        fault = active_incident(kinds, starts, lengths, con.OVERSPEND_FAULT, t)
        item = 0
        for s in range(segments):
            first, size = bounds[b, s], bounds[b, s + 1] - bounds[b, s]
            mood_probability = m.mood_probability[b, t, s]
            for p in range(placements):
                a0, _a1, _a2, _a3 = uniform4(seed, _ARRIVAL, t, s * placements + p, 0)
                slots = int(m.traffic[b, t, s, p] + a0)
                seen = m.attention[b, t, p]
                level, share = m.rival_level[b, :, s, p], m.rival_share[b, s, p]
                is_fraud = fraud >= 0 and m.incident_placement[b, fraud] == p
                bots = con.INVALID_SHARE if is_fraud else 0.0
                price_scale = k.price_level_usd * (con.SURGE_FACTOR if surging else 1.0)
                price_scale *= con.INVALID_DISCOUNT if is_fraud else 1.0
                for _ in range(slots if size > 0 else 0):
                    item += 1
                    u0, u1, u2, u3 = uniform4(seed, _LISTENER, t, item, 0)
                    i = first + min(int(u0 * size), size - 1)
                    if u1 >= health[i]:
                        continue
                    out.opportunities[b, s, p] += 1.0
                    heard[b, i] += 1.0
                    v0, v1, v2, tie = uniform4(seed, _LISTENER, t, item, 1)
                    visible = 1.0 if u2 < _VISIBLE[p] else 0.0
                    normal, _spare = normal_pair(v0, v1)
                    quality = math.exp(k.quality_sd * normal)
                    scale = price_scale * quality**k.price_elasticity
                    market, owner = _market_price(
                        seed,
                        t,
                        item,
                        k.within_table[p],
                        k.price_quantile,
                        scale,
                        level,
                        drift,
                        share,
                        left,
                        pace,
                    )
                    floor = max(k.reserve_usd[p], market)
                    best, second, winner, ties = 0.0, 0.0, -1, 0.0
                    for c in range(campaigns):
                        fmt = _ARMS[on_air[c, s], 0]
                        fit = _FIT[fmt, p]
                        if fit <= 0.0 or (_NEEDS_SCREEN[fmt] and visible == 0.0):
                            continue
                        if today[c, i] + shown[b, c, i] >= k.frequency_cap:
                            continue
                        predicted[c] = believed[c, i] * quality
                        wish = min(multiplier[c, s, p], cap[c]) * throttle[c, p]
                        if fault >= 0 and m.incident_campaign[b, fault] == c:
                            wish *= con.OVERSPEND_FACTOR
                        bid = min(wish * predicted[c] * fit * seen * k.price_level_usd, budget[c])
                        bids[c] = bid
                        if bid <= 0.0:
                            continue
                        out.bids[b, c, s, p] += 1.0
                        out.bid_usd[b, c, s, p] += bid
                        if bid > best:
                            best, second, winner, ties = bid, best, c, 1.0
                        elif bid == best:  # each of the equal bids wins with the same probability
                            second = bid
                            ties += 1.0
                            if tie * ties < 1.0:
                                tie *= ties
                                winner = c
                            else:
                                tie = (tie * ties - 1.0) / (ties - 1.0)
                        elif bid > second:
                            second = bid
                    if market < math.inf:
                        for c in range(campaigns):
                            out.price_usd[b, c, s, p] += max(floor, second if c == winner else best)
                            out.priced[b, c, s, p] += 1.0
                    if winner < 0 or best < floor:
                        if owner >= 0 and market >= k.reserve_usd[p]:
                            runner_up = max(k.reserve_usd[p], 0.75 * market, min(best, market))
                            paid = market if k.first_price else runner_up
                            left[owner] -= min(paid, left[owner])
                        continue
                    c = winner
                    price = best if k.first_price else max(floor, second)
                    budget[c] = max(0.0, budget[c] - price)
                    out.wins[b, c, s, p] += 1.0
                    out.spend_usd[b, c, s, p] += price
                    out.won_bid_usd[b, c, s, p] += best
                    out.predicted_won[b, c, s, p] += predicted[c]
                    shown[b, c, i] += 1.0
                    invalid = v2 < bots
                    if invalid or v2 > 1.0 - con.INATTENTIVE_SHARE:
                        out.wasted_usd[b, c, s, p] += price
                        if invalid:
                            w0, w1, _w2, _w3 = uniform4(seed, _OUTCOME, t, item, 3)
                            out.clicks[b, c, s, p] += binomial(k.weight, con.INVALID_CLICK_RATE, w0, w1)
                        continue
                    out.affinity_won[b, c, s, p] += affinity[c, i]
                    if negative[b, c, i]:
                        out.wasted_usd[b, c, s, p] += price
                    mood = 0
                    edge = mood_probability[0]
                    while mood < mood_probability.shape[0] - 1 and u3 > edge:
                        mood += 1
                        edge += mood_probability[mood]
                    arm = on_air[c, s]
                    fmt, script = _ARMS[arm, 0], _ARMS[arm, 1]
                    worn = m.wear_out[b, c] * wear[c, s, fmt, script]
                    if burn >= 0 and m.incident_campaign[b, burn] == c:
                        worn *= con.BURN_OUT_FACTOR
                    effect = math.exp(log_arm[c, s, arm] + log_mood[c, mood, fmt, script] - worn)
                    z = lingering[b, c, i] * quality * _FIT[fmt, p] * seen * effect
                    chance = _conversion(
                        z, _CONVERSION[arm] * m.conversion[b, c], _recall(slow[c, i], fast[c, i])
                    )
                    done, skips, dislikes, clicks, caused = _draw_response(
                        seed,
                        t,
                        item,
                        k.weight,
                        z,
                        arm,
                        _ACTIVITY_CLICK[mood],
                        visible,
                        annoyance[c, i],
                        chance,
                    )
                    out.completions[b, c, s, p] += done
                    out.skips[b, c, s, p] += skips
                    out.dislikes[b, c, s, p] += dislikes
                    out.clicks[b, c, s, p] += clicks
                    attention[b, c, i] += z * _RECALL[arm] * m.recall[b, c]
                    if caused > 0:
                        out.conversions_caused[b, c, s] += caused
                        d0, d1, d2, d3 = uniform4(seed, _DELAY, t, item, 0)
                        now = binomial(caused, _DELAY_SHARE[0], d0, d1)
                        day = binomial(caused - now, _DELAY_SHARE[1] / (1.0 - _DELAY_SHARE[0]), d2, d3)
                        waiting[b, c, s, 0] += now
                        waiting[b, c, s, 1] += day
                        waiting[b, c, s, 2] += caused - now - day
