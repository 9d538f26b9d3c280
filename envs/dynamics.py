"""One interval of a batch of markets: opportunities, listeners, delayed conversions, rivals, accounts.

Order within an interval: memory, annoyance, health and wear act from their state at its start;
budgets and frequency caps count in order of arrival. Every market is stepped alone with draws
addressed by (seed, interval, opportunity), so batches, threads and workers cannot change it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from envs import catalogue as cat
from envs import constants as con
from envs import response as res
from envs.constants import Constants, active_incident
from envs.kernel import kernel
from envs.listeners import lingering_response, pressure, segment_bounds, survey, update_listeners
from envs.opportunities import play_opportunities
from envs.philox import binomial, uniform4
from envs.state import DELAY_CLASSES, Controls, MarketParameters, MarketState, Outcome, empty_outcome

_RELEASE = 5
_ARMS = cat.ARMS
_DELAY_RELEASE = res.DELAY_RELEASE


@kernel
def _before_interval(m, st, k, bounds, lingering, negative, t):  # type: ignore[no-untyped-def]
    """Fills bounds [B, S + 1], lingering and negative [B, C, L]; a new day clears daily frequency."""
    for b in range(bounds.shape[0]):
        segment_bounds(m.listener_segment[b], bounds[b])
        lingering_response(
            m.affinity[b],
            m.wear_in[b],
            m.irritable[b],
            st.annoyance[b],
            st.exposures[b],
            lingering[b],
            negative[b],
        )
        if t % k.intervals_per_day == 0:
            st.exposures_today[b] = 0.0


@kernel
def _after_interval(m, st, k, out, bounds, waiting, next_on_air, t):  # type: ignore[no-untyped-def]
    """Wear, reported conversions, creatives on air, what is tracked, which incidents were active."""
    batch, campaigns, segments, classes = waiting.shape
    last = t == k.intervals - 1
    for b in range(batch):
        for c in range(campaigns):
            for s in range(segments):
                for d in range(classes):
                    pool = st.conversion_pool[b, c, s, d] + waiting[b, c, s, d]
                    u0, u1, _u2, _u3 = uniform4(m.seed[b], _RELEASE, t, (c * segments + s) * classes + d, 0)
                    reported = binomial(pool, _DELAY_RELEASE[d], u0, u1)
                    out.conversions[b, c, s] += reported
                    st.conversion_pool[b, c, s, d] = pool - reported
                    if last:
                        out.conversions_settled[b, c, s] += pool - reported
                st.wear[b, c, s] *= res.WEAR_KEPT
                shown = 0.0
                for p in range(out.wins.shape[3]):
                    shown += out.wins[b, c, s, p]
                arm = st.on_air[b, c, s]
                st.wear[b, c, s, _ARMS[arm, 0], _ARMS[arm, 1]] += shown / max(
                    1, bounds[b, s + 1] - bounds[b, s]
                )
                st.on_air[b, c, s] = next_on_air[b, c, s]
        kinds, starts, lengths = m.incident_kind[b], m.incident_start[b], m.incident_length[b]
        outage = active_incident(kinds, starts, lengths, con.TRACKING_OUTAGE, t)
        for p in range(out.tracked.shape[1]):
            out.tracked[b, p] = 0.0 if outage >= 0 and m.incident_placement[b, outage] == p else 1.0
        for slot in range(kinds.shape[0]):
            if starts[slot] <= t < starts[slot] + lengths[slot]:
                out.incident[b, slot] = kinds[slot]


@kernel
def _update_rivals(m, st, k, wins, opportunities, t):  # type: ignore[no-untyped-def]
    """Rivals pace over the day or burn; reactive ones answer our share of wins."""
    day = k.intervals_per_day
    for b in range(wins.shape[0]):
        left, budget, pace = st.rival_left_usd[b], m.rival_budget_usd[b], st.rival_pace[b]
        share = 0.0
        if k.reactive:
            won, sold = 0.0, 1.0
            for value in wins[b].flat:
                won += value
            for value in opportunities[b].flat:
                sold += value
            share = won / sold
        for r in range(left.shape[0]):
            if m.rival_paces[b, r]:
                planned = budget[r] * ((t % day) + 1) / day
                ahead = (planned - (budget[r] - left[r])) / budget[r]
                pace[r] = min(1.0, max(0.3, pace[r] * math.exp(ahead + share)))
            if (t + 1) % day == 0:
                left[r] = budget[r] * (1.0 + 0.5 * share)


def step_markets(
    m: MarketParameters, st: MarketState, k: Constants, ctl: Controls, next_on_air: NDArray[np.int64], t: int
) -> Outcome:
    """Plays interval t of every market: st changes in place, the outcome is new.

    Args:
        m: hidden truth of the markets.
        st: their state.
        k: the scenario's constants.
        ctl: what the agents decided for this interval.
        next_on_air: [B, C, S] arms that air from the next interval on (trafficking delay of one).
        t: the interval, 0 ≤ t < T.
    """
    batch, campaigns, listeners = m.affinity.shape
    out = empty_outcome(batch, campaigns, cat.S, cat.P)
    bounds = np.zeros((batch, cat.S + 1), np.int64)
    lingering, attention, shown = (np.zeros((batch, campaigns, listeners)) for _ in range(3))
    negative = np.zeros((batch, campaigns, listeners), np.bool_)
    heard = np.zeros((batch, listeners))
    waiting = np.zeros((batch, campaigns, cat.S, DELAY_CLASSES), np.int64)
    survey(m, st, out.recall_before, out.health_before)
    _before_interval(m, st, k, bounds, lingering, negative, t)
    play_opportunities(m, st, k, ctl, out, bounds, lingering, negative, attention, shown, heard, waiting, t)
    update_listeners(m, st, k, attention, shown, heard)
    _after_interval(m, st, k, out, bounds, waiting, next_on_air, t)
    _update_rivals(m, st, k, out.wins, out.opportunities, t)
    survey(m, st, out.recall, out.health)
    pressure(m, st, out.fatigue, out.frequency, out.recent_exposure, out.reach)
    return out


def new_state(m: MarketParameters, initial_arm: NDArray[np.int64]) -> MarketState:
    """The state at the start of a flight: nobody exposed, nothing spent."""
    batch, campaigns, listeners = m.affinity.shape
    rivals = m.rival_budget_usd.shape[1]
    per_listener = (batch, campaigns, listeners)
    return MarketState(
        budget_left_usd=m.budget_usd.copy(),
        memory_fast=np.zeros(per_listener),
        memory_slow=np.full(per_listener, 0.02),
        annoyance=np.zeros(per_listener),
        recent_exposure=np.zeros(per_listener),
        exposures=np.zeros(per_listener),
        exposures_today=np.zeros(per_listener),
        ad_load=np.zeros((batch, listeners)),
        health=np.ones((batch, listeners)),
        wear=np.zeros((batch, campaigns, cat.S, cat.F, cat.V)),
        conversion_pool=np.zeros((batch, campaigns, cat.S, len(res.DELAY_SHARE)), np.int64),
        rival_left_usd=m.rival_budget_usd.copy(),
        rival_pace=np.ones((batch, rivals)),
        on_air=initial_arm.copy(),
    )
