"""The observations a second time: whole arrays at once in NumPy, as the table of fields reads."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs import catalogue as cat
from envs.catalogue import ARMS, MAX_CAMPAIGNS, P, S
from envs.inventory import EVENT_INTERVALS
from envs.market import VectorMarket
from envs.observation import SCHEMAS, Observation
from envs.philox import normals
from envs.response import CLICK_RATE, VISIBLE_CLICK_FACTOR, completion_probability
from envs.sight import SURVEY_SD, SURVEY_STREAM
from envs.state import Float, Outcome

Values = dict[str, NDArray[Any]]


def _pad(array: NDArray[Any], fill: float = 0.0) -> NDArray[Any]:
    """[B, C, …] → [B, MAX_CAMPAIGNS, …]."""
    padded = np.full((array.shape[0], MAX_CAMPAIGNS, *array.shape[2:]), fill)
    padded[:, : array.shape[1]] = array
    return padded


def _clock(market: VectorMarket) -> Values:
    """The clock's fields, each [B]."""
    t, scenario, b = market.interval, market.scenario, market.num_markets
    angle = 2 * np.pi * (t % scenario.intervals_per_day) / scenario.intervals_per_day
    event = market.parameters.event_interval
    ahead = (event >= 0) & (event >= t)
    active = (event >= 0) & (t >= event) & (t < event + EVENT_INTERVALS)
    return {
        "elapsed_fraction": np.full(b, t / scenario.intervals),
        "hour_sine": np.full(b, np.sin(angle)),
        "hour_cosine": np.full(b, np.cos(angle)),
        "event_countdown": np.where(ahead, (event - t) / scenario.intervals, 1.0),
        "event_active": active.astype(np.float64),
    }


def _tracked(outcome: Outcome, counts: Float) -> Float:
    """Counts [B, C, S, P] as the tracker saw them."""
    return counts * outcome.tracked[:, None, None, :]


def _aired_effect(market: VectorMarket) -> tuple[Float, Float]:
    """Expected completions and clicks by briefs and predictions for what aired: [B, C, S, P] each."""
    out, brief, arm = market.outcome, market.brief, market.aired
    assert out is not None
    arms = ARMS[arm]
    effect = np.take_along_axis(brief.log_format, arms[..., 0][..., None], -1)[..., 0]
    effect = effect + np.take_along_axis(brief.log_script, arms[..., 1][..., None], -1)[..., 0]
    fit = cat.ARM_FIT[arm]
    attention = market.parameters.attention[:, market.interval - 1][:, None, None, :]
    weight = market.scenario.impression_weight
    z_sum = out.predicted_won * np.exp(effect)[..., None] * fit * attention
    z = z_sum / np.maximum(1.0, out.wins)
    completions = weight * out.wins * completion_probability(z, cat.ARM_HAZARD[arm][..., None])
    visible = np.where(cat.NEEDS_SCREEN[arms[..., 0]][..., None], 1.0, cat.SCREEN_VISIBLE_PROBABILITY)
    clicks = (
        weight
        * CLICK_RATE
        * cat.ARM_CLICK[arm][..., None]
        * z_sum
        * (1 + (VISIBLE_CLICK_FACTOR - 1) * visible)
    )
    return completions, clicks


def _campaign_values(market: VectorMarket, clock: Values) -> Values:
    st, brief, feed, board = market.market_state, market.brief, market.feed, market.board
    b, c = market.num_markets, market.num_campaigns
    arms = ARMS[st.on_air]
    t = min(market.interval, market.scenario.intervals - 1)
    cell, segment = np.zeros((b, c, S, P)), np.zeros((b, c, S))
    out = market.outcome
    noise = SURVEY_SD * normals(market.seeds, SURVEY_STREAM + 1000 * (1 + market.interval), (c, S))
    directive, plan = board.directive, board.spend_plan
    values: Values = {name: np.broadcast_to(value[:, None], (b, c)) for name, value in clock.items()}
    values |= {
        "budget_usd": feed.budget_usd,
        "budget_left_fraction": st.budget_left_usd / np.maximum(1e-9, feed.budget_usd),
        "pacing_error": market.pacing_error(),
        "attention": np.broadcast_to(market.parameters.attention[:, t][:, None], (b, c, P)),
        "brief_log_affinity": brief.log_affinity,
        "brief_log_format": brief.log_format,
        "brief_log_script": brief.log_script,
        "brief_wear_out": brief.wear_out,
        "brief_recall_decay": brief.recall_decay,
        "brief_conversion": brief.conversion,
        "brief_recall": brief.recall,
        "affinity_hint": market.parameters.affinity_hint,
        "segment_affinity": board.segment_value.affinity[:, :c],
        "segment_confidence": board.segment_value.confidence[:, :c],
        "aggression_cap": directive.aggression_cap[:, :c],
        "budget_share": directive.budget_share[:, :c],
        "pause": directive.pause[:, :c],
        "throttle": directive.throttle[:, :c],
        "premium_grant": market.premium_granted(directive),
        "alert_severity": board.alert.severity[:, :c],
        "alert_kind": board.alert.kind[:, :c],
        "expected_completion": board.creative_plan.expected_completion,
        "win_rate_plan": plan.win_rate,
        "marginal_price_usd": plan.marginal_price_usd,
        "on_air_format": arms[..., 0][..., None] == np.arange(cat.F),
        "on_air_script": arms[..., 1][..., None] == np.arange(cat.V),
        "on_air_long": arms[..., 2],
        "on_air_early": arms[..., 3],
        "wear": st.wear,
        "fatigue": segment if out is None else out.fatigue,
        "frequency": segment if out is None else out.frequency,
        "recent_exposure": segment if out is None else out.recent_exposure,
        "recall_survey": noise + (segment if out is None else out.recall),
        "health": np.broadcast_to((np.ones((b, S)) if out is None else out.health)[:, None], (b, c, S)),
        "opportunities": cell if out is None else np.broadcast_to(out.opportunities[:, None], (b, c, S, P)),
        "wins": cell if out is None else out.wins,
        "spend_usd": cell if out is None else out.spend_usd,
        "predicted_won": cell if out is None else out.predicted_won,
        "completions": cell if out is None else _tracked(out, out.completions),
        "skips": cell if out is None else out.skips,
        "dislikes": cell if out is None else out.dislikes,
        "clicks": cell if out is None else _tracked(out, out.clicks),
        "conversions": segment if out is None else out.conversions,
        "price_usd": feed.price_usd,
        "win_rate": feed.win_rate,
    }
    return values


