"""One interval of a batch of markets: opportunities, listeners, delayed conversions, rivals.

Order within an interval: memory, annoyance, health and wear act from their state at its start;
budgets and frequency caps count in order of arrival. Every market is stepped alone with draws
addressed by (seed, interval, opportunity), so batches, blocks, threads and workers cannot change it.
"""

from __future__ import annotations

import numpy as np

from envs import catalogue as cat
from envs import constants as con
from envs.constants import active_incident
from envs.feedback import prepare_creatives
from envs.kernel import inner_kernel, kernel
from envs.listeners import survey, update_listeners
from envs.opportunities import close_sale, open_sale, sell
from envs.philox import UNIT, binomial, fill_words
from envs.rivals import update_rivals
from envs.state import (
    DELAY_CLASSES,
    Int,
    MarketParameters,
    MarketState,
)

_RELEASE = 5
_ARMS = cat.ARMS
_ON_CREATIVES = np.array([kind in cat.INCIDENTS_ON_CREATIVES for kind in cat.INCIDENT_KINDS])
INITIAL_RECALL = 0.02


@inner_kernel
def _settle(m, st, k, out, scratch, next_on_air, b, t):  # type: ignore[no-untyped-def]
    """Wear, reported conversions, creatives on air, what is tracked, which incidents were active."""
    campaigns, segments, classes = scratch.waiting.shape
    last, words, waiting = t == k.intervals - 1, scratch.release_words, scratch.waiting
    waits, wear, on_air = st.conversion_pool[b], st.wear[b], st.on_air[b]
    start, conversions, settled = m.segment_start[b], out.conversions[b], out.conversions_settled[b]
    kinds, starts, lengths = m.incident_kind[b], m.incident_start[b], m.incident_length[b]
    for slot in range(kinds.shape[0]):
        if starts[slot] <= t < starts[slot] + lengths[slot]:
            out.incident[b, slot] = kinds[slot]
        if starts[slot] == t and _ON_CREATIVES[kinds[slot]]:
            arm = on_air[m.incident_campaign[b, slot], m.incident_segment[b, slot]]
            st.struck_script[b, slot] = _ARMS[arm, 1]
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
    outage = active_incident(kinds, starts, lengths, con.TRACKING_OUTAGE, t)
    for p in range(out.tracked.shape[1]):
        out.tracked[b, p] = 0.0 if outage >= 0 and m.incident_placement[b, outage] == p else 1.0


@inner_kernel
def open_interval(m, st, k, ctl, scratch, b, t):  # type: ignore[no-untyped-def]
    """Readies interval t of market b: gives how many opportunities may come."""
    if t % k.intervals_per_day == 0:
        st.exposures_today[b] = 0.0
        for c in range(ctl.aggression_cap.shape[1]):
            st.day_left_usd[b, c] = k.daily_cap_fraction * m.budget_usd[b, c]
    prepare_creatives(m, st, scratch, b, t)
    return open_sale(m, st, k, ctl, scratch, b, t)


@inner_kernel
def close_interval(m, st, k, out, scratch, next_on_air, b, t):  # type: ignore[no-untyped-def]
    """What follows the last opportunity of interval t of market b."""
    close_sale(out, scratch, b)
    update_listeners(m, st, k, scratch, b, t)
    _settle(m, st, k, out, scratch, next_on_air, b, t)
    update_rivals(m, st, k, out, b, t)
    survey(m, st, out, b)


@kernel
def play_interval(m, st, k, ctl, out, scratch, next_on_air, first, end, t):  # type: ignore[no-untyped-def]
    """Plays interval t of markets first … end − 1: `st` and `scratch` change, `out` (zeros) is filled."""
    for b in range(first, end):
        count = open_interval(m, st, k, ctl, scratch, b, t)
        sell(m, st, k, out, scratch, b, t, 0, count, scratch.no_offers)
        close_interval(m, st, k, out, scratch, next_on_air, b, t)


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
        struck_script=np.full(m.incident_kind.shape, -1),
        recall=np.full((batch, campaigns, cat.S), INITIAL_RECALL),
        segment_health=np.ones((batch, cat.S)),
    )
