"""What the creative and the bidding agent of a campaign see (a numba kernel)."""

from __future__ import annotations

from envs import catalogue as cat
from envs.kernel import kernel
from envs.observation import SCHEMAS, starts
from envs.rows import bound, put, put_seen

_AT = starts(SCHEMAS["bidding"])
_LOW, _HIGH = SCHEMAS["bidding"].low, SCHEMAS["bidding"].high
_ARMS, _F, _V = cat.ARMS, cat.F, cat.V


@kernel
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
    told, directive, alert, plan = board.segment_value, board.directive, board.alert, board.spend_plan
    completion = board.creative_plan.expected_completion
    # Every table of a campaign as one line of numbers.
    brief_format = brief.log_format.reshape(batch, campaigns, segments * _F)
    brief_script = brief.log_script.reshape(batch, campaigns, segments * _V)
    wear = st.wear.reshape(batch, campaigns, segments * _F * _V)
    cells = segments * m.attention.shape[2]
    opportunities = out.opportunities.reshape(batch, cells)
    wins = out.wins.reshape(batch, campaigns, cells)
    spend_usd = out.spend_usd.reshape(batch, campaigns, cells)
    predicted_won = out.predicted_won.reshape(batch, campaigns, cells)
    skips = out.skips.reshape(batch, campaigns, cells)
    dislikes = out.dislikes.reshape(batch, campaigns, cells)
    price_usd = feed.price_usd.reshape(batch, campaigns, cells)
    win_rate = feed.win_rate.reshape(batch, campaigns, cells)
    missing = 0
    for b in range(first, end):
        for c in range(campaigns):
            row = rows[b, c]
            put(row, _AT.elapsed_fraction, clock[b])
            budget_usd = feed.budget_usd[b, c]
            row[_AT.budget_usd] = budget_usd
            row[_AT.budget_left_fraction] = st.budget_left_usd[b, c] / max(1e-9, budget_usd)
            row[_AT.pacing_error] = plan.pacing_error[b, c]
            put(row, _AT.attention, m.attention[b, t])
            put(row, _AT.brief_log_affinity, brief.log_affinity[b, c])
            put(row, _AT.brief_log_format, brief_format[b, c])
            put(row, _AT.brief_log_script, brief_script[b, c])
            row[_AT.brief_wear_out] = brief.wear_out[b, c]
            row[_AT.brief_recall_decay] = brief.recall_decay[b, c]
            row[_AT.brief_conversion] = brief.conversion[b, c]
            row[_AT.brief_recall] = brief.recall[b, c]
            put(row, _AT.affinity_hint, m.affinity_hint[b, c])
            put(row, _AT.segment_affinity, told.affinity[b, c])
            put(row, _AT.segment_confidence, told.confidence[b, c])
            row[_AT.aggression_cap] = directive.aggression_cap[b, c]
            row[_AT.budget_share] = directive.budget_share[b, c]
            row[_AT.pause] = directive.pause[b, c]
            put(row, _AT.throttle, directive.throttle[b, c])
            put(row, _AT.alert_severity, alert.severity[b, c])
            put(row, _AT.alert_kind, alert.kind[b, c])
            put(row, _AT.expected_completion, completion[b, c])
            row[_AT.win_rate_plan] = plan.win_rate[b, c]
            row[_AT.marginal_price_usd] = plan.marginal_price_usd[b, c]
            row[_AT.on_air_format : _AT.on_air_format + segments * _F] = 0.0
            row[_AT.on_air_script : _AT.on_air_script + segments * _V] = 0.0
            for s in range(segments):
                arm = st.on_air[b, c, s]
                row[_AT.on_air_format + s * _F + _ARMS[arm, 0]] = 1.0
                row[_AT.on_air_script + s * _V + _ARMS[arm, 1]] = 1.0
                row[_AT.on_air_long + s] = _ARMS[arm, 2]
                row[_AT.on_air_early + s] = _ARMS[arm, 3]
                row[_AT.premium_grant + s] = 1.0 if directive.premium_grant[b, s] == c + 1 else 0.0
                row[_AT.recall_survey + s] = noise[b, c, s] + out.recall[b, c, s]
            put(row, _AT.wear, wear[b, c])
            put(row, _AT.fatigue, out.fatigue[b, c])
            put(row, _AT.frequency, out.frequency[b, c])
            put(row, _AT.recent_exposure, out.recent_exposure[b, c])
            put(row, _AT.health, out.health[b])
            put(row, _AT.opportunities, opportunities[b])
            put(row, _AT.wins, wins[b, c])
            put(row, _AT.spend_usd, spend_usd[b, c])
            put(row, _AT.predicted_won, predicted_won[b, c])
            put_seen(row, _AT.completions, out.completions[b, c], out.tracked[b])
            put(row, _AT.skips, skips[b, c])
            put(row, _AT.dislikes, dislikes[b, c])
            put_seen(row, _AT.clicks, out.clicks[b, c], out.tracked[b])
            put(row, _AT.conversions, out.conversions[b, c])
            put(row, _AT.price_usd, price_usd[b, c])
            put(row, _AT.win_rate, win_rate[b, c])
            missing += bound(row, _LOW, _HIGH)
    return missing
