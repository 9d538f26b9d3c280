"""A team of which one kind of message reaches nobody: what it is worth that roles hear each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from envs.impressions import ImpressionLog
from envs.market import Observations
from envs.observation import SCHEMAS
from envs.protocol import Actions, Board, Directive, quiet_board
from policies.policy import Policy
from policies.team import Team

Seen = Mapping[str, tuple[str, ...]]
"""By role, the fields of its observation that carry a message."""


class Message(NamedTuple):
    """One kind of message and how it is muted."""

    sender: str
    unsaid: Callable[[Actions], Actions] | None = None
    """What is posted without it; None where the environment makes it of actions."""
    unseen: Seen = MappingProxyType({})
    """Where it is made by the environment: fields that are 0, as before anybody has spoken."""
    unread: tuple[str, ...] = ()
    """What of the board is then as before anybody has spoken, too."""
    untold: bool = False
    """Whether nobody but the orchestrator hears what the monitor says on the board."""


def _audience(actions: Actions) -> Actions:
    return actions._replace(audience=_quiet(actions).segment_value)


def _table(actions: Actions) -> Actions:
    return actions._replace(listener_affinity=None)


def _claims(actions: Actions) -> Actions:
    return actions._replace(premium_value_usd=None)


def _alerts(actions: Actions) -> Actions:
    return actions._replace(monitor=_quiet(actions).alert, creative_alert=None)


def _directive(*fields: str) -> Callable[[Actions], Actions]:
    """Leaves fields of the directive as they are before anybody has spoken."""

    def unsaid(actions: Actions) -> Actions:
        quiet = _quiet(actions).directive
        said = {name: getattr(quiet, name) for name in fields}
        return actions._replace(orchestrator=actions.orchestrator._replace(**said))

    return unsaid


def _quiet(actions: Actions) -> Board:
    markets, campaigns = actions.bidding.shape[:2]
    return quiet_board(markets, campaigns)


_PLAN: Final[Seen] = {
    "creative": ("expected_completion",),
    "bidding": ("expected_completion",),
    "orchestrator": ("plan_video", "expected_completion", "premium_value_usd"),
}
_SPEND: Final[Seen] = {
    "creative": ("pacing_error", "win_rate_plan", "marginal_price_usd"),
    "bidding": ("pacing_error", "win_rate_plan", "marginal_price_usd"),
    "monitor": ("pacing_error",),
    "orchestrator": ("pacing_error", "win_rate", "marginal_price_usd"),
}
_ALERT: Final = ("alert_kind", "alert_severity")
MESSAGES: Final[dict[str, Message]] = {
    "segment values": Message("audience", _audience),
    "listener table": Message("audience", _table),
    "segment values and listener table": Message("audience", lambda actions: _table(_audience(actions))),
    "creative plan: claims on video": Message("creative", _claims),
    "creative plan, all of it": Message("creative", None, _PLAN),
    "spend plan": Message("bidding", None, _SPEND, unread=("spend_plan",)),
    "alerts": Message("monitor", _alerts),
    "alerts of creatives": Message("monitor", lambda actions: actions._replace(creative_alert=None)),
    "alerts, by campaigns and audience": Message(
        "monitor", None, dict.fromkeys(("creative", "bidding"), _ALERT), untold=True
    ),
    "directive: throttles": Message("orchestrator", _directive("throttle")),
    "directive: pauses": Message("orchestrator", _directive("pause")),
    "pauses of creatives": Message("orchestrator", lambda actions: actions._replace(creative_pause=None)),
    "directive: caps on bids": Message("orchestrator", _directive("aggression_cap")),
    "directive: budget shares": Message("orchestrator", _directive("budget_share")),
    "directive: grants of video": Message("orchestrator", _directive("premium_grant")),
    "directive and pauses of creatives, all of it": Message(
        "orchestrator",
        lambda actions: _directive(*Directive._fields)(actions)._replace(creative_pause=None),
    ),
}
"""Every kind of message, those of several parts also part by part."""


@dataclass
class MutedTeam(Team):
    """Its roles act as ever; one kind of message (a key of `MESSAGES`) is lost on the way."""

    muted: str = field(default="", kw_only=True)

    def act(self, observations: Observations, impressions: ImpressionLog | None = None) -> Actions:
        """What the roles do who never hear it, without what nobody is to hear."""
        message = MESSAGES[self.muted]
        self._untold = message.untold
        actions = super().act(_without(observations, message), impressions)
        return actions if message.unsaid is None else message.unsaid(actions)

    def _tell(self, policy: Policy) -> None:
        """As the team does; of alerts, only the orchestrator where nobody else is to hear them."""
        if self._untold and policy is not self.policies["orchestrator"]:
            whole, board = self._seen, self._seen.board
            quiet = _quiet_alerts(board) if board is not None else None
            self._seen = whole._replace(board=quiet)
            super()._tell(policy)
            self._seen = whole
        else:
            super()._tell(policy)


def _quiet_alerts(board: Board) -> Board:
    """A board on which the monitor has said nothing."""
    quiet = quiet_board(len(board.alert.kind), 1)
    return board._replace(alert=quiet.alert, creative_alert=quiet.creative_alert)


def _without(observations: Observations, message: Message) -> Observations:
    """Observations in which fields that carry a message are 0, and its part of the board is quiet."""
    changed: dict[str, Any] = {}
    for role, fields in message.unseen.items():
        rows = getattr(observations, role).copy()
        for name in fields:
            rows[..., SCHEMAS[role].slices[name]] = 0.0
        changed[role] = rows
    board = observations.board
    if board is not None and message.unread:
        quiet = quiet_board(*board.spend_plan.win_rate.shape)
        changed["board"] = board._replace(**{name: getattr(quiet, name) for name in message.unread})
    return observations._replace(**changed)
