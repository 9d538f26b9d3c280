"""Listeners: what repetition leaves of a response, memory, annoyance, ad load and health (numba kernels)."""

from __future__ import annotations

import math

import numpy as np

from envs import catalogue as cat
from envs import constants as con
from envs import response as res
from envs.constants import struck_creative
from envs.kernel import inner_kernel, kernel

_recall = kernel(res.recall_of)
_gain = kernel(res.memory_gain)
_irritation = kernel(res.irritation)
_ARMS = cat.ARMS
_FATIGUE = cat.ARM_FATIGUE


_NOVELTY_END = 63
_NOVELTY = np.exp(-0.5 * np.arange(_NOVELTY_END + 1))
"""What is left of a spot's novelty after so many exposures: a table, since they are whole."""


@inner_kernel
def rested_response(affinity, exposures, wear_in):  # type: ignore[no-untyped-def]
    """How one listener attends to a campaign before any fatigue: what memory takes in.

    Args:
        affinity: true affinity, 1 = average.
        exposures: impressions of this campaign so far.
        wear_in: log response that a first exposure lacks.
    """
    return affinity * math.exp(-wear_in * _NOVELTY[min(int(exposures), _NOVELTY_END)])


@inner_kernel
def lingering_response(rested, own, shared, irritable):  # type: ignore[no-untyped-def]
    """What repetition leaves of a rested response: 0 where the listener turned.

    Args:
        rested: by `rested_response`.
        own: annoyance with this campaign.
        shared: annoyance with all campaigns, this one included.
        irritable: whether repetition turns this listener.
    """
    value = rested * math.exp(-res.FATIGUE_OWN * own - res.FATIGUE_SHARED * shared)
    if irritable:
        value *= max(0.0, 1.0 - _irritation(own))
    return value


@inner_kernel
def _remember(m, st, k, scratch, b, t):  # type: ignore[no-untyped-def]
    """Fades memory and annoyance, then adds the interval's impressions; empties what scratch held of them."""
    campaigns, listeners = scratch.shown.shape
    segment = m.listener_segment[b]
    offensive, offence = struck_creative(m, st, b, con.DISLIKE_SURGE, t)
    for c in range(campaigns):
        slow, fast, recent = st.memory_slow[b, c], st.memory_fast[b, c], st.recent_exposure[b, c]
        annoyance, decay = st.annoyance[b, c], m.recall_decay[b, c]
        for i in range(listeners):
            slow[i] *= decay
            fast[i] *= k.fast_kept
            annoyance[i] *= k.annoyance_kept
            recent[i] *= k.recent_kept
    for n in range(scratch.reached_count[0]):
        c, i = scratch.reached[n, 0], scratch.reached[n, 1]
        shown, attention = scratch.shown[c, i], scratch.attention[c, i]
        scratch.shown[c, i] = 0.0
        scratch.attention[c, i] = 0.0
        slow, fast, recent = st.memory_slow[b, c, i], st.memory_fast[b, c, i], st.recent_exposure[b, c, i]
        st.memory_slow[b, c, i] = slow + (1.0 - slow) * _gain(attention, res.RECALL_GAIN_SLOW, recent)
        st.memory_fast[b, c, i] = fast + (1.0 - fast) * _gain(attention, res.RECALL_GAIN_FAST, 0.0)
        st.recent_exposure[b, c, i] += shown
        arm = st.on_air[b, c, segment[i]]
        annoying = con.DISLIKED_ANNOYANCE if c == offensive and _ARMS[arm, 1] == offence else 1.0
        st.annoyance[b, c, i] += _FATIGUE[arm] * shown * annoying
        st.exposures[b, c, i] += shown
    scratch.reached_count[0] = 0


@inner_kernel
def update_listeners(m, st, k, scratch, b, t):  # type: ignore[no-untyped-def]
    """Memory, annoyance, ad load and health of market b at the interval's end.

    Health moves towards 1 − 2 % per ad an hour above the reference − irritation, with the lag measured in
    the field: effect · (1 − e^(−t/τ)) (Huang, Reiley & Riabov).

    Args:
        m: MarketParameters.
        st: MarketState, changed in place.
        k: Constants.
        scratch: what the interval brought to whom; emptied.
        b: the market.
        t: the interval.
    """
    campaigns, listeners = scratch.shown.shape
    _remember(m, st, k, scratch, b, t)
    total = scratch.total
    total[:] = 0.0
    for c in range(campaigns):
        annoyance = st.annoyance[b, c]
        for i in range(listeners):
            total[i] += annoyance[i]
    heard, health = scratch.heard, st.health[b]
    ads, hours, share = st.ads_heard[b], st.hours_listened[b], m.listening_share[b]
    for s in range(m.churn.shape[1]):
        traffic = 0.0
        for p in range(m.traffic.shape[3]):
            traffic += m.traffic[b, t, s, p]
        churn, usual = m.churn[b, s], traffic / res.REFERENCE_ADS_PER_HOUR
        for i in range(m.segment_start[b, s], m.segment_start[b, s + 1]):
            h = health[i]
            ads[i] = k.load_kept * ads[i] + heard[i]
            hours[i] = k.load_kept * hours[i] + usual * share[i] * h
            heard[i] = 0.0
            extra = ads[i] / max(1e-9, hours[i]) - res.REFERENCE_ADS_PER_HOUR
            target = 1.0 - res.LOAD_EFFECT * extra - churn * max(0.0, total[i] - res.HEALTH_THRESHOLD)
            h += k.health_change * (target - h)
            health[i] = min(res.HEALTH_MAX, max(0.02, h))


@inner_kernel
def survey(m, st, out, b):  # type: ignore[no-untyped-def]
    """Segment means over the listeners of market b: recall, health, repetition; and the share reached."""
    _batch, campaigns, segments = out.recall.shape
    listeners = m.listener_segment.shape[1]
    shared = 0.0
    for s in range(segments):
        first, end = m.segment_start[b, s], m.segment_start[b, s + 1]
        people = max(1.0, float(end - first))
        well = 0.0
        for i in range(first, end):
            well += st.health[b, i]
        out.health_before[b, s] = st.segment_health[b, s]
        out.health[b, s] = well / people
        st.segment_health[b, s] = out.health[b, s]
        shared = 0.0
        for c in range(campaigns):
            slow, fast, annoyance = st.memory_slow[b, c], st.memory_fast[b, c], st.annoyance[b, c]
            exposures, recent = st.exposures[b, c], st.recent_exposure[b, c]
            known, annoyed, seen, massed, reached = 0.0, 0.0, 0.0, 0.0, 0.0
            for i in range(first, end):
                known += _recall(slow[i], fast[i])
                annoyed += annoyance[i]
                seen += exposures[i]
                massed += recent[i]
                reached += 1.0 if exposures[i] > 0.0 else 0.0
            out.recall_before[b, c, s] = st.recall[b, c, s]
            out.recall[b, c, s] = known / people
            st.recall[b, c, s] = out.recall[b, c, s]
            out.fatigue[b, c, s] = res.FATIGUE_OWN * annoyed / people
            out.frequency[b, c, s] = seen / people
            out.recent_exposure[b, c, s] = massed / people
            out.reach[b, c] += reached / listeners
            shared += annoyed / people
        for c in range(campaigns):
            out.fatigue[b, c, s] += res.FATIGUE_SHARED * shared
