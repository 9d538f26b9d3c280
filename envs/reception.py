"""Actions as the market takes them in: checked, and copied, since a message stays as it was posted."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.catalogue import CREATIVE_CHOICES, MAX_CAMPAIGNS, F, P
from envs.kernel import kernel
from envs.protocol import (
    ATTRIBUTION,
    BOUNDS,
    CREATIVES_SHAPE,
    CREDIT_BOUNDS,
    OF_CREATIVES,
    Actions,
    CellCredit,
    FieldBounds,
    Float,
    InvalidActionError,
    action_shape,
)


class _Rule(NamedTuple):
    """One field that agents may set, as it is kept and checked."""

    role: str
    field: str
    bounds: FieldBounds
    dtype: type[np.float64] | type[np.int64]
    low: Any  # of the dtype
    high: NDArray[Any]  # [period] highest value of numbers 0, 1, … of a field, repeated along it


def _rule(role: str, field: str) -> _Rule:
    bounds = BOUNDS[role][field]
    dtype = np.int64 if bounds.integer else np.float64
    high = np.array(CREATIVE_CHOICES) - 1 if field == "creative" else [bounds.high]
    return _Rule(role, field, bounds, dtype, dtype(bounds.low), np.asarray(high, dtype))


_RULES = {(role, field): _rule(role, field) for role in BOUNDS for field in BOUNDS[role]}
_FINITE = (np.finfo(np.float64).min, np.array([np.finfo(np.float64).max]))


@kernel
def _within(values, low, high):  # type: ignore[no-untyped-def]
    """Whether all values [n] lie within [low, high[j mod period]]; NaN lies nowhere."""
    period = high.shape[0]
    for first in range(period):
        most, outside = high[first], 0
        for j in range(first, values.shape[0], period):
            outside += 0 if low <= values[j] <= most else 1
        if outside:
            return False
    return True


@lru_cache(maxsize=64)
def _shape(role: str, field: str, markets: int, campaigns: int) -> tuple[int, ...]:
    return (markets, *action_shape(role, field, campaigns))


def received(
    actions: Actions, campaigns: int, listeners: int, interval: int, seeds: NDArray[np.uint64]
) -> Actions:
    """A checked copy in the protocol's types: what was posted stays, whatever its sender does with its own.

    Raises:
        InvalidActionError: a number that is none, or outside its field's bounds; the message names role,
            field, interval, market seed and value.
    """

    def kept(role: str, field: str, array: NDArray[Any]) -> NDArray[Any]:
        rule, expected = _RULES[role, field], _shape(role, field, len(seeds), campaigns)
        if array.shape != expected:
            raise InvalidActionError(
                f"{role}: field {field!r} has shape {array.shape} in interval {interval}, expected {expected}"
            )
        real = array.dtype.kind == "f"
        copy = np.array(array, np.float64 if real else rule.dtype, order="C")
        good = _within(copy.reshape(-1), rule.low, rule.high)
        if good and real and rule.bounds.integer:
            whole = copy.astype(np.int64)
            good, copy = (whole == copy).all(), whole
        if not good:
            raise _invalid(rule, array, interval, seeds)
        return copy

    def message(role: str, sent: Any) -> Any:
        return type(sent)(
            *[kept(role, field, array) for field, array in zip(sent._fields, sent, strict=True)]
        )

    claims = actions.premium_value_usd
    return Actions(
        audience=message("audience", actions.audience),
        creative=kept("creative", "creative", actions.creative),
        bidding=kept("bidding", "log_multiplier", actions.bidding),
        monitor=message("monitor", actions.monitor),
        orchestrator=message("orchestrator", actions.orchestrator),
        listener_affinity=_table(actions.listener_affinity, campaigns, listeners, interval, seeds),
        premium_value_usd=None if claims is None else kept("creative", "premium_value_usd", claims),
        **{name: _of_creatives(name, getattr(actions, name), interval, seeds) for name in OF_CREATIVES},
        credit=None if actions.credit is None else _credit(actions.credit, interval, seeds),
    )


def check_actions(
    actions: Actions, campaigns: int, listeners: int, interval: int, seeds: NDArray[np.uint64]
) -> None:
    """Raises `InvalidActionError` where `received` would."""
    received(actions, campaigns, listeners, interval, seeds)


def _invalid(
    rule: _Rule, array: NDArray[Any], interval: int, seeds: NDArray[np.uint64]
) -> InvalidActionError:
    """The error that says what is wrong with an array of the right shape."""
    role, bounds = rule.role, rule.bounds
    high = np.resize(rule.high, array.shape[1:])
    bad = ~((array >= bounds.low) & (array <= high))
    if bounds.integer:
        bad |= array != np.floor(array)
    where = tuple(int(i) for i in np.argwhere(bad)[0])
    agent = f"{role}_{where[1]}" if role in ("creative", "bidding") else f"{role}_0"
    kind = "whole" if bounds.integer else "finite"
    return InvalidActionError(
        f"{agent}: field {rule.field!r} at {where[1:]} is {array[where]!r} in interval {interval} "
        f"of market seed {int(seeds[where[0]])}; "
        f"it must be {kind} and within [{bounds.low}, {float(high[where[1:]])}] ({bounds.unit})"
    )


def _of_creatives(name: str, said: Any, interval: int, seeds: NDArray[np.uint64]) -> Any:
    """A message about single creatives, checked and copied; None stays None."""
    if said is None:
        return None
    problem = creatives_problem(name, said, len(seeds))
    if problem is not None:
        raise InvalidActionError(f"{OF_CREATIVES[name][0]}_0: {problem} in interval {interval}")
    return type(said)(*(np.array(field, np.int64, order="C") for field in said))


def creatives_problem(name: str, said: Any, markets: int) -> str | None:
    """What is wrong with a message about single creatives for so many markets, or None."""
    _, kind, fields = OF_CREATIVES[name]
    if not isinstance(said, kind):
        return f"{name} is a {type(said).__name__}, expected a {kind.__name__}"
    for field, bounds in fields.items():
        array, expected = np.asarray(getattr(said, field)), (markets, *CREATIVES_SHAPE)
        if array.shape != expected:
            return f"field '{name}.{field}' has shape {array.shape}, expected {expected}"
        if not ((array >= bounds.low) & (array <= bounds.high) & (array == np.floor(array))).all():
            return f"field '{name}.{field}' is not whole or outside [{bounds.low:g}, {bounds.high:g}]"
    return None


def _credit(credit: CellCredit, interval: int, seeds: NDArray[np.uint64]) -> CellCredit:
    """The attribution agent's message, checked and copied."""
    problem = credit_problem(credit, len(seeds))
    if problem is not None:
        raise InvalidActionError(f"{ATTRIBUTION}_0: {problem} in interval {interval}")
    return CellCredit(*(np.array(field, np.float64, order="C") for field in credit))


