"""What the creative and the bidding agent of a campaign see (a numba kernel)."""

from __future__ import annotations

from envs import catalogue as cat
from envs.kernel import inner_kernel
from envs.observation import SCHEMAS
from envs.rows import bound, starts

_AT = starts(SCHEMAS["bidding"])
_LOW, _HIGH = SCHEMAS["bidding"].low, SCHEMAS["bidding"].high
_ARMS, _F, _V = cat.ARMS, cat.F, cat.V


@inner_kernel
def see_campaigns(rows, m, st, brief, feed, board, out, clock, noise, t, first, end):  # type: ignore[no-untyped-def]
    """Fills rows [B, C, size] of markets first … end − 1; gives how many numbers are none.

    Args:
        rows: float32, written.
        m: MarketParameters.
        st: MarketState.
        brief: Brief.
        feed: Feed.
        board: Board, as delivered.
        out: Outcome of the interval before, or one of nothing.
        clock: [B, fields of the clock].
        noise: [B, C, S] of the recall survey.
        t: the interval whose attention is shown.
        first: first market.
        end: one behind the last.
    """
    batch, campaigns, segments = noise.shape
    placements = m.attention.shape[2]
    cells, formats, scripts = segments * placements, segments * _F, segments * _V
    budget_usd, budget_left_usd, attention = feed.budget_usd, st.budget_left_usd, m.attention
    brief_affinity, affinity_hint = brief.log_affinity, m.affinity_hint
    brief_format = brief.log_format.reshape(batch, campaigns, formats)
    brief_script = brief.log_script.reshape(batch, campaigns, scripts)
    brief_wear_out, brief_decay = brief.wear_out, brief.recall_decay
    brief_conversion, brief_recall = brief.conversion, brief.recall
    affinity, confidence = board.segment_value.affinity, board.segment_value.confidence
    completion, severity, kind = (
        board.creative_plan.expected_completion,
        board.alert.severity,
        board.alert.kind,
    )
    pacing_error, win_rate_plan = board.spend_plan.pacing_error, board.spend_plan.win_rate
    marginal_price_usd, budget_share = board.spend_plan.marginal_price_usd, board.directive.budget_share
    cap, throttle = board.directive.aggression_cap, board.directive.throttle
    pause, grant = board.directive.pause, board.directive.premium_grant
    on_air, wear = st.on_air, st.wear.reshape(batch, campaigns, formats * _V)
    fatigue, frequency, recent = out.fatigue, out.frequency, out.recent_exposure
    recall, health, conversions = out.recall, out.health, out.conversions
    opportunities, tracked = out.opportunities.reshape(batch, cells), out.tracked
    wins = out.wins.reshape(batch, campaigns, cells)
    spend_usd = out.spend_usd.reshape(batch, campaigns, cells)
    predicted_won = out.predicted_won.reshape(batch, campaigns, cells)
    completions = out.completions.reshape(batch, campaigns, cells)
    skips = out.skips.reshape(batch, campaigns, cells)
    dislikes = out.dislikes.reshape(batch, campaigns, cells)
    clicks = out.clicks.reshape(batch, campaigns, cells)
    price_usd = feed.price_usd.reshape(batch, campaigns, cells)
    win_rate = feed.win_rate.reshape(batch, campaigns, cells)
    missing = 0
    for b in range(first, end):
        for c in range(campaigns):
            row = rows[b, c]
            for j in range(clock.shape[1]):
                row[_AT.elapsed_fraction + j] = clock[b, j]
            row[_AT.budget_usd] = budget_usd[b, c]
            row[_AT.budget_left_fraction] = budget_left_usd[b, c] / max(1e-9, budget_usd[b, c])
            row[_AT.pacing_error] = pacing_error[b, c]
            row[_AT.brief_wear_out] = brief_wear_out[b, c]
            row[_AT.brief_recall_decay] = brief_decay[b, c]
            row[_AT.brief_conversion] = brief_conversion[b, c]
            row[_AT.brief_recall] = brief_recall[b, c]
            row[_AT.aggression_cap] = cap[b, c]
            row[_AT.budget_share] = budget_share[b, c]
            row[_AT.pause] = pause[b, c]
            row[_AT.win_rate_plan] = win_rate_plan[b, c]
            row[_AT.marginal_price_usd] = marginal_price_usd[b, c]
            for p in range(placements):
                row[_AT.attention + p] = attention[b, t, p]
                row[_AT.throttle + p] = throttle[b, c, p]
                row[_AT.alert_severity + p] = severity[b, c, p]
                row[_AT.alert_kind + p] = kind[b, c, p]
            for j in range(formats):
                row[_AT.brief_log_format + j] = brief_format[b, c, j]
                row[_AT.on_air_format + j] = 0.0
            for j in range(scripts):
                row[_AT.brief_log_script + j] = brief_script[b, c, j]
                row[_AT.on_air_script + j] = 0.0
            for j in range(formats * _V):
                row[_AT.wear + j] = wear[b, c, j]
            for s in range(segments):
                arm = on_air[b, c, s]
                row[_AT.on_air_format + s * _F + _ARMS[arm, 0]] = 1.0
                row[_AT.on_air_script + s * _V + _ARMS[arm, 1]] = 1.0
                row[_AT.on_air_long + s] = _ARMS[arm, 2]
                row[_AT.on_air_early + s] = _ARMS[arm, 3]
                row[_AT.premium_grant + s] = 1.0 if grant[b, s] == c + 1 else 0.0
                row[_AT.brief_log_affinity + s] = brief_affinity[b, c, s]
                row[_AT.affinity_hint + s] = affinity_hint[b, c, s]
                row[_AT.segment_affinity + s] = affinity[b, c, s]
                row[_AT.segment_confidence + s] = confidence[b, c, s]
                row[_AT.expected_completion + s] = completion[b, c, s]
                row[_AT.fatigue + s] = fatigue[b, c, s]
                row[_AT.frequency + s] = frequency[b, c, s]
                row[_AT.recent_exposure + s] = recent[b, c, s]
                row[_AT.recall_survey + s] = noise[b, c, s] + recall[b, c, s]
                row[_AT.health + s] = health[b, s]
                row[_AT.conversions + s] = conversions[b, c, s]
            for j in range(cells):
                seen = tracked[b, j % placements]
                row[_AT.opportunities + j] = opportunities[b, j]
                row[_AT.wins + j] = wins[b, c, j]
                row[_AT.spend_usd + j] = spend_usd[b, c, j]
                row[_AT.predicted_won + j] = predicted_won[b, c, j]
                row[_AT.completions + j] = completions[b, c, j] * seen
                row[_AT.skips + j] = skips[b, c, j]
                row[_AT.dislikes + j] = dislikes[b, c, j]
                row[_AT.clicks + j] = clicks[b, c, j] * seen
                row[_AT.price_usd + j] = price_usd[b, c, j]
                row[_AT.win_rate + j] = win_rate[b, c, j]
            missing += bound(row, _LOW, _HIGH)
    return missing
