"""What the roles that watch the whole market see: audience, monitor and orchestrator (numba kernels)."""

from __future__ import annotations

import math

import numpy as np

from envs import catalogue as cat
from envs import response as res
from envs.kernel import kernel
from envs.observation import SCHEMAS, starts
from envs.rows import bound, put, put_by_placement, put_by_segment

_completion = kernel(res.completion_probability)
_CLICK_RATE, _VISIBLE_CLICK_FACTOR = res.CLICK_RATE, res.VISIBLE_CLICK_FACTOR

_AUDIENCE, _MONITOR, _ORCHESTRATOR = (
    starts(SCHEMAS["audience"]),
    starts(SCHEMAS["monitor"]),
    starts(SCHEMAS["orchestrator"]),
)
_AUDIENCE_LOW, _AUDIENCE_HIGH = SCHEMAS["audience"].low, SCHEMAS["audience"].high
_MONITOR_LOW, _MONITOR_HIGH = SCHEMAS["monitor"].low, SCHEMAS["monitor"].high
_ORCHESTRATOR_LOW, _ORCHESTRATOR_HIGH = SCHEMAS["orchestrator"].low, SCHEMAS["orchestrator"].high
_ARMS, _FIT, _HAZARD, _CLICK = cat.ARMS, cat.ARM_FIT, cat.ARM_HAZARD, cat.ARM_CLICK
_NEEDS_SCREEN, _VISIBLE, _VIDEO = cat.NEEDS_SCREEN, cat.SCREEN_VISIBLE_PROBABILITY, cat.VIDEO


@kernel
def _foretell(log_format, log_script, on_air, wins, predicted, attention, weight, completions, clicks):  # type: ignore[no-untyped-def]
    """Fills completions, clicks [S, P] that briefs and predictions foretold of what one campaign aired."""
    segments, placements = wins.shape
    for s in range(segments):
        arm = on_air[s]
        fmt = _ARMS[arm, 0]
        effect = math.exp(log_format[s, fmt] + log_script[s, _ARMS[arm, 1]])
        for p in range(placements):
            completions[s, p], clicks[s, p] = 0.0, 0.0
            if wins[s, p] == 0.0:
                continue
            z = predicted[s, p] * effect * _FIT[arm, p] * attention[p]  # summed over wins
            likely = _completion(z / wins[s, p], _HAZARD[arm])
            completions[s, p] = weight * wins[s, p] * likely
            visible = 1.0 if _NEEDS_SCREEN[fmt] else _VISIBLE[p]
            boost = 1.0 + (_VISIBLE_CLICK_FACTOR - 1.0) * visible
            clicks[s, p] = weight * _CLICK_RATE * _CLICK[arm] * z * boost


@kernel
def see_effects(audience, monitor, m, st, brief, feed, plan, out, aired, clock, t, weight, first, end):  # type: ignore[no-untyped-def]
    """Fills the rows [B, 1, size] of audience and monitor, who hold what happened against what was foretold.

    Args:
        audience: float32, written.
        monitor: float32, written.
        m: MarketParameters.
        st: MarketState.
        brief: Brief.
        feed: Feed.
        plan: SpendPlan, as delivered.
        out: Outcome of the interval before, or one of nothing.
        aired: [B, C, S] arms of that interval.
        clock: [B, fields of the clock].
        t: that interval.
        weight: impressions that a simulated one stands for.
        first: first market.
        end: one behind the last.

    Returns:
        How many numbers are none.
    """
    _, campaigns, segments, placements = out.wins.shape
    completions, clicks = np.empty((segments, placements)), np.empty((segments, placements))
    always = np.ones(placements)
    missing = 0
    for b in range(first, end):
        heard, watched, tracked, attention = audience[b, 0], monitor[b, 0], out.tracked[b], m.attention[b, t]
        heard[:] = 0.0
        watched[:] = 0.0
        heard[_AUDIENCE.affinity_hint : _AUDIENCE.affinity_hint + cat.MAX_CAMPAIGNS * segments] = 1.0
        put(heard, _AUDIENCE.elapsed_fraction, clock[b])
        put(heard, _AUDIENCE.health, out.health[b])
        put(watched, _MONITOR.elapsed_fraction, clock[b])
        put_by_placement(watched, _MONITOR.opportunities, out.opportunities[b], always)
        put(watched, _MONITOR.pacing_error, plan.pacing_error[b])
        for c in range(campaigns):
            wins, predicted = out.wins[b, c], out.predicted_won[b, c]
            _foretell(
                brief.log_format[b, c],
                brief.log_script[b, c],
                aired[b, c],
                wins,
                predicted,
                attention,
                weight,
                completions,
                clicks,
            )
            heard[_AUDIENCE.campaign_mask + c] = 1.0
            at = c * segments
            put(heard, _AUDIENCE.affinity_hint + at, m.affinity_hint[b, c])
            put(heard, _AUDIENCE.brief_log_affinity + at, brief.log_affinity[b, c])
            put_by_segment(heard, _AUDIENCE.wins + at, wins, always)
            put_by_segment(heard, _AUDIENCE.predicted_won + at, predicted, always)
            put_by_segment(heard, _AUDIENCE.completions + at, out.completions[b, c], tracked)
            put_by_segment(heard, _AUDIENCE.clicks + at, out.clicks[b, c], tracked)
            put_by_segment(heard, _AUDIENCE.expected_clicks + at, clicks, always)

            watched[_MONITOR.campaign_mask + c] = 1.0
            budget_usd = feed.budget_usd[b, c]
            watched[_MONITOR.budget_left_fraction + c] = st.budget_left_usd[b, c] / max(1e-9, budget_usd)
            frequency, conversions = 0.0, 0.0
            for s in range(segments):
                frequency += out.frequency[b, c, s]
                conversions += out.conversions[b, c, s]
            watched[_MONITOR.frequency + c] = frequency / segments
            watched[_MONITOR.conversions + c] = conversions
            at = c * placements
            put_by_placement(watched, _MONITOR.wins + at, wins, always)
            put_by_placement(watched, _MONITOR.spend_usd + at, out.spend_usd[b, c], always)
            put_by_placement(watched, _MONITOR.completions + at, out.completions[b, c], tracked)
            put_by_placement(watched, _MONITOR.expected_completions + at, completions, always)
            put_by_placement(watched, _MONITOR.clicks + at, out.clicks[b, c], tracked)
            put_by_placement(watched, _MONITOR.expected_clicks + at, clicks, always)
            put_by_placement(watched, _MONITOR.skips + at, out.skips[b, c], always)
            put_by_placement(watched, _MONITOR.dislikes + at, out.dislikes[b, c], always)
            for p in range(placements):
                price_usd, priced = 0.0, 0.0
                for s in range(segments):
                    price_usd += out.price_usd[b, c, s, p]
                    priced += out.priced[b, c, s, p]
                watched[_MONITOR.price_usd + at + p] = price_usd / max(1.0, priced)
        missing += bound(heard, _AUDIENCE_LOW, _AUDIENCE_HIGH) + bound(watched, _MONITOR_LOW, _MONITOR_HIGH)
    return missing


