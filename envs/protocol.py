"""The messages by which the five roles speak: typed, bounded, in units; posted in t, delivered in t + 1.

The same arrays are part of observations, are logged, rendered and travel in serving. One leading axis B;
global roles address campaigns padded to `MAX_CAMPAIGNS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.catalogue import (
    ADVICE,
    ALERT_KINDS,
    CREATIVE_CHOICES,
    MAX_CAMPAIGNS,
    SEVERITIES,
    F,
    P,
    S,
    V,
)
from envs.errors import InterludeError

Float = NDArray[np.float64]
Int = NDArray[np.int64]

PROTOCOL_VERSION: Final = 3
"""1: five roles and what they say of campaigns and placements; 2: alerts and pauses of single creatives; 3:
bids as they were sent."""
MAX_MULTIPLIER_LOG: Final = 4.0
MAX_AGGRESSION: Final = 50.0
MAX_PREMIUM_VALUE_USD: Final = 1e7


class InvalidActionError(InterludeError):
    """An action that is not finite or lies outside its space."""


class SegmentValue(NamedTuple):
    """audience_0 → all: who is likely to care."""

    affinity: Float  # [B, MAX_CAMPAIGNS, S] 1 = average
    confidence: Float  # [B, MAX_CAMPAIGNS, S] in [0, 1]


class CreativePlan(NamedTuple):
    """creative_<c> → all: what will air next, and what it should do."""

    format: Int  # [B, C, S]
    expected_completion: Float  # [B, C, S] fraction
    wear: Float  # [B, C, S] decayed impressions a listener of the asset
    premium_value_usd: Float  # [B, C, S] what video there is claimed to bring an interval; 0 = no claim


class SpendPlan(NamedTuple):
    """bidding_<c> → all: how the money goes."""

    pacing_error: Float  # [B, C] share spent − share of the flight gone
    win_rate: Float  # [B, C] wins / opportunities
    marginal_price_usd: Float  # [B, C] price of the last opportunity worth winning, per predicted value of 1
    bid_usd: Float  # [B, C, S, P] as sent, capped and throttled, per predicted value, fit and attention of 1


class Alert(NamedTuple):
    """monitor_0 → orchestrator, all: what is wrong and what should be done about it."""

    advice: Int  # [B, MAX_CAMPAIGNS, P] index into ADVICE
    kind: Int  # [B, MAX_CAMPAIGNS, P] index into ALERT_KINDS
    severity: Int  # [B, MAX_CAMPAIGNS, P] index into SEVERITIES


class CreativeAlert(NamedTuple):
    """monitor_0 → orchestrator, all: which creative is wrong, and what should be done about it."""

    advice: Int  # [B, MAX_CAMPAIGNS, V] index into ADVICE
    kind: Int  # [B, MAX_CAMPAIGNS, V] index into ALERT_KINDS
    severity: Int  # [B, MAX_CAMPAIGNS, V] index into SEVERITIES


class Directive(NamedTuple):
    """orchestrator_0 → all: enforced by the environment in the interval of its delivery."""

    budget_share: Float  # [B, MAX_CAMPAIGNS] weights; equal weights leave budgets as they are
    aggression_cap: Float  # [B, MAX_CAMPAIGNS] highest bid per predicted value
    throttle: Float  # [B, MAX_CAMPAIGNS, P] factor on bids in [0, 1]
    pause: Int  # [B, MAX_CAMPAIGNS] 1 = no bids at all
    premium_grant: Int  # [B, S] 0 = nobody, c + 1 = campaign c may traffic video


class CreativePause(NamedTuple):
    """orchestrator_0 → all: creatives that may not air, enforced from the interval of its delivery on."""

    script: Int  # [B, MAX_CAMPAIGNS, V] 1 = off air


class CellCredit(NamedTuple):
    """attribution_0 → all: what a touch of each placement × format brought; in markets with journeys only."""

    conversions_per_touch: Float  # [B, MAX_CAMPAIGNS, P, F] purchases per real impression shown, as credited
    deviation: Float  # [B, MAX_CAMPAIGNS, P, F] its standard error
    touches: Float  # [B, MAX_CAMPAIGNS, P, F] real impressions it stands on; 0 = nothing is known
    hold_out: Float  # [B, MAX_CAMPAIGNS] share of impressions to be won and not shown, from its delivery on


class Board(NamedTuple):
    """All messages of one interval."""

    segment_value: SegmentValue
    creative_plan: CreativePlan
    spend_plan: SpendPlan
    alert: Alert
    creative_alert: CreativeAlert
    directive: Directive
    creative_pause: CreativePause
    credit: CellCredit | None = None  # None where nobody attributes


class Actions(NamedTuple):
    """What the agents of B markets do in one interval, one array (or message) per role."""

    audience: SegmentValue
    creative: Int  # [B, C, S, 4] format, script, length, call to action
    bidding: Float  # [B, C, 1 + P + S] log-multipliers: global, placement, segment
    monitor: Alert
    orchestrator: Directive
    listener_affinity: Float | None = None  # [B, C, L] audience's table at its refresh; None keeps the last
    premium_value_usd: Float | None = None  # [B, C, S] creative's claims on video; None claims nothing
    creative_alert: CreativeAlert | None = None  # of the monitor; None says nothing of single creatives
    creative_pause: CreativePause | None = None  # of the orchestrator; None pauses none
    credit: CellCredit | None = None  # of attribution, the sixth role; None where there is none


@dataclass(frozen=True)
class FieldBounds:
    """Bounds and unit of one field of a message or an action."""

    low: float
    high: float
    unit: str
    integer: bool = False


BOUNDS: Final[dict[str, dict[str, FieldBounds]]] = {
    "audience": {
        "affinity": FieldBounds(0.0, 10.0, "factor, 1 = average"),
        "confidence": FieldBounds(0.0, 1.0, "fraction"),
    },
    "creative": {
        "creative": FieldBounds(0.0, float(max(CREATIVE_CHOICES) - 1), "index", True),
        "premium_value_usd": FieldBounds(0.0, MAX_PREMIUM_VALUE_USD, "USD an interval, 0 = no claim"),
    },
    "bidding": {"log_multiplier": FieldBounds(-MAX_MULTIPLIER_LOG, MAX_MULTIPLIER_LOG, "log factor")},
    "monitor": {
        "advice": FieldBounds(0.0, len(ADVICE) - 1.0, "index", True),
        "kind": FieldBounds(0.0, len(ALERT_KINDS) - 1.0, "index", True),
        "severity": FieldBounds(0.0, len(SEVERITIES) - 1.0, "index", True),
    },
    "orchestrator": {
        "budget_share": FieldBounds(0.5, 2.0, "weight"),
        "aggression_cap": FieldBounds(0.0, MAX_AGGRESSION, "bid per predicted value"),
        "throttle": FieldBounds(0.0, 1.0, "factor"),
        "pause": FieldBounds(0.0, 1.0, "flag", True),
        "premium_grant": FieldBounds(0.0, float(MAX_CAMPAIGNS), "campaign + 1", True),
    },
}
"""Bounds of every field an agent may set, by role; spaces, validation and documentation come from here."""
OF_CREATIVES: Final[dict[str, tuple[str, type[Any], dict[str, FieldBounds]]]] = {
    "creative_alert": ("monitor", CreativeAlert, BOUNDS["monitor"]),
    "creative_pause": ("orchestrator", CreativePause, {"script": BOUNDS["orchestrator"]["pause"]}),
}
"""Messages about single creatives: who may post them beside its action, their type, bounds of fields."""
CREATIVES_SHAPE: Final = (MAX_CAMPAIGNS, V)
"""Of every field of theirs, without the batch axis."""
ATTRIBUTION: Final = "attribution"
"""The sixth role, which a team may have where the scenario has journeys."""
SENDERS: Final[dict[str, str]] = {
    "segment_value": "audience",
    "creative_plan": "creative",
    "spend_plan": "bidding",
    "alert": "monitor",
    "creative_alert": "monitor",
    "directive": "orchestrator",
    "creative_pause": "orchestrator",
    "credit": ATTRIBUTION,
}
"""By message of the board, the role that posts it, or of whose actions the environment makes it."""
CREDIT_BOUNDS: Final[dict[str, FieldBounds]] = {
    "conversions_per_touch": FieldBounds(0.0, 1.0, "purchases per impression"),
    "deviation": FieldBounds(0.0, 1.0, "purchases per impression"),
    "touches": FieldBounds(0.0, 1e12, "impressions"),
    "hold_out": FieldBounds(0.0, 0.5, "fraction"),
}
"""Bounds of the optional sixth role's message; a market without journeys refuses it."""


