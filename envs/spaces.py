"""Gymnasium spaces of every role, and the way between an agent's own action and the protocol's arrays.

| agent | its action |
|---|---|
| `audience_0` | Box [MAX_CAMPAIGNS, S, 2]: affinity, confidence |
| `creative_<c>` | MultiDiscrete [S * 4]: format, script, length, call to action of each segment; or a Dict \
of it and of claims on video, see `claiming_creative_space` |
| `bidding_<c>` | Box [1 + P + S]: log-multipliers, global, by placement, by segment |
| `monitor_0` | MultiDiscrete [MAX_CAMPAIGNS * P * 3]: advice, kind, severity of each campaign and placement \
or a Dict of it and of alerts of creatives, see `creative_alerting_space` |
| `orchestrator_0` | Dict of the directive's fields; and, where it pauses creatives, `creative_pause` |
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.catalogue import CREATIVE_CHOICES, MAX_CAMPAIGNS, SCRIPTS, VIDEO, P, S
from envs.observation import SCHEMAS
from envs.protocol import (
    BOUNDS,
    CREATIVES_SHAPE,
    Actions,
    Alert,
    CreativeAlert,
    CreativePause,
    Directive,
    InvalidActionError,
    SegmentValue,
    action_shape,
)

Space = spaces.Space[Any]
_SCRIPT: Final = CREATIVE_CHOICES.index(len(SCRIPTS), 1)
PER_CAMPAIGN: Final = ("creative", "bidding")
_FLAT: Final = {
    "audience": (MAX_CAMPAIGNS, S, 2),
    "creative": (S * len(CREATIVE_CHOICES),),
    "bidding": (1 + P + S,),
    "monitor": (MAX_CAMPAIGNS * P * 3,),
}
"""Shape of one agent's action, for the roles that act with one array."""
_FIRST_FIELD: Final = {role: next(iter(BOUNDS[role])) for role in _FLAT}
_DIRECTIVE: Final = {
    field: action_shape("orchestrator", field, MAX_CAMPAIGNS) for field in BOUNDS["orchestrator"]
}
"""Shape of every field of a directive."""


def agent_names(campaigns: int) -> list[str]:
    """All agents of a market in their stable order."""
    return list(_names(campaigns))


@lru_cache
def _names(campaigns: int) -> tuple[str, ...]:
    return (
        "audience_0",
        *(f"creative_{c}" for c in range(campaigns)),
        *(f"bidding_{c}" for c in range(campaigns)),
        "monitor_0",
        "orchestrator_0",
    )


@lru_cache
def role_of(agent: str) -> tuple[str, int]:
    """Role and number of an agent's name."""
    role, _, number = agent.rpartition("_")
    return role, int(number)


def observation_space(role: str) -> spaces.Box:
    """Box of the role's schema."""
    return spaces.Box(SCHEMAS[role].low, SCHEMAS[role].high, dtype=np.float32)


def state_space() -> spaces.Box:
    """Box of `VectorMarket.state`: the orchestrator's view, then a campaign's view MAX_CAMPAIGNS times.

    It holds zeros where a campaign does not exist, so every bound of a campaign's view is widened to 0.
    """
    whole, one = SCHEMAS["orchestrator"], SCHEMAS["bidding"]
    low = np.concatenate([whole.low, np.tile(np.minimum(one.low, 0.0), MAX_CAMPAIGNS)])
    high = np.concatenate([whole.high, np.tile(np.maximum(one.high, 0.0), MAX_CAMPAIGNS)])
    return spaces.Box(low, high, dtype=np.float32)


def action_space(role: str) -> Space:
    """The space of one agent of the role, made from `protocol.BOUNDS`."""
    if role == "orchestrator":
        return spaces.Dict({field: _field_space(role, field, _DIRECTIVE[field]) for field in BOUNDS[role]})
    if role == "creative":
        return spaces.MultiDiscrete(np.tile(CREATIVE_CHOICES, S))
    if role == "monitor":
        counts = [int(bounds.high) + 1 for bounds in BOUNDS[role].values()]
        return spaces.MultiDiscrete(np.tile(counts, MAX_CAMPAIGNS * P))
    low = np.array([bounds.low for bounds in BOUNDS[role].values()], np.float32)
    high = np.array([bounds.high for bounds in BOUNDS[role].values()], np.float32)
    shape = _FLAT[role]
    low, high = np.broadcast_to(low, shape).copy(), np.broadcast_to(high, shape).copy()
    return spaces.Box(low, high, dtype=np.float32)


