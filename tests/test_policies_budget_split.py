from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.budget_split import HIGHEST, LOWEST, weights_on_left

USD = st.floats(1.0, 1e4)


def test_wishes_within_bounds_are_met_and_make_no_money() -> None:
    left = np.array([[100.0, 300.0]])
    weight = weights_on_left(np.array([[1.2, 0.9]]), left, left, left)
    assert (weight * left).sum() == pytest.approx(400.0)
    assert weight[0, 0] / weight[0, 1] == pytest.approx(1.2 / 0.9)


@given(st.lists(st.tuples(USD, st.floats(0.0, 1.0), st.floats(0.01, 100.0)), min_size=2, max_size=4))
def test_no_wish_moves_a_budget_beyond_its_bounds(told: list[tuple[float, float, float]]) -> None:
    budget, share, wish = (np.array([column]) for column in zip(*told, strict=True))
    left = budget * share
    weight = weights_on_left(wish, left, budget, budget)
    assert ((weight >= LOWEST) & (weight <= HIGHEST)).all()
    assert (weight[left == 0.0] == 1.0).all()
    after = budget - left + weight * left
    assert (after <= HIGHEST * budget * (1 + 1e-9)).all()
    assert (after >= LOWEST * budget * (1 - 1e-9)).all()
