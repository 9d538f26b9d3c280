from __future__ import annotations

import numpy as np
import pytest
from support.markets import quiet, started, tiny

from envs.footprint import array_bytes, machine, peak_bytes, resident_bytes
from envs.roofline import OPERATIONS, Limits, best, measure_limits, roofline, second_core, step_bytes


def test_a_market_step_moves_its_arrays_whatever_the_batch() -> None:
    found = []
    for count in (1, 7):
        market = started(tiny(campaigns=3), count)
        market.step(quiet(market))
        found.append(step_bytes(market))
    assert found[0] == pytest.approx(found[1])
    state = sum(array.nbytes for array in market.market_state) / 7
    everything = array_bytes(vars(market)) / 7
    assert 2 * state < found[0] < 3 * everything


def test_the_roof_is_the_lower_of_two() -> None:
    market = started(tiny(), 2)
    market.step(quiet(market))
    narrow = roofline(market, 24.0, 3.0, Limits(bytes_per_second=1.0, operations_per_second=1e30))
    slow = roofline(market, 24.0, 3.0, Limits(bytes_per_second=1e30, operations_per_second=1.0))
    assert narrow.steps_per_second == pytest.approx(1.0 / narrow.bytes)
    assert slow.steps_per_second == pytest.approx(1.0 / sum(slow.operations.values()))
    assert slow.operations.keys() == OPERATIONS.keys() and min(slow.operations.values()) > 0
    more = roofline(market, 48.0, 3.0, Limits(1.0, 1.0)).operations
    for term in OPERATIONS:
        fixed = term in ("feedback", "listeners")
        assert more[term] == pytest.approx((1 if fixed else 2) * slow.operations[term]), term


def test_limits_are_measured() -> None:
    limits = measure_limits(megabytes=1, repeats=1)
    assert limits.bytes_per_second > 0 and limits.operations_per_second > 0
    assert second_core(rounds=10, repeats=1) > 0


def test_the_fastest_of_the_repeats_counts() -> None:
    calls: list[int] = []
    assert best(lambda: calls.append(1), 3) >= 0.0 and len(calls) == 3


def test_arrays_are_counted_once() -> None:
    one = np.zeros(100)
    assert array_bytes({"a": one, "b": [one, one[:5], (np.zeros(3), None, 7)]}) == 824
    assert peak_bytes() >= resident_bytes() * 0.5 > 0
    assert machine()["cores"] >= 1