def action_shape(role: str, field: str, campaigns: int) -> tuple[int, ...]:
    """Shape of an action's field, without the batch axis."""
    shapes = {
        ("audience", "affinity"): (MAX_CAMPAIGNS, S),
        ("audience", "confidence"): (MAX_CAMPAIGNS, S),
        ("creative", "creative"): (campaigns, S, len(CREATIVE_CHOICES)),
        ("creative", "premium_value_usd"): (campaigns, S),
        ("bidding", "log_multiplier"): (campaigns, 1 + P + S),
        ("monitor", "advice"): (MAX_CAMPAIGNS, P),
        ("monitor", "kind"): (MAX_CAMPAIGNS, P),
        ("monitor", "severity"): (MAX_CAMPAIGNS, P),
        ("orchestrator", "budget_share"): (MAX_CAMPAIGNS,),
        ("orchestrator", "aggression_cap"): (MAX_CAMPAIGNS,),
        ("orchestrator", "throttle"): (MAX_CAMPAIGNS, P),
        ("orchestrator", "pause"): (MAX_CAMPAIGNS,),
        ("orchestrator", "premium_grant"): (S,),
    }
    return shapes[role, field]


def fields_of(actions: Actions) -> list[tuple[str, str, NDArray[Any]]]:
    """Every (role, field, array) of actions, but for claims not made and what is said of creatives."""
    found: list[tuple[str, str, NDArray[Any]]] = [
        ("creative", "creative", actions.creative),
        ("bidding", "log_multiplier", actions.bidding),
    ]
    if actions.premium_value_usd is not None:
        found.append(("creative", "premium_value_usd", actions.premium_value_usd))
    for role, message in (
        ("audience", actions.audience),
        ("monitor", actions.monitor),
        ("orchestrator", actions.orchestrator),
    ):
        found += [(role, name, getattr(message, name)) for name in message._fields]
    return found


