"""What a won impression brings: attention, completion, clicks, conversions to come (a numba kernel)."""

from __future__ import annotations

import math

from envs import catalogue as cat
from envs import constants as con
from envs import response as res
from envs.constants import active_incident
from envs.kernel import kernel
from envs.listeners import lingering_response
from envs.philox import binomial, uniform4

_completion = kernel(res.completion_probability)
_click = kernel(res.click_probability)
_conversion = kernel(res.conversion_probability)
_recall = kernel(res.recall_of)

_OUTCOME, _DELAY = 3, 4
_FIT, _ARMS, _RECALL, _CONVERSION = cat.PLACEMENT_FIT, cat.ARMS, cat.ARM_RECALL, cat.ARM_CONVERSION
_HAZARD, _CLICK, _ACTIVITY_CLICK = cat.ARM_HAZARD, cat.ARM_CLICK, cat.ACTIVITY_CLICK
_SHARE = res.DELAY_SHARE


@kernel
def prepare_creatives(m, st, scratch, b, t):  # type: ignore[no-untyped-def]
    """Fills scratch.effect [C, S, M]: the effect of what is on air, by the listener's activity."""
    campaigns, segments, moods = scratch.effect.shape
    kinds, starts, lengths = m.incident_kind[b], m.incident_start[b], m.incident_length[b]
    burn = active_incident(kinds, starts, lengths, con.CREATIVE_BURN_OUT, t)
    for c in range(campaigns):
        worn = m.wear_out[b, c]
        if burn >= 0 and m.incident_campaign[b, burn] == c:
            worn *= con.BURN_OUT_FACTOR
        for s in range(segments):
            arm = st.on_air[b, c, s]
            fmt, script = _ARMS[arm, 0], _ARMS[arm, 1]
            effect = m.log_arm[b, c, s, arm] - worn * st.wear[b, c, s, fmt, script]
            for mood in range(moods):
                scratch.effect[c, s, mood] = math.exp(effect + m.log_mood[b, c, mood, fmt, script])


@kernel
def bring_feedback(  # type: ignore[no-untyped-def]
    m, st, k, out, scratch, b, t, item, c, i, s, p, quality, visible, predicted, bid_usd, price_usd
):
    """Draws what `impression_weight` real impressions of campaign c on listener i brought."""
    seed, weight = m.seed[b], k.weight
    out.wins[b, c, s, p] += 1.0
    out.spend_usd[b, c, s, p] += price_usd
    out.won_bid_usd[b, c, s, p] += bid_usd
    out.predicted_won[b, c, s, p] += predicted
    arm = st.on_air[b, c, s]
    if scratch.shown[c, i] == 0.0:
        scratch.reached[scratch.count[0], 0] = c
        scratch.reached[scratch.count[0], 1] = i
        scratch.count[0] += 1
    scratch.shown[c, i] += 1.0
    scratch.aired[c, s] += 1.0
    u0, u1, u2, u3 = uniform4(seed, _OUTCOME, t, item, 4 * c)
    bots = 0.0
    kinds, starts, lengths = m.incident_kind[b], m.incident_start[b], m.incident_length[b]
    fraud = active_incident(kinds, starts, lengths, con.INVALID_TRAFFIC, t)
    if fraud >= 0 and m.incident_placement[b, fraud] == p:
        bots = con.INVALID_SHARE
    if u0 < bots:
        out.wasted_usd[b, c, s, p] += price_usd
        out.clicks[b, c, s, p] += binomial(weight, con.INVALID_CLICK_RATE, u1, u2)
        return
    if u0 > 1.0 - con.INATTENTIVE_SHARE:
        out.wasted_usd[b, c, s, p] += price_usd
        return
    out.affinity_won[b, c, s, p] += m.affinity[b, c, i]
    lingering = lingering_response(m, st, b, c, i)
    if lingering <= 0.0:
        out.wasted_usd[b, c, s, p] += price_usd
    mood, moods = 0, m.mood_probability.shape[3]
    edge = m.mood_probability[b, t, s, 0]
    while mood < moods - 1 and u1 > edge:
        mood += 1
        edge += m.mood_probability[b, t, s, mood]
    z = lingering * quality * _FIT[_ARMS[arm, 0], p] * m.attention[b, t, p] * scratch.effect[c, s, mood]
    scratch.attention[c, i] += z * _RECALL[arm] * m.recall[b, c]
    v0, v1, v2, v3 = uniform4(seed, _OUTCOME, t, item, 4 * c + 1)
    w0, w1, w2, w3 = uniform4(seed, _OUTCOME, t, item, 4 * c + 2)
    done = binomial(weight, _completion(z, _HAZARD[arm]), u2, u3)
    out.completions[b, c, s, p] += done
    out.skips[b, c, s, p] += binomial(weight - done, res.SKIP_SHARE, v0, w0)
    angry = min(0.5, res.DISLIKE_RATE * math.exp(min(4.0, st.annoyance[b, c, i])) / max(0.2, z))
    out.dislikes[b, c, s, p] += binomial(weight, angry, v1, w1)
    click = _click(z, _CLICK[arm] * _ACTIVITY_CLICK[mood], visible)
    out.clicks[b, c, s, p] += binomial(weight, click, v2, w2)
    recall = _recall(st.memory_slow[b, c, i], st.memory_fast[b, c, i])
    caused = binomial(weight, _conversion(z, _CONVERSION[arm] * m.conversion[b, c], recall), v3, w3)
    if caused > 0:
        out.conversions_caused[b, c, s] += caused
        d0, d1, d2, d3 = uniform4(seed, _DELAY, t, item, c)
        now = binomial(caused, _SHARE[0], d0, d1)
        day = binomial(caused - now, _SHARE[1] / (1.0 - _SHARE[0]), d2, d3)
        scratch.waiting[c, s, 0] += now
        scratch.waiting[c, s, 1] += day
        scratch.waiting[c, s, 2] += caused - now - day
