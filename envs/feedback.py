"""What a won impression brings: attention, completion, clicks, conversions to come (a numba kernel)."""

from __future__ import annotations

import math

from envs import catalogue as cat
from envs import constants as con
from envs import response as res
from envs.bids import OUTCOME_DRAWS, SERVED
from envs.constants import active_incident, struck_campaign, struck_creative
from envs.kernel import inner_kernel, kernel
from envs.listeners import lingering_response, rested_response
from envs.philox import UNIT, binomial, fill_words_at, uniform4

_completion = kernel(res.completion_probability)
_click = kernel(res.click_probability)
_conversion = kernel(res.conversion_probability)
_recall = kernel(res.recall_of)

_OUTCOME, _DELAY = 3, 4
_FIT, _ARMS, _RECALL, _CONVERSION = cat.PLACEMENT_FIT, cat.ARMS, cat.ARM_RECALL, cat.ARM_CONVERSION
_HAZARD, _CLICK, _ACTIVITY_CLICK = cat.ARM_HAZARD, cat.ARM_CLICK, cat.ACTIVITY_CLICK
_SHARE = res.DELAY_SHARE
_LOG_BURNT_OUT = math.log(con.BURNT_OUT_RESPONSE)
# Columns of scratch.tally, which is small enough to stay in the nearest cache.
_WINS, _SPEND, _WON_BID, _PREDICTED, _WASTED, _AFFINITY, _COMPLETIONS, _SKIPS, _DISLIKES, _CLICKS = range(10)
TALLIES = 10


@inner_kernel
def prepare_creatives(m, st, scratch, b, t):  # type: ignore[no-untyped-def]
    """Fills scratch.effect [C, S, M]: the effect of what is on air, by the listener's activity."""
    campaigns, segments, moods = scratch.effect.shape
    burning, burnt = struck_creative(m, st, b, con.CREATIVE_BURN_OUT, t)
    for c in range(campaigns):
        worn = m.wear_out[b, c]
        for s in range(segments):
            arm = st.on_air[b, c, s]
            fmt, script = _ARMS[arm, 0], _ARMS[arm, 1]
            effect = m.log_arm[b, c, s, arm] - worn * st.wear[b, c, s, fmt, script]
            if c == burning and script == burnt:
                effect += _LOG_BURNT_OUT
            for mood in range(moods):
                scratch.effect[c, s, mood] = math.exp(effect + m.log_mood[b, c, mood, fmt, script])


@inner_kernel
def _gather(m, st, scratch, b, rows):  # type: ignore[no-untyped-def]
    """What the listeners of the rows were at the interval's start: scratch.met [rows, 5].

    A loop of its own, since its reads are scattered over the market and must not wait for each other.
    """
    made, met = scratch.made, scratch.met
    affinity, annoyance, exposures = m.affinity[b], st.annoyance[b], st.exposures[b]
    slow, fast = st.memory_slow[b], st.memory_fast[b]
    campaigns = annoyance.shape[0]
    for n in range(rows):
        c, i = made.campaign[n], made.listener[n]
        shared = 0.0
        for other in range(campaigns):
            shared += annoyance[other, i]
        met[n, 0] = affinity[c, i]
        met[n, 1] = annoyance[c, i]
        met[n, 2] = shared
        met[n, 3] = exposures[c, i]
        met[n, 4] = _recall(slow[c, i], fast[c, i])