def quiet_board(num_markets: int, campaigns: int) -> Board:
    """What everybody hears before anybody has spoken: average affinity, no confidence, run at will."""
    b, c, n = num_markets, campaigns, MAX_CAMPAIGNS
    return Board(
        SegmentValue(np.ones((b, n, S)), np.zeros((b, n, S))),
        CreativePlan(np.zeros((b, c, S), np.int64), *(np.zeros((b, c, S)) for _ in range(3))),
        SpendPlan(np.zeros((b, c)), np.zeros((b, c)), np.zeros((b, c)), np.zeros((b, c, S, P))),
        Alert(*(np.zeros((b, n, P), np.int64) for _ in range(3))),
        CreativeAlert(*(np.zeros((b, n, V), np.int64) for _ in range(3))),
        Directive(
            np.ones((b, n)),
            np.full((b, n), MAX_AGGRESSION),
            np.ones((b, n, P)),
            np.zeros((b, n), np.int64),
            np.zeros((b, S), np.int64),
        ),
        CreativePause(np.zeros((b, n, V), np.int64)),
    )


def copied(board: Board) -> Board:
    """A board of its own, for whoever reads it."""

    def of(message: Any) -> Any:
        return None if message is None else type(message)(*(field.copy() for field in message))

    return Board(*map(of, board))


def held_out_share(board: Board, num_markets: int, campaigns: int) -> Float:
    """[B, C] share of impressions that the credit on a board wants won and not shown; 0 without one."""
    if board.credit is None:
        return np.zeros((num_markets, campaigns))
    return board.credit.hold_out[:, :campaigns]


def log_records(board: Board, market: int, interval: int, campaigns: int) -> list[dict[str, Any]]:
    """The board of one market as flat records: interval, sender, message, field, values."""
    records: list[dict[str, Any]] = []
    for name, message in board._asdict().items():
        if message is None:
            continue
        role = SENDERS[name]
        sender = role if role in ("creative", "bidding") else f"{role}_0"
        for field in message._fields:
            values = getattr(message, field)[market]
            if sender in ("creative", "bidding"):
                rows = [(f"{sender}_{c}", values[c]) for c in range(campaigns)]
            else:
                rows = [(sender, values[:campaigns] if field != "premium_grant" else values)]
            records += [
                {"interval": interval, "sender": who, "message": name, "field": field, "value": row.tolist()}
                for who, row in rows
            ]
    return records


__all__ = [
    "ATTRIBUTION",
    "BOUNDS",
    "CREATIVES_SHAPE",
    "CREDIT_BOUNDS",
    "OF_CREATIVES",
    "PROTOCOL_VERSION",
    "SENDERS",
    "Actions",
    "Alert",
    "Board",
    "CellCredit",
    "CreativeAlert",
    "CreativePause",
    "CreativePlan",
    "Directive",
    "F",
    "FieldBounds",
    "InvalidActionError",
    "SegmentValue",
    "SpendPlan",
    "action_shape",
    "copied",
    "fields_of",
    "held_out_share",
    "log_records",
    "quiet_board",
]