def claiming_creative_space() -> spaces.Dict:
    """What a creative agent may answer in place of its plain action: `creative` as in it, and its claims.

    `premium_value_usd` Box [S]: what video in a segment would bring its campaign, USD an interval; the plain
    action claims nothing.
    """
    claims = _field_space("creative", "premium_value_usd", (S,))
    return spaces.Dict({"creative": action_space("creative"), "premium_value_usd": claims})


def creative_alerting_space() -> spaces.Dict:
    """What a monitor may answer in place of its plain action: `alert` as in it, and alerts of creatives.

    `creative_alert` MultiDiscrete [MAX_CAMPAIGNS * V * 3]: advice, kind, severity of each campaign's
    creatives; the plain action alerts of none.
    """
    counts = [int(bounds.high) + 1 for bounds in BOUNDS["monitor"].values()]
    by_creative = spaces.MultiDiscrete(np.tile(counts, int(np.prod(CREATIVES_SHAPE))))
    return spaces.Dict({"alert": action_space("monitor"), "creative_alert": by_creative})


def creative_pausing_space() -> spaces.Dict:
    """A directive's fields and `creative_pause` MultiBinary [MAX_CAMPAIGNS, V], which may be left out."""
    plain = action_space("orchestrator")
    assert isinstance(plain, spaces.Dict)
    return spaces.Dict({**plain.spaces, "creative_pause": spaces.MultiBinary(CREATIVES_SHAPE)})


def joint_action_space(*roles: str) -> spaces.Dict:
    """The space of one agent that decides for several roles."""
    return spaces.Dict({role: action_space(role) for role in roles})


def _field_space(role: str, field: str, shape: tuple[int, ...]) -> Space:
    bounds = BOUNDS[role][field]
    if not bounds.integer:
        return spaces.Box(bounds.low, bounds.high, shape, np.float32)
    if bounds.high == 1.0:
        return spaces.MultiBinary(shape[0] if len(shape) == 1 else shape)
    return spaces.MultiDiscrete(np.full(shape, int(bounds.high) + 1))


def creative_mask(
    granted: NDArray[np.bool_], paused: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int8], ...]:
    """Eligible choices of a creative agent whose premium grants are [S], in the form `sample(mask)` takes.

    `paused` [V] are creatives off air; all are eligible where all are paused, and none airs. A choice outside
    the mask is not an error: video without a grant airs as audio, the next script in a paused one's place.
    The arrays are shared by all who ask, and read-only.
    """
    off_air = () if paused is None or paused.all() else tuple(np.flatnonzero(paused).tolist())
    return _mask(tuple(granted.tolist()), off_air)


@lru_cache
def _mask(granted: tuple[bool, ...], off_air: tuple[int, ...]) -> tuple[NDArray[np.int8], ...]:
    masks = []
    for allowed in granted:
        for part, count in enumerate(CREATIVE_CHOICES):
            mask = np.ones(count, np.int8)
            if part == 0:
                mask[VIDEO] = allowed
            if part == _SCRIPT:
                mask[[*off_air]] = 0
            mask.flags.writeable = False
            masks.append(mask)
    return tuple(masks)


def decode(actions: Mapping[str, Any], campaigns: int, where: str) -> Actions:
    """The protocol's arrays, B = 1, of the actions that the agents of one market gave.

    Args:
        actions: one action per agent of `agent_names(campaigns)`.
        campaigns: C.
        where: interval and market, for messages.

    Raises:
        InvalidActionError: a wrong shape, type or field. Bounds are checked by the market.
    """
    rows: dict[str, list[NDArray[Any]]] = {role: [] for role in _FLAT}
    claims: list[NDArray[Any] | None] = []
    creative_alert: CreativeAlert | None = None
    for agent in _names(campaigns)[:-1]:
        role, _ = role_of(agent)
        action = actions[agent]
        if role == "creative":
            action, claim = _creative(agent, action, where)
            claims.append(claim)
        if role == "monitor" and isinstance(action, Mapping):
            action, creative_alert = _alerts(agent, action, where)
        rows[role].append(_array(agent, _FIRST_FIELD[role], action, _FLAT[role], where))
    (audience,), (monitor,) = rows["audience"], rows["monitor"]
    alert = monitor.reshape(1, MAX_CAMPAIGNS, P, 3)
    return Actions(
        audience=SegmentValue(audience[None, ..., 0], audience[None, ..., 1]),
        creative=np.concatenate(rows["creative"]).reshape(1, campaigns, S, len(CREATIVE_CHOICES)),
        bidding=np.concatenate(rows["bidding"]).reshape(1, campaigns, 1 + P + S),
        monitor=Alert(alert[..., 0], alert[..., 1], alert[..., 2]),
        orchestrator=_directive(actions["orchestrator_0"], where),
        premium_value_usd=_claims(claims),
        creative_alert=creative_alert,
        creative_pause=_pause(actions["orchestrator_0"], where),
    )


