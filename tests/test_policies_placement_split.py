"""Spending leaves placements that bring less than was foretold, as far as counts tell, and only downwards."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from envs.catalogue import P
from envs.observation import SCHEMAS
from envs.state import Bool, Float
from policies.placement_split import LOWEST, PRIOR_COMPLETIONS, PlacementSplit

MONITOR = SCHEMAS["monitor"]
NOWHERE: Bool = np.zeros((1, P), np.bool_)


def seen(completions: list[float], foretold: list[float]) -> Float:
    """What the monitor sees of one market whose second campaign had these counts by placement."""
    row = np.zeros((1, MONITOR.size))
    for name, counts in (("completions", completions), ("expected_completions", foretold)):
        start = MONITOR.slices[name].start + P
        row[0, start : start + P] = counts
    return row


def split(completions: list[float], foretold: list[float], untracked: Bool = NOWHERE) -> Float:
    one = PlacementSplit()
    one.start(1)
    (found,) = one.throttle(seen(completions, foretold), untracked)
    return np.asarray(found)


def test_factors_follow_the_closed_form() -> None:
    factor = split([999.0, 500.0, 1500.0], [999.0, 1000.0, 1000.0])
    k = PRIOR_COMPLETIONS
    np.testing.assert_allclose(factor, [1.0, np.sqrt((500.0 + k) / (1000.0 + k)), 1.0], rtol=1e-3)


def test_few_counts_tell_little_and_none_tell_nothing() -> None:
    np.testing.assert_array_equal(split([0.0] * P, [0.0] * P), 1.0)
    few, many = split([0.0, 20.0, 20.0], [10.0, 10.0, 10.0]), split([0.0, 2e4, 2e4], [1e4, 1e4, 1e4])
    assert 0.97 < few[0] < 1.0
    assert many[0] == LOWEST


def test_where_nobody_counts_completions_nothing_is_held_back() -> None:
    untracked = np.array([[True, False, False]])
    np.testing.assert_allclose(split([0.0, 900.0, 900.0], [900.0, 900.0, 900.0], untracked), 1.0)


def test_a_gain_of_nothing_leaves_bids_alone() -> None:
    still = PlacementSplit(gain=0.0)
    still.start(1)
    np.testing.assert_array_equal(still.throttle(seen([1.0, 9e4, 9e4], [9e4] * P), NOWHERE), 1.0)


@given(arrays(np.float64, (4, 2, P), elements=st.floats(0.0, 1e7)))
def test_factors_stay_within_bounds_and_leave_one_placement_alone(counts: Float) -> None:
    one = PlacementSplit()
    one.start(1)
    for completions, foretold in counts:
        factor = one.throttle(seen(list(completions), list(foretold)), NOWHERE)
        assert (factor >= LOWEST).all() and (factor <= 1.0).all()
        assert factor.max() == pytest.approx(1.0)
