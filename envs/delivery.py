"""The board that everybody reads next: what was posted, and plans made of what was done (a numba kernel)."""

from __future__ import annotations

import math

import numpy as np

from envs import catalogue as cat
from envs import response as res
from envs.kernel import kernel
from envs.protocol import (
    CREATIVES_SHAPE,
    Actions,
    Board,
    CreativeAlert,
    CreativePause,
    CreativePlan,
    SpendPlan,
)
from envs.state import Brief, Controls, Float, MarketState, Outcome

_completion = kernel(res.completion_probability)
_ARMS, _HAZARD = cat.ARMS, cat.ARM_HAZARD


@kernel
def _plan(out, affinity, brief, st, controls, level_usd, creative, spend, first, end):  # type: ignore[no-untyped-def]
    multiplier, cap, throttle = controls.multiplier, controls.aggression_cap, controls.throttle
    _, campaigns, segments, placements = multiplier.shape
    opportunities, wins, fatigue, on_air, all_wear = (
        out.opportunities,
        out.wins,
        out.fatigue,
        st.on_air,
        st.wear,
    )
    log_format, log_script, wear_out = brief.log_format, brief.log_script, brief.wear_out
    formats, completion, worn, _ = creative
    _, win_rate, marginal_price_usd, bid_usd = spend
    for b in range(first, end):
        offered = 0.0
        for s in range(segments):
            for p in range(placements):
                offered += opportunities[b, s, p]
        for c in range(campaigns):
            won, factor = 0.0, 0.0
            for s in range(segments):
                for p in range(placements):
                    won += wins[b, c, s, p]
                    factor += multiplier[b, c, s, p]
                    sent = min(multiplier[b, c, s, p], cap[b, c]) * throttle[b, c, p]
                    bid_usd[b, c, s, p] = sent * level_usd
                arm = on_air[b, c, s]
                fmt, script = _ARMS[arm, 0], _ARMS[arm, 1]
                wear = all_wear[b, c, s, fmt, script]
                effect = log_format[b, c, s, fmt] + log_script[b, c, s, script]
                z = affinity[b, c, s] * math.exp(effect - wear_out[b, c] * wear - fatigue[b, c, s])
                formats[b, c, s] = fmt
                completion[b, c, s] = _completion(z, _HAZARD[arm])
                worn[b, c, s] = wear
            win_rate[b, c] = won / max(1.0, offered)
            marginal_price_usd[b, c] = factor / (segments * placements) * level_usd


def deliver(
    actions: Actions,
    outcome: Outcome,
    brief: Brief,
    state: MarketState,
    controls: Controls,
    pacing_error: Float,
    price_level_usd: float,
) -> Board:
    """The board everybody reads in the next interval.

    Args:
        actions: of the interval just played; their messages are delivered as posted.
        outcome: what it brought.
        brief: what the platform expects of creatives.
        state: with the creatives that air next.
        controls: with which it was played.
        pacing_error: [B, C] after it.
        price_level_usd: what a multiplier of 1 bids for a predicted value of 1.
    """
    segment = state.on_air.shape
    claims = actions.premium_value_usd
    creative = CreativePlan(
        np.empty(segment, np.int64),
        np.empty(segment),
        np.empty(segment),
        np.zeros(segment) if claims is None else claims,
    )
    plan = (np.empty_like(pacing_error), np.empty_like(pacing_error), np.empty_like(controls.multiplier))
    spend, level_usd = SpendPlan(pacing_error, *plan), max(1e-9, price_level_usd)
    _plan(
        *(outcome, actions.audience.affinity, brief, state, controls, level_usd),
        *(creative, spend, 0, len(pacing_error)),
    )
    alert, pause = actions.creative_alert, actions.creative_pause
    nothing = np.zeros((len(pacing_error), *CREATIVES_SHAPE), np.int64)
    return Board(
        segment_value=actions.audience,
        creative_plan=creative,
        spend_plan=spend,
        alert=actions.monitor,
        creative_alert=CreativeAlert(*(nothing.copy() for _ in range(3))) if alert is None else alert,
        directive=actions.orchestrator,
        creative_pause=CreativePause(nothing) if pause is None else pause,
        credit=actions.credit,
    )