@inner_kernel
def bring_feedback(m, st, k, scratch, b, t, rows):  # type: ignore[no-untyped-def]
    """Draws what the served of the first `rows` bids brought, `impression_weight` real impressions each.

    Nothing here acts within the interval: auctions read memory, wear and annoyance of its start.
    """
    if rows == 0:
        return
    seed, weight, made, met = m.seed[b], k.weight, scratch.made, scratch.met
    kinds, starts, lengths = m.incident_kind[b], m.incident_start[b], m.incident_length[b]
    fraud = active_incident(kinds, starts, lengths, con.INVALID_TRAFFIC, t)
    fraud_placement = m.incident_placement[b, fraud] if fraud >= 0 else -1
    repeated = struck_campaign(m, b, con.FREQUENCY_BREACH, t)
    offensive, offence = struck_creative(m, st, b, con.DISLIKE_SURGE, t)
    unlinked, dead_link = struck_creative(m, st, b, con.CTR_DROP, t)
    broken_shop = struck_campaign(m, b, con.CPA_BREACH, t)
    on_air, shown, attention, aired = st.on_air[b], scratch.shown, scratch.attention, scratch.aired
    reached, reached_count = scratch.reached, scratch.reached_count
    effect, waiting = scratch.effect, scratch.waiting
    irritable, attentive, mood_probability = m.irritable[b], m.attention[b, t], m.mood_probability[b, t]
    wear_in, memorable, converting = m.wear_in[b], m.recall[b], m.conversion[b]
    tally, conversions = scratch.tally, scratch.conversions
    moods = mood_probability.shape[1]
    segments, placements = mood_probability.shape[0], attentive.shape[0]
    _gather(m, st, scratch, b, rows)
    words = scratch.outcome_words
    fill_words_at(seed, _OUTCOME, t, made.item, made.first_draw, rows, OUTCOME_DRAWS, words)
    for n in range(rows):
        made.response[n] = 0.0
        made.completions[n] = made.skips[n] = made.dislikes[n] = made.clicks[n] = made.conversions[n] = 0
        made.valid[n] = 0
        if made.status[n] != SERVED:
            continue
        c, i = made.campaign[n], made.listener[n]
        s, p, paid = made.segment[n], made.placement[n], made.paid_usd[n]
        row = (c * segments + s) * placements + p
        tally[row, _WINS] += 1.0
        tally[row, _SPEND] += paid
        tally[row, _WON_BID] += made.bid_usd[n]
        tally[row, _PREDICTED] += made.predicted[n]
        arm = on_air[c, s]
        script = _ARMS[arm, 1]
        if shown[c, i] == 0.0:
            reached[reached_count[0], 0] = c
            reached[reached_count[0], 1] = i
            reached_count[0] += 1
        hearings = con.REPEATS if c == repeated else 1.0
        shown[c, i] += hearings
        aired[c, s] += hearings
        u0, u1 = (words[0, n] + 0.5) * UNIT, (words[1, n] + 0.5) * UNIT
        if p == fraud_placement and u0 < con.INVALID_SHARE:
            tally[row, _WASTED] += paid
            made.clicks[n] = binomial(weight, con.INVALID_CLICK_RATE, u1)
            tally[row, _CLICKS] += made.clicks[n]
            continue
        if u0 > 1.0 - con.INATTENTIVE_SHARE:
            tally[row, _WASTED] += paid
            continue
        made.valid[n] = 1
        tally[row, _AFFINITY] += met[n, 0]
        rested = rested_response(met[n, 0], met[n, 3], wear_in[c])
        lingering = lingering_response(rested, met[n, 1], met[n, 2], irritable[i])
        if lingering <= 0.0:
            tally[row, _WASTED] += paid
        mood, edge = 0, mood_probability[s, 0]
        while mood < moods - 1 and u1 > edge:
            mood += 1
            edge += mood_probability[s, mood]
        spot = made.quality[n] * _FIT[_ARMS[arm, 0], p] * attentive[p] * effect[c, s, mood]
        z = lingering * spot
        made.response[n] = z
        attention[c, i] += rested * spot * _RECALL[arm] * memorable[c]
        done = binomial(weight, _completion(z, _HAZARD[arm]), (words[2, n] + 0.5) * UNIT)
        skipped = binomial(weight - done, res.SKIP_SHARE, (words[3, n] + 0.5) * UNIT)
        angry = res.DISLIKE_RATE * math.exp(min(4.0, met[n, 1])) / max(0.2, z)
        angry = min(0.5, angry * con.DISLIKE_FACTOR if c == offensive and script == offence else angry)
        disliked = binomial(weight, angry, (words[4, n] + 0.5) * UNIT)
        click = _click(z, _CLICK[arm] * _ACTIVITY_CLICK[mood], float(made.visible[n]))
        linked = c != unlinked or script != dead_link
        click *= 1.0 if linked else con.DEAD_LINK_CLICKS
        clicked = binomial(weight, click, (words[5, n] + 0.5) * UNIT)
        buy = _conversion(z, _CONVERSION[arm] * converting[c], met[n, 4])
        buy *= 1.0 if linked else con.DEAD_LINK_CONVERSIONS
        buy *= con.BROKEN_SHOP_CONVERSIONS if c == broken_shop else 1.0
        caused = binomial(weight, buy, (words[6, n] + 0.5) * UNIT)
        tally[row, _COMPLETIONS] += done
        tally[row, _SKIPS] += skipped
        tally[row, _DISLIKES] += disliked
        tally[row, _CLICKS] += clicked
        made.completions[n], made.skips[n], made.dislikes[n] = done, skipped, disliked
        made.clicks[n], made.conversions[n] = clicked, caused
        if caused > 0:
            conversions[c, s] += caused
            d0, d1, _d2, _d3 = uniform4(seed, _DELAY, t, made.item[n], c)
            now = binomial(caused, _SHARE[0], d0)
            day = binomial(caused - now, _SHARE[1] / (1.0 - _SHARE[0]), d1)
            waiting[c, s, 0] += now
            waiting[c, s, 1] += day
            waiting[c, s, 2] += caused - now - day


@inner_kernel
def report_feedback(out, scratch, b):  # type: ignore[no-untyped-def]
    """Moves what `bring_feedback` tallied in an interval into the outcome of market b, and empties it."""
    tally, caused = scratch.tally, scratch.conversions
    wins, spend, won_bid, predicted = out.wins[b], out.spend_usd[b], out.won_bid_usd[b], out.predicted_won[b]
    wasted, affinity, completions = out.wasted_usd[b], out.affinity_won[b], out.completions[b]
    skips, dislikes, clicks, conversions = (
        out.skips[b],
        out.dislikes[b],
        out.clicks[b],
        out.conversions_caused[b],
    )
    campaigns, segments, placements = wins.shape
    row = 0
    for c in range(campaigns):
        for s in range(segments):
            conversions[c, s] = caused[c, s]
            for p in range(placements):
                wins[c, s, p] = tally[row, _WINS]
                spend[c, s, p] = tally[row, _SPEND]
                won_bid[c, s, p] = tally[row, _WON_BID]
                predicted[c, s, p] = tally[row, _PREDICTED]
                wasted[c, s, p] = tally[row, _WASTED]
                affinity[c, s, p] = tally[row, _AFFINITY]
                completions[c, s, p] = tally[row, _COMPLETIONS]
                skips[c, s, p] = tally[row, _SKIPS]
                dislikes[c, s, p] = tally[row, _DISLIKES]
                clicks[c, s, p] = tally[row, _CLICKS]
                row += 1
    tally[:] = 0.0
    caused[:] = 0.0
