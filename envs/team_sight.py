"""What the roles that watch the whole market see: audience, monitor and orchestrator (numba kernels)."""

from __future__ import annotations

import math

import numpy as np

from envs import catalogue as cat
from envs import response as res
from envs.catalogue import MAX_CAMPAIGNS
from envs.kernel import allocating_kernel, inner_kernel, kernel
from envs.observation import SCHEMAS
from envs.rows import bound, starts

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


@allocating_kernel
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
    budget_usd, budget_left_usd, pacing_error = feed.budget_usd, st.budget_left_usd, plan.pacing_error
    log_format, log_script, log_affinity = brief.log_format, brief.log_script, brief.log_affinity
    hint, attention, health, tracked = m.affinity_hint, m.attention, out.health, out.tracked
    opportunities, wins, predicted, spend_usd = out.opportunities, out.wins, out.predicted_won, out.spend_usd
    completions, clicks, skips, dislikes = out.completions, out.clicks, out.skips, out.dislikes
    price_usd, priced, frequency, conversions = out.price_usd, out.priced, out.frequency, out.conversions
    likely, clicked = np.empty((segments, placements)), np.empty((segments, placements))
    missing = 0
    for b in range(first, end):
        heard, watched = audience[b, 0], monitor[b, 0]
        heard[:] = 0.0
        watched[:] = 0.0
        for j in range(clock.shape[1]):
            heard[_AUDIENCE.elapsed_fraction + j] = clock[b, j]
            watched[_MONITOR.elapsed_fraction + j] = clock[b, j]
        for s in range(segments):
            heard[_AUDIENCE.health + s] = health[b, s]
        for at in range(campaigns * segments, MAX_CAMPAIGNS * segments):
            heard[_AUDIENCE.affinity_hint + at] = 1.0
        for p in range(placements):
            total = 0.0
            for s in range(segments):
                total += opportunities[b, s, p]
            watched[_MONITOR.opportunities + p] = total
        for c in range(campaigns):
            heard[_AUDIENCE.campaign_mask + c] = 1.0
            for s in range(segments):
                arm = aired[b, c, s]
                fmt, script = _ARMS[arm, 0], _ARMS[arm, 1]
                effect = math.exp(log_format[b, c, s, fmt] + log_script[b, c, s, script])
                won, valued, completed, seen, foretold = 0.0, 0.0, 0.0, 0.0, 0.0
                for p in range(placements):
                    likely[s, p], clicked[s, p] = 0.0, 0.0
                    n = wins[b, c, s, p]
                    if n > 0.0:
                        z = (
                            predicted[b, c, s, p] * effect * _FIT[arm, p] * attention[b, t, p]
                        )  # over all wins
                        likely[s, p] = weight * n * _completion(z / n, _HAZARD[arm])
                        visible = 1.0 if _NEEDS_SCREEN[fmt] else _VISIBLE[p]
                        boost = 1.0 + (_VISIBLE_CLICK_FACTOR - 1.0) * visible
                        clicked[s, p] = weight * _CLICK_RATE * _CLICK[arm] * z * boost
                    won += n
                    valued += predicted[b, c, s, p]
                    completed += completions[b, c, s, p] * tracked[b, p]
                    seen += clicks[b, c, s, p] * tracked[b, p]
                    foretold += clicked[s, p]
                at = c * segments + s
                heard[_AUDIENCE.affinity_hint + at] = hint[b, c, s]
                heard[_AUDIENCE.brief_log_affinity + at] = log_affinity[b, c, s]
                heard[_AUDIENCE.wins + at] = won
                heard[_AUDIENCE.predicted_won + at] = valued
                heard[_AUDIENCE.completions + at] = completed
                heard[_AUDIENCE.clicks + at] = seen
                heard[_AUDIENCE.expected_clicks + at] = foretold

            watched[_MONITOR.campaign_mask + c] = 1.0
            watched[_MONITOR.budget_left_fraction + c] = budget_left_usd[b, c] / max(1e-9, budget_usd[b, c])
            watched[_MONITOR.pacing_error + c] = pacing_error[b, c]
            often, converted = 0.0, 0.0
            for s in range(segments):
                often += frequency[b, c, s]
                converted += conversions[b, c, s]
            watched[_MONITOR.frequency + c] = often / segments
            watched[_MONITOR.conversions + c] = converted
            for p in range(placements):
                won, spent, completed, expected, seen, foretold = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
                skipped, disliked, price, prices = 0.0, 0.0, 0.0, 0.0
                for s in range(segments):
                    won += wins[b, c, s, p]
                    spent += spend_usd[b, c, s, p]
                    completed += completions[b, c, s, p]
                    expected += likely[s, p]
                    seen += clicks[b, c, s, p]
                    foretold += clicked[s, p]
                    skipped += skips[b, c, s, p]
                    disliked += dislikes[b, c, s, p]
                    price += price_usd[b, c, s, p]
                    prices += priced[b, c, s, p]
                at = c * placements + p
                watched[_MONITOR.wins + at] = won
                watched[_MONITOR.spend_usd + at] = spent
                watched[_MONITOR.completions + at] = completed * tracked[b, p]
                watched[_MONITOR.expected_completions + at] = expected
                watched[_MONITOR.clicks + at] = seen * tracked[b, p]
                watched[_MONITOR.expected_clicks + at] = foretold
                watched[_MONITOR.skips + at] = skipped
                watched[_MONITOR.dislikes + at] = disliked
                watched[_MONITOR.price_usd + at] = price / max(1.0, prices)
        missing += bound(heard, _AUDIENCE_LOW, _AUDIENCE_HIGH) + bound(watched, _MONITOR_LOW, _MONITOR_HIGH)
    return missing