def credit_problem(credit: CellCredit, markets: int) -> str | None:
    """What is wrong with a message of credit for so many markets, or None."""
    for name, bounds in CREDIT_BOUNDS.items():
        array = np.asarray(getattr(credit, name))
        expected = (markets, MAX_CAMPAIGNS) if name == "hold_out" else (markets, MAX_CAMPAIGNS, P, F)
        if array.shape != expected:
            return f"field {name!r} has shape {array.shape}, expected {expected}"
        if not ((array >= bounds.low) & (array <= bounds.high)).all():
            return f"field {name!r} is not finite or outside [{bounds.low}, {bounds.high}] ({bounds.unit})"
    return None


def _table(
    table: Float | None, campaigns: int, listeners: int, interval: int, seeds: NDArray[np.uint64]
) -> Float | None:
    """The audience's table of single listeners, checked."""
    if table is None:
        return None
    expected = (len(seeds), campaigns, listeners)
    if table.shape != expected:
        raise InvalidActionError(
            f"audience_0: listener_affinity has shape {table.shape} in interval {interval}, "
            f"expected {expected}"
        )
    table = np.asarray(table, np.float64, order="C")
    if not _within(table.reshape(-1), *_FINITE):
        b, c, i = (int(i) for i in np.argwhere(~np.isfinite(table))[0])
        raise InvalidActionError(
            f"audience_0: listener_affinity of campaign {c}, listener {i} is {table[b, c, i]} in interval "
            f"{interval} of market seed {int(seeds[b])}; it must be finite"
        )
    return table
