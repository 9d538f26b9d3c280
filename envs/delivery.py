"""The board that everybody reads next: what was posted, and plans made of what was done (a numba kernel)."""

from __future__ import annotations

import math

import numpy as np

from envs import catalogue as cat
from envs import response as res
from envs.kernel import kernel
from envs.protocol import Actions, Board, CreativePlan, SpendPlan
from envs.state import Brief, Controls, Float, MarketState, Outcome

_completion = kernel(res.completion_probability)
_ARMS, _HAZARD = cat.ARMS, cat.ARM_HAZARD


@kernel
def _plan(  # type: ignore[no-untyped-def]
    affinity,
    fatigue,
    opportunities,
    wins,
    brief,
    all_wear,
    on_air,
    multiplier,
    level_usd,
    creative,
    spend,
    first,
    end,
):
    _, campaigns, segments, placements = wins.shape
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
                arm = on_air[b, c, s]
                fmt, script = _ARMS[arm, 0], _ARMS[arm, 1]
                wear = all_wear[b, c, s, fmt, script]
                effect = brief.log_format[b, c, s, fmt] + brief.log_script[b, c, s, script]
                z = affinity[b, c, s] * math.exp(effect - brief.wear_out[b, c] * wear - fatigue[b, c, s])
                creative.format[b, c, s] = fmt
                creative.expected_completion[b, c, s] = _completion(z, _HAZARD[arm])
                creative.wear[b, c, s] = wear
            spend.win_rate[b, c] = won / max(1.0, offered)
            spend.marginal_price_usd[b, c] = factor / (segments * placements) * level_usd


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
        controls: multipliers with which it was played.
        pacing_error: [B, C] after it.
        price_level_usd: what a multiplier of 1 bids for a predicted value of 1.
    """
    segment = state.on_air.shape
    creative = CreativePlan(np.empty(segment, np.int64), np.empty(segment), np.empty(segment))
    spend = SpendPlan(pacing_error, np.empty_like(pacing_error), np.empty_like(pacing_error))
    _plan(
        *(actions.audience.affinity, outcome.fatigue, outcome.opportunities, outcome.wins, brief),
        *(state.wear, state.on_air, controls.multiplier, max(1e-9, price_level_usd)),
        *(creative, spend, 0, len(pacing_error)),
    )
    return Board(actions.audience, creative, spend, actions.monitor, actions.orchestrator)
