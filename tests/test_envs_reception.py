from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.markets import RandomTeam, leaves, quiet, started, tiny

from envs.catalogue import S
from envs.protocol import BOUNDS, Actions, InvalidActionError, action_shape, fields_of
from envs.reception import received


def replaced(actions: Actions, role: str, field: str, array: Any) -> Actions:
    if field == "premium_value_usd":
        return actions._replace(premium_value_usd=array)
    if role in ("creative", "bidding"):
        return actions._replace(**{role: array})
    return actions._replace(**{role: getattr(actions, role)._replace(**{field: array})})


ALL_FIELDS = [(role, field) for role in BOUNDS for field in BOUNDS[role]]


@pytest.mark.parametrize(("role", "field"), ALL_FIELDS)
def test_every_field_is_checked_and_the_error_teaches(role: str, field: str) -> None:
    market = started(tiny(), 3, seed=9)
    market.step(quiet(market))
    bounds, good = BOUNDS[role][field], quiet(market)._replace(premium_value_usd=np.zeros((3, 2, S)))
    array = next(array for r, f, array in fields_of(good) if (r, f) == (role, field))
    assert array.shape == (3, *action_shape(role, field, 2))
    for value in (bounds.low - 1.0, bounds.high + 1.0, np.nan, np.inf, -np.inf):
        bad = array.astype(np.float64)
        bad[2, 1] = value
        with pytest.raises(InvalidActionError) as caught:
            market.step(replaced(good, role, field, bad))
        agent = f"{role}_{1 if role in ('creative', 'bidding') else 0}"
        message = str(caught.value)
        assert message.startswith(f"{agent}: field {field!r}")
        assert "in interval 1 " in message and f"market seed {market.seeds[2]}" in message
        assert str(value) in message
    if bounds.integer:
        with pytest.raises(InvalidActionError, match="whole"):
            market.step(replaced(good, role, field, array + 0.5))
    with pytest.raises(InvalidActionError, match="shape"):
        market.step(replaced(good, role, field, array[:2]))
    assert market.interval == 1
    market.step(good)


def test_a_creative_choice_is_checked_by_its_own_count() -> None:
    market = started(tiny())
    actions = quiet(market)
    actions.creative[0, 1, 2] = (2, 2, 2, 0)  # there are three formats and scripts, but two lengths
    with pytest.raises(InvalidActionError, match=r"creative_1: .*\[0\.0, 1\.0\]"):
        market.step(actions)


@pytest.mark.parametrize(
    ("table", "says"),
    [(np.full((1, 2, 32), np.nan), "campaign 0, listener 0"), (np.ones((1, 2, 31)), "shape")],
)
def test_the_table_of_single_listeners_is_checked(table: Any, says: str) -> None:
    market = started(tiny())
    with pytest.raises(InvalidActionError, match=f"audience_0: listener_affinity.*{says}"):
        market.step(quiet(market)._replace(listener_affinity=table))


def test_actions_are_kept_in_the_types_of_the_protocol() -> None:
    market = started(tiny())
    single = Actions(*(_each(np.float32, part) for part in RandomTeam()(market)))
    for role, field, array in fields_of(received(single, 2, 32, 0, market.seeds)):
        assert array.dtype == (np.int64 if BOUNDS[role][field].integer else np.float64)


def test_whole_numbers_are_taken_in_any_type_and_layout() -> None:
    market = started(tiny(campaigns=3), 4)
    actions = RandomTeam()(market)
    expected = received(actions, 3, 32, 0, market.seeds)
    for convert in (
        lambda array: array.astype(np.float64),
        lambda array: array.astype(np.uint8) if array.dtype.kind == "i" else array,
        lambda array: np.asfortranarray(array),
        lambda array: np.repeat(array, 2, -1)[..., ::2],
    ):
        other = Actions(*(_each(convert, part) for part in actions))
        for mine, theirs in zip(
            leaves(expected), leaves(received(other, 3, 32, 0, market.seeds)), strict=True
        ):
            assert mine.dtype == theirs.dtype and np.array_equal(mine, theirs) and theirs.flags.c_contiguous


def _each(convert: Any, part: Any) -> Any:
    if part is None:
        return None
    return type(part)(*(convert(array) for array in part)) if isinstance(part, tuple) else convert(part)
