"""What the simulator itself expects of every creative: the oracle's view, by true parameters."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from envs import catalogue as cat
from envs import constants as con
from envs import response as res
from envs.constants import struck_creative
from envs.kernel import allocating_kernel, kernel
from envs.listeners import lingering_response, rested_response
from envs.state import Float, MarketParameters, MarketState

_recall = kernel(res.recall_of)
_ARMS = cat.ARMS


class Expectation(NamedTuple):
    """Expected response at fit 1, attention 1, quality 1; means over a segment's listening."""

    response: Float  # [B, C, S, K] E[z] of every arm
    memory_room: Float  # [B, C, S] E[rested response × unfilled slow memory / massing] / E[response]
    funnel: Float  # [B, C, S] E[response × recall] / E[response]


@allocating_kernel
def _fill(m, st, t, response, room, funnel):  # type: ignore[no-untyped-def]
    batch, campaigns, listeners = m.affinity.shape
    segments, arms = response.shape[2], response.shape[3]
    mean, weight = np.zeros(segments), np.zeros(segments)
    for b in range(batch):
        burning, burnt = struck_creative(m, st, b, con.CREATIVE_BURN_OUT, t)
        share = m.listening_share[b]
        segment, health, log_mood, probability = (
            m.listener_segment[b],
            st.health[b],
            m.log_mood[b],
            m.mood_probability[b, t],
        )
        affinity, annoyance, irritable = m.affinity[b], st.annoyance[b], m.irritable[b]
        for c in range(campaigns):
            exposures, wear_in = st.exposures[b, c], m.wear_in[b, c]
            mean[:] = 0.0
            weight[:] = 0.0
            slow, fast, recent = st.memory_slow[b, c], st.memory_fast[b, c], st.recent_exposure[b, c]
            for i in range(listeners):
                s = segment[i]
                h = health[i]
                h *= share[i]
                weight[s] += h
                shared = 0.0
                for other in range(campaigns):
                    shared += annoyance[other, i]
                rested = rested_response(affinity[c, i], exposures[i], wear_in)
                answer = h * lingering_response(rested, annoyance[c, i], shared, irritable[i])
                mean[s] += answer
                room[b, c, s] += h * rested * (1.0 - slow[i]) / (1.0 + res.SPACING * recent[i])
                funnel[b, c, s] += answer * _recall(slow[i], fast[i])
            worn = m.wear_out[b, c]
            for s in range(segments):
                funnel[b, c, s] /= max(1e-9, mean[s])
                room[b, c, s] /= max(1e-9, mean[s])
                for arm in range(arms):
                    fmt, script = _ARMS[arm, 0], _ARMS[arm, 1]
                    mood = 0.0
                    for a in range(probability.shape[1]):
                        mood += probability[s, a] * math.exp(log_mood[c, a, fmt, script])
                    effect = math.exp(m.log_arm[b, c, s, arm] - worn * st.wear[b, c, s, fmt, script])
                    if c == burning and script == burnt:
                        effect *= con.BURNT_OUT_RESPONSE
                    response[b, c, s, arm] = mean[s] / max(1e-9, weight[s]) * mood * effect


def expected_response(m: MarketParameters, st: MarketState, t: int) -> Expectation:
    """Expected response of every arm in interval t; placement fit and attention are left to the caller."""
    batch, campaigns, _ = m.affinity.shape
    expectation = Expectation(
        response=np.zeros((batch, campaigns, cat.S, cat.K)),
        memory_room=np.zeros((batch, campaigns, cat.S)),
        funnel=np.zeros((batch, campaigns, cat.S)),
    )
    _fill(m, st, t, *expectation)
    return expectation
