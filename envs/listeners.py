"""Listeners: what repetition leaves of a response, memory, annoyance, ad load and health (numba kernels)."""

from __future__ import annotations

import math

from envs import catalogue as cat
from envs import response as res
from envs.kernel import kernel

_recall = kernel(res.recall_of)
_gain = kernel(res.memory_gain)
_FATIGUE = cat.ARM_FATIGUE
LOAD_EFFECT = 0.02
"""Listening lost per extra ad an hour (Huang, Reiley & Riabov), reached with τ ≈ 75 days of field time."""
LOAD_LAG_DAYS = 75.0


@kernel
def lingering_response(  # type: ignore[no-untyped-def]
    affinity, wear_in, irritable, annoyance, exposures, lingering, negative
):
    """What affinity and repetition make of listeners' response in one market: fills both [C, L]."""
    campaigns, listeners = lingering.shape
    for i in range(listeners):
        shared = 0.0
        for c in range(campaigns):
            shared += annoyance[c, i]
        for c in range(campaigns):
            own = annoyance[c, i]
            novelty = wear_in[c] * math.exp(-0.5 * exposures[c, i])
            value = affinity[c, i] * math.exp(-res.FATIGUE_OWN * own - res.FATIGUE_SHARED * shared - novelty)
            turned = 1.0
            if irritable[i]:
                turned = 1.0 - res.ANNOYANCE_SLOPE * max(0.0, own - res.ANNOYANCE_THRESHOLD)
            negative[c, i] = turned <= 0.0
            lingering[c, i] = value * max(0.0, turned)


@kernel
def segment_bounds(segment, bounds):  # type: ignore[no-untyped-def]
    """First listener of every segment (blocks are contiguous) and the end: bounds [S + 1]."""
    listeners = segment.shape[0]
    s = 0
    bounds[0] = 0
    for i in range(listeners):
        while segment[i] > s:
            s += 1
            bounds[s] = i
    for rest in range(s + 1, bounds.shape[0]):
        bounds[rest] = listeners


@kernel
def update_listeners(m, st, k, attention, shown, heard):  # type: ignore[no-untyped-def]
    """Memory, annoyance, ad load and health at the interval's end.

    Args:
        m: MarketParameters.
        st: MarketState, changed in place.
        k: Constants.
        attention: [B, C, L] response × recall factor of this interval's impressions, summed.
        shown: [B, C, L] impressions of this interval.
        heard: [B, L] ads of anybody heard in this interval.
    """
    batch, campaigns, listeners = shown.shape
    for b in range(batch):
        segment, on_air, decay, churn = m.listener_segment[b], st.on_air[b], m.recall_decay[b], m.churn[b]
        slow_, fast_, recent_ = st.memory_slow[b], st.memory_fast[b], st.recent_exposure[b]
        annoyance_, exposures, today = st.annoyance[b], st.exposures[b], st.exposures_today[b]
        usual = 0.0
        for i in range(listeners):
            usual += heard[b, i]
        usual /= listeners
        for i in range(listeners):
            s = segment[i]
            annoyance = 0.0
            for c in range(campaigns):
                recent, x, att = recent_[c, i], shown[b, c, i], attention[b, c, i]
                slow, fast = decay[c] * slow_[c, i], res.FAST_MEMORY_KEPT * fast_[c, i]
                if att > 0.0:
                    slow += (1.0 - slow) * _gain(att, res.RECALL_GAIN_SLOW, recent)
                    fast += (1.0 - fast) * _gain(att, res.RECALL_GAIN_FAST, 0.0)
                slow_[c, i] = slow
                fast_[c, i] = fast
                recent_[c, i] = res.RECENT_EXPOSURE_KEPT * recent + x
                annoyance_[c, i] = res.ANNOYANCE_KEPT * annoyance_[c, i] + _FATIGUE[on_air[c, s]] * x
                exposures[c, i] += x
                today[c, i] += x
                annoyance += annoyance_[c, i]
            load = res.LOAD_KEPT * st.ad_load[b, i] + (1.0 - res.LOAD_KEPT) * heard[b, i]
            st.ad_load[b, i] = load
            h = st.health[b, i]
            overload = LOAD_EFFECT * (load - usual) * k.acceleration / (LOAD_LAG_DAYS * k.intervals_per_day)
            irritation = churn[s] * max(0.0, annoyance - res.HEALTH_THRESHOLD)
            h += res.HEALTH_RECOVERY * (1.0 - h) - (irritation + overload) * h
            st.health[b, i] = min(1.0, max(0.02, h))


@kernel
def survey(m, st, recall, health):  # type: ignore[no-untyped-def]
    """Segment means of true recall [B, C, S] and health [B, S]."""
    batch, campaigns, segments = recall.shape
    listeners = m.listener_segment.shape[1]
    for b in range(batch):
        segment, slow, fast = m.listener_segment[b], st.memory_slow[b], st.memory_fast[b]
        for s in range(segments):
            count, well = 0.0, 0.0
            for i in range(listeners):
                if segment[i] == s:
                    count += 1.0
                    well += st.health[b, i]
            health[b, s] = well / max(1.0, count)
            for c in range(campaigns):
                known = 0.0
                for i in range(listeners):
                    if segment[i] == s:
                        known += _recall(slow[c, i], fast[c, i])
                recall[b, c, s] = known / max(1.0, count)


@kernel
def pressure(m, st, fatigue, frequency, recent_exposure, reach):  # type: ignore[no-untyped-def]
    """Segment means of repetition: log response lost, exposures, massing [B, C, S]; reach [B, C]."""
    batch, campaigns, segments = fatigue.shape
    listeners = m.listener_segment.shape[1]
    for b in range(batch):
        segment, annoyance, exposures = m.listener_segment[b], st.annoyance[b], st.exposures[b]
        count = [0.0] * segments
        for i in range(listeners):
            s = segment[i]
            count[s] += 1.0
            shared = 0.0
            for c in range(campaigns):
                shared += annoyance[c, i]
            for c in range(campaigns):
                fatigue[b, c, s] += res.FATIGUE_OWN * annoyance[c, i] + res.FATIGUE_SHARED * shared
                frequency[b, c, s] += exposures[c, i]
                recent_exposure[b, c, s] += st.recent_exposure[b, c, i]
                if exposures[c, i] > 0.0:
                    reach[b, c] += 1.0 / listeners
        for s in range(segments):
            for c in range(campaigns):
                fatigue[b, c, s] /= max(1.0, count[s])
                frequency[b, c, s] /= max(1.0, count[s])
                recent_exposure[b, c, s] /= max(1.0, count[s])
