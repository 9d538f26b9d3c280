"""The campaign observation, taken apart: rows M = B × C, float64, one array a field."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from envs import catalogue as cat
from envs.observation import SCHEMAS, Observation
from envs.state import Float, Int

_SCHEMA = SCHEMAS["bidding"]


class Evidence(NamedTuple):
    """What estimators and pacing read of a campaign's observation."""

    elapsed_fraction: Float  # [M]
    budget_usd: Float  # [M]
    budget_left_fraction: Float  # [M]
    attention: Float  # [M, P]
    brief_log_affinity: Float  # [M, S]
    brief_log_format: Float  # [M, S, F]
    brief_log_script: Float  # [M, S, V]
    brief_wear_out: Float  # [M]
    brief_recall_decay: Float  # [M]
    brief_conversion: Float  # [M]
    brief_recall: Float  # [M]
    affinity_hint: Float  # [M, S]
    segment_affinity: Float  # [M, S]
    segment_confidence: Float  # [M, S]
    premium_grant: Float  # [M, S]
    wear: Float  # [M, S, F, V]
    fatigue: Float  # [M, S]
    recent_exposure: Float  # [M, S]
    recall_survey: Float  # [M, S]
    opportunities: Float  # [M, S, P]
    wins: Float  # [M, S, P]
    spend_usd: Float  # [M, S, P]
    predicted_won: Float  # [M, S, P]
    completions: Float  # [M, S, P]
    skips: Float  # [M, S, P]
    clicks: Float  # [M, S, P]
    conversions: Float  # [M, S]
    price_usd: Float  # [M, S, P]
    alert_kind: Float  # [M, P] index into ALERT_KINDS
    throttle: Float  # [M, P]
    arm: Int  # [M, S] creative that airs in this interval


def evidence_of(observation: Observation) -> Evidence:
    """Campaign observations [B, C, ·] as evidence of M = B × C rows."""
    rows = observation.reshape(-1, observation.shape[-1])

    def view(name: str) -> Float:
        return np.ascontiguousarray(_SCHEMA.view(rows, name), np.float64)

    fields = {name: view(name) for name in Evidence._fields if name != "arm"}
    return Evidence(**fields, arm=arms_on_air(rows))


def arms_on_air(observation: Observation) -> Int:
    """[..., S] creatives that air in this interval, of campaign observations [..., ·]."""
    fmt, script = (_SCHEMA.view(observation, f"on_air_{part}").argmax(-1) for part in ("format", "script"))
    cut = (_SCHEMA.view(observation, f"on_air_{part}").astype(np.int64) for part in ("long", "early"))
    return cat.arm_index(np.stack([fmt, script, *cut], -1))
