from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.attribution_journeys import at_random, by_hand, joined

from policies.attribution.models import make_model
from policies.attribution.rules import Rule, time_decay
from policies.attribution.windows import DEFAULT_WINDOWS

RULES = ("last", "first", "linear", "time-decay", "position", "shapley")
CELLS = 4


@pytest.mark.parametrize(
    ("name", "credit"),
    [
        ("last", [0.0, 0.0, 0.0, 1.0]),
        ("first", [1.0, 0.0, 0.0, 0.0]),
        ("linear", [0.4, 0.2, 0.2, 0.2]),
        ("position", [0.4 + 0.2 / 3.0, 0.2 / 3.0, 0.2 / 3.0, 0.4]),
        ("shapley", [0.25, 0.25, 0.25, 0.25]),
    ],
)
def test_rules_equal_their_closed_forms(name: str, credit: list[float]) -> None:
    journeys = by_hand(([0, 1, 0, 2, 3], 6.0), ([1, 1], None), ([], None), ([], 3.0))
    told = make_model(name).credit(journeys, CELLS)
    np.testing.assert_allclose(told.conversions, credit)
    np.testing.assert_allclose(told.deviation, credit)  # one journey, whose number is Poisson


def test_position_of_one_touch_is_all_and_of_two_half_each() -> None:
    rule = make_model("position")
    assert rule.credit(by_hand(([2], 1.0)), CELLS).conversions.tolist() == [0.0, 0.0, 1.0, 0.0]
    assert rule.credit(by_hand(([2, 0], 1.0)), CELLS).conversions.tolist() == [0.5, 0.0, 0.5, 0.0]
    assert rule.credit(by_hand(([2, 2], 1.0)), CELLS).conversions.tolist() == [0.0, 0.0, 1.0, 0.0]


def test_time_decay_halves_with_every_half_life() -> None:
    journeys = by_hand(([0, 1, 2], 30.0), hour=[0.0, 10.0, 20.0])
    told = Rule("time-decay", time_decay(10.0)).credit(journeys, CELLS)
    np.testing.assert_allclose(told.conversions, np.array([1.0, 2.0, 4.0, 0.0]) / 7.0)


def test_time_decay_of_ages_ago_does_not_underflow() -> None:
    journeys = by_hand(([0, 1], 100.0), hour=[0.0, 1.0])
    told = Rule("time-decay", time_decay(0.01)).credit(journeys, CELLS)
    np.testing.assert_allclose(told.conversions, [0.0, 1.0, 0.0, 0.0], atol=1e-12)


@pytest.mark.parametrize("name", RULES)
def test_only_what_came_before_and_was_shown_earns(name: str) -> None:
    model = make_model(name)
    journeys = by_hand(([3, 0, 1, 2], 1.0), held_out=[True, False, False, False])
    assert model.credit(journeys, CELLS).conversions.tolist() == [1.0, 0.0, 0.0, 0.0]
    for nobody in (by_hand(([0], 0.0), hour=[1.0]), by_hand(), by_hand(([], 2.0)), by_hand(([0, 1], None))):
        told = model.credit(nobody, CELLS)
        assert told.conversions.tolist() == told.deviation.tolist() == [0.0] * CELLS
        assert told.conversions.dtype == np.float64


def test_the_deviation_is_that_of_the_sum_over_journeys() -> None:
    told = make_model("linear").credit(by_hand(([0, 1, 0], 3.0), ([0, 2], 3.0)), CELLS)
    np.testing.assert_allclose(told.deviation, np.sqrt([4.0 / 9.0 + 0.25, 1.0 / 9.0, 0.25, 0.0]))


seeds = st.integers(0, 10_000)


@settings(max_examples=40, deadline=None)
@given(seed=seeds, name=st.sampled_from([*RULES, "markov"]))
def test_credits_sum_to_the_conversions_with_an_eligible_touch(seed: int, name: str) -> None:
    journeys = at_random(seed, 30, CELLS)
    paths = DEFAULT_WINDOWS.eligible(journeys, CELLS)
    credited = np.count_nonzero(paths.converted & (np.diff(paths.offset) > 0))
    assert make_model(name).credit(journeys, CELLS).conversions.sum() == pytest.approx(credited)


@settings(max_examples=40, deadline=None)
@given(seed=seeds, name=st.sampled_from(RULES))
def test_batches_add(seed: int, name: str) -> None:
    model = make_model(name)
    one, two = at_random(seed, 20, CELLS), at_random(seed + 1, 15, CELLS)
    first, second, both = (model.credit(part, CELLS) for part in (one, two, joined(one, two)))
    np.testing.assert_allclose(both.conversions, first.conversions + second.conversions)
    np.testing.assert_allclose(both.deviation, np.hypot(first.deviation, second.deviation))


@settings(max_examples=20, deadline=None)
@given(seed=seeds, hours=st.floats(0.1, 1000.0))
def test_the_origin_of_time_does_not_matter(seed: int, hours: float) -> None:
    journeys = at_random(seed, 20, CELLS)
    later = replace(journeys, hour=journeys.hour + hours, conversion_hour=journeys.conversion_hour + hours)
    for name in ("last", "time-decay", "shapley"):
        model = make_model(name)
        now, then = (model.credit(part, CELLS).conversions for part in (journeys, later))
        np.testing.assert_allclose(now, then)