def _global_values(market: VectorMarket, clock: Values) -> dict[str, Values]:
    b, c, out, feed = market.num_markets, market.num_campaigns, market.outcome, market.feed
    board, brief, st = market.board, market.brief, market.market_state
    mask = np.broadcast_to(np.arange(MAX_CAMPAIGNS) < c, (b, MAX_CAMPAIGNS))
    health = np.ones((b, S)) if out is None else out.health
    segment, placement = np.zeros((b, MAX_CAMPAIGNS, S)), np.zeros((b, MAX_CAMPAIGNS, P))
    none = np.zeros((b, MAX_CAMPAIGNS))
    completions, clicks = (np.zeros((b, c, S, P)),) * 2 if out is None else _aired_effect(market)
    common = {**clock, "campaign_mask": mask}

    def by(array: Float, axis: int) -> Float:
        return _pad(array.sum(axis))

    audience = {
        **common,
        "affinity_hint": _pad(market.parameters.affinity_hint, 1.0),
        "brief_log_affinity": _pad(brief.log_affinity),
        "wins": segment if out is None else by(out.wins, -1),
        "predicted_won": segment if out is None else by(out.predicted_won, -1),
        "completions": segment if out is None else by(_tracked(out, out.completions), -1),
        "clicks": segment if out is None else by(_tracked(out, out.clicks), -1),
        "expected_clicks": by(clicks, -1),
        "health": health,
    }
    monitor = {
        **common,
        "budget_left_fraction": _pad(st.budget_left_usd / np.maximum(1e-9, feed.budget_usd)),
        "pacing_error": _pad(market.pacing_error()),
        "frequency": none if out is None else _pad(out.frequency.mean(-1)),
        "conversions": none if out is None else _pad(out.conversions.sum(-1)),
        "opportunities": np.zeros((b, P)) if out is None else out.opportunities.sum(1),
        "expected_completions": by(completions, 2),
        "expected_clicks": by(clicks, 2),
    }
    for name in ("wins", "spend_usd", "skips", "dislikes"):
        monitor[name] = placement if out is None else by(getattr(out, name), 2)
    for name in ("completions", "clicks"):
        monitor[name] = placement if out is None else by(_tracked(out, getattr(out, name)), 2)
    monitor["price_usd"] = (
        placement if out is None else _pad(out.price_usd.sum(2) / np.maximum(1.0, out.priced.sum(2)))
    )
    orchestrator = {
        **common,
        "budget_usd": _pad(feed.budget_usd),
        "budget_left_usd": _pad(st.budget_left_usd),
        "segment_affinity": board.segment_value.affinity,
        "segment_confidence": board.segment_value.confidence,
        "brief_log_video": _pad(brief.log_format[..., cat.VIDEO]),
        "plan_video": _pad(board.creative_plan.format == cat.VIDEO),
        "expected_completion": _pad(board.creative_plan.expected_completion),
        "premium_value_usd": _pad(board.creative_plan.premium_value_usd),
        "pacing_error": _pad(board.spend_plan.pacing_error),
        "win_rate": _pad(board.spend_plan.win_rate),
        "marginal_price_usd": _pad(board.spend_plan.marginal_price_usd),
        "alert_advice": board.alert.advice,
        "alert_kind": board.alert.kind,
        "alert_severity": board.alert.severity,
        "throttle": board.directive.throttle,
        "health": health,
    }
    return {"audience": audience, "monitor": monitor, "orchestrator": orchestrator}


def observe_all(market: VectorMarket) -> dict[str, Observation]:
    """Every role's observations: [B, agents of the role, ·] float32."""
    clock = _clock(market)
    b, c = market.num_markets, market.num_campaigns
    campaign = SCHEMAS["bidding"].pack(_campaign_values(market, clock), (b, c))
    views = {
        role: SCHEMAS[role].pack(values, (b,))[:, None]
        for role, values in _global_values(market, clock).items()
    }
    return {**views, "creative": campaign, "bidding": campaign.copy()}
