"""Spending beyond what stated bids should spend is told at once, and nothing is where all is as stated."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from envs.state import Float
from policies.overrun import ELASTICITY, Overrun

OFFERED = np.array([200.0])


def read(overrun: Overrun, spend: float, bid: float = 1.0, wins: float = 20.0) -> float:
    """Of the first of two campaigns, the second being as ever."""
    found: Float = overrun.read(
        np.array([[spend, 40.0]]), np.array([[wins, 20.0]]), OFFERED, np.array([[bid, 1.0]])
    )
    assert found[0, 1] == 0.0 or abs(found[0, 1]) < 1e-9
    return float(found[0, 0])


def after(intervals: int) -> Overrun:
    """Of campaigns that have spent 40 USD in every interval at a bid of 1."""
    overrun = Overrun()
    overrun.start(1, 2)
    for _ in range(intervals):
        assert abs(read(overrun, 40.0)) < 1e-9
    return overrun


def test_nothing_is_told_of_spending_as_stated() -> None:
    after(12)
    assert abs(read(after(12), 40.0 * 2.0**ELASTICITY, bid=2.0)) < 1e-9


def test_a_fault_is_told_in_its_first_interval_and_does_not_become_usual_at_once() -> None:
    overrun = after(12)
    assert read(overrun, 160.0) > 1.0
    assert read(overrun, 160.0) > 0.9


def test_nothing_is_told_before_anything_is_usual_or_where_no_bid_was_stated() -> None:
    assert read(after(1), 400.0) == 0.0
    assert read(after(12), 400.0, bid=0.0) == 0.0


@given(st.lists(st.tuples(st.floats(0.0, 1e5), st.floats(0.0, 1e3), st.floats(0.0, 50.0)), max_size=8))
def test_whatever_is_seen_the_answer_is_a_number(intervals: list[tuple[float, float, float]]) -> None:
    overrun = after(3)
    for spend, wins, bid in intervals:
        found = overrun.read(
            np.array([[spend, 0.0]]), np.array([[wins, 0.0]]), OFFERED, np.array([[bid, 0.0]])
        )
        assert np.isfinite(found).all()