@kernel
def see_board(rows, st, brief, feed, board, health, clock, first, end):  # type: ignore[no-untyped-def]
    """Fills the orchestrator's rows [B, 1, size]: money, what was said, health [B, S].

    Returns:
        How many numbers are none.
    """
    batch, campaigns, segments = brief.log_affinity.shape
    told, alert, plan, creative = board.segment_value, board.alert, board.spend_plan, board.creative_plan
    # The tables of all campaigns as one line of numbers; those of campaigns that exist come first.
    by_segment, padded = campaigns * segments, cat.MAX_CAMPAIGNS * segments
    affinity = told.affinity.reshape(batch, padded)
    confidence = told.confidence.reshape(batch, padded)
    completion = creative.expected_completion.reshape(batch, by_segment)
    by_placement = cat.MAX_CAMPAIGNS * alert.advice.shape[2]
    advice = alert.advice.reshape(batch, by_placement)
    kind = alert.kind.reshape(batch, by_placement)
    severity = alert.severity.reshape(batch, by_placement)
    throttle = board.directive.throttle.reshape(batch, by_placement)
    missing = 0
    for b in range(first, end):
        row = rows[b, 0]
        row[:] = 0.0
        put(row, _ORCHESTRATOR.elapsed_fraction, clock[b])
        for c in range(campaigns):
            row[_ORCHESTRATOR.campaign_mask + c] = 1.0
            for s in range(segments):
                at = c * segments + s
                row[_ORCHESTRATOR.brief_log_video + at] = brief.log_format[b, c, s, _VIDEO]
                row[_ORCHESTRATOR.plan_video + at] = 1.0 if creative.format[b, c, s] == _VIDEO else 0.0
        put(row, _ORCHESTRATOR.budget_usd, feed.budget_usd[b])
        put(row, _ORCHESTRATOR.budget_left_usd, st.budget_left_usd[b])
        put(row, _ORCHESTRATOR.segment_affinity, affinity[b])
        put(row, _ORCHESTRATOR.segment_confidence, confidence[b])
        put(row, _ORCHESTRATOR.expected_completion, completion[b])
        put(row, _ORCHESTRATOR.pacing_error, plan.pacing_error[b])
        put(row, _ORCHESTRATOR.win_rate, plan.win_rate[b])
        put(row, _ORCHESTRATOR.marginal_price_usd, plan.marginal_price_usd[b])
        put(row, _ORCHESTRATOR.alert_advice, advice[b])
        put(row, _ORCHESTRATOR.alert_kind, kind[b])
        put(row, _ORCHESTRATOR.alert_severity, severity[b])
        put(row, _ORCHESTRATOR.throttle, throttle[b])
        put(row, _ORCHESTRATOR.health, health[b])
        missing += bound(row, _ORCHESTRATOR_LOW, _ORCHESTRATOR_HIGH)
    return missing