@inner_kernel
def see_board(rows, st, brief, feed, board, health, clock, first, end):  # type: ignore[no-untyped-def]
    """Fills the orchestrator's rows [B, 1, size]: money, what was said, health [B, S].

    Returns:
        How many numbers are none.
    """
    _, campaigns, segments = brief.log_affinity.shape
    budget_usd, budget_left_usd, log_format = feed.budget_usd, st.budget_left_usd, brief.log_format
    affinity, confidence = board.segment_value.affinity, board.segment_value.confidence
    formats, completion = board.creative_plan.format, board.creative_plan.expected_completion
    claimed_usd = board.creative_plan.premium_value_usd
    pacing_error, win_rate = board.spend_plan.pacing_error, board.spend_plan.win_rate
    marginal_price_usd, throttle = board.spend_plan.marginal_price_usd, board.directive.throttle
    advice, kind, severity = board.alert.advice, board.alert.kind, board.alert.severity
    placements = throttle.shape[2]
    missing = 0
    for b in range(first, end):
        row = rows[b, 0]
        row[:] = 0.0
        for j in range(clock.shape[1]):
            row[_ORCHESTRATOR.elapsed_fraction + j] = clock[b, j]
        for s in range(segments):
            row[_ORCHESTRATOR.health + s] = health[b, s]
        for c in range(campaigns):
            row[_ORCHESTRATOR.campaign_mask + c] = 1.0
            row[_ORCHESTRATOR.budget_usd + c] = budget_usd[b, c]
            row[_ORCHESTRATOR.budget_left_usd + c] = budget_left_usd[b, c]
            row[_ORCHESTRATOR.pacing_error + c] = pacing_error[b, c]
            row[_ORCHESTRATOR.win_rate + c] = win_rate[b, c]
            row[_ORCHESTRATOR.marginal_price_usd + c] = marginal_price_usd[b, c]
            for s in range(segments):
                at = c * segments + s
                row[_ORCHESTRATOR.brief_log_video + at] = log_format[b, c, s, _VIDEO]
                row[_ORCHESTRATOR.plan_video + at] = 1.0 if formats[b, c, s] == _VIDEO else 0.0
                row[_ORCHESTRATOR.expected_completion + at] = completion[b, c, s]
                row[_ORCHESTRATOR.premium_value_usd + at] = claimed_usd[b, c, s]
        for c in range(MAX_CAMPAIGNS):  # as posted, campaigns that do not exist among them
            for s in range(segments):
                row[_ORCHESTRATOR.segment_affinity + c * segments + s] = affinity[b, c, s]
                row[_ORCHESTRATOR.segment_confidence + c * segments + s] = confidence[b, c, s]
            for p in range(placements):
                at = c * placements + p
                row[_ORCHESTRATOR.alert_advice + at] = advice[b, c, p]
                row[_ORCHESTRATOR.alert_kind + at] = kind[b, c, p]
                row[_ORCHESTRATOR.alert_severity + at] = severity[b, c, p]
                row[_ORCHESTRATOR.throttle + at] = throttle[b, c, p]
        missing += bound(row, _ORCHESTRATOR_LOW, _ORCHESTRATOR_HIGH)
    return missing