def _creative(agent: str, given: Any, where: str) -> tuple[Any, NDArray[Any] | None]:
    """A creative agent's choices, and its claims where it makes some."""
    if not isinstance(given, Mapping):
        return given, None
    fields = _fields(agent, given, where)
    return fields["creative"], _array(agent, "premium_value_usd", fields["premium_value_usd"], (S,), where)


def _claims(claims: list[NDArray[Any] | None]) -> NDArray[Any] | None:
    """Claims [1, C, S] of all creative agents, 0 of those who make none; None where nobody makes any."""
    if all(claim is None for claim in claims):
        return None
    return np.stack([np.zeros(S) if claim is None else claim for claim in claims])[None]


def _alerts(agent: str, given: Mapping[str, Any], where: str) -> tuple[Any, CreativeAlert]:
    """A monitor's plain action, and what it alerts of creatives."""
    fields = _these(agent, given, ("alert", "creative_alert"), where)
    shape = (int(np.prod(CREATIVES_SHAPE)) * 3,)
    told = _array(agent, "kind", fields["creative_alert"], shape, where).reshape(1, *CREATIVES_SHAPE, 3)
    return fields["alert"], CreativeAlert(told[..., 0], told[..., 1], told[..., 2])


def _pause(given: Mapping[str, Any], where: str) -> CreativePause | None:
    """Creatives that an orchestrator pauses, where it says so."""
    if "creative_pause" not in given:
        return None
    paused = _array("orchestrator_0", "pause", given["creative_pause"], CREATIVES_SHAPE, where)
    return CreativePause(paused[None])


def _directive(given: Any, where: str) -> Directive:
    agent = "orchestrator_0"
    if isinstance(given, Mapping):
        given = {name: value for name, value in given.items() if name != "creative_pause"}
    fields = _fields(agent, given, where)
    return Directive(
        **{field: _array(agent, field, fields[field], _DIRECTIVE[field], where)[None] for field in fields}
    )


def _fields(agent: str, given: Any, where: str) -> Mapping[str, Any]:
    """An action that is a dictionary of all fields of its role."""
    return _these(agent, given, tuple(BOUNDS[role_of(agent)[0]]), where)


def _these(agent: str, given: Any, fields: tuple[str, ...], where: str) -> Mapping[str, Any]:
    """A dictionary of exactly these fields."""
    if not isinstance(given, Mapping) or given.keys() != {*fields}:
        got = ", ".join(map(str, given)) if isinstance(given, Mapping) else type(given).__name__
        raise InvalidActionError(
            f"{agent}: expected a dictionary with the fields {', '.join(fields)} {where}, got {got}"
        )
    return given


def _array(agent: str, field: str, value: Any, shape: tuple[int, ...], where: str) -> NDArray[Any]:
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.asarray(None)
    integer = BOUNDS[role_of(agent)[0]][field].integer
    if array.dtype.kind not in ("iub" if integer else "iubf"):
        kind = "whole numbers" if integer else "numbers"
        raise InvalidActionError(
            f"{agent}: field {field!r} holds {value!r} {where}; expected {kind} of shape {shape}"
        )
    if array.shape != shape:
        raise InvalidActionError(
            f"{agent}: field {field!r} has shape {array.shape} {where}, expected {shape}"
        )
    return array


def encode(actions: Actions, market: int = 0) -> dict[str, Any]:
    """One market's part of a batch of actions, as its agents would give it: the inverse of `decode`."""
    campaigns = actions.bidding.shape[1]
    alert = np.stack([array[market] for array in actions.monitor], -1).reshape(-1)
    told, pause = actions.creative_alert, actions.creative_pause
    by_creative = None if told is None else np.stack([array[market] for array in told], -1).reshape(-1)
    return {
        "audience_0": np.stack([array[market] for array in actions.audience], -1),
        **{f"creative_{c}": _encoded_creative(actions, market, c) for c in range(campaigns)},
        **{f"bidding_{c}": actions.bidding[market, c] for c in range(campaigns)},
        "monitor_0": alert if by_creative is None else {"alert": alert, "creative_alert": by_creative},
        "orchestrator_0": {
            **{field: getattr(actions.orchestrator, field)[market] for field in Directive._fields},
            **({} if pause is None else {"creative_pause": pause.script[market]}),
        },
    }


def _encoded_creative(actions: Actions, market: int, campaign: int) -> Any:
    choices = actions.creative[market, campaign].reshape(-1)
    if actions.premium_value_usd is None:
        return choices
    return {"creative": choices, "premium_value_usd": actions.premium_value_usd[market, campaign]}
