"""Closed forms of the response."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs import response as res

POSITIVE = st.floats(0.02, 20.0)
SHARE = st.floats(0.0, 1.0)


def test_a_store_fades_by_its_time_constant() -> None:
    assert res.kept(0.0, 5.0) == 1.0
    assert res.kept(5.0, 5.0) == pytest.approx(math.exp(-1.0))
    assert res.kept(2.0, 5.0) * res.kept(3.0, 5.0) == pytest.approx(res.kept(5.0, 5.0))


def test_health_shows_a_third_of_an_effect_after_a_month_and_all_after_a_year() -> None:
    assert 1.0 - res.kept(30 * 24.0, res.HEALTH_HOURS) == pytest.approx(1.0 / 3.0, abs=0.01)
    assert 1.0 - res.kept(360 * 24.0, res.HEALTH_HOURS) == pytest.approx(0.99, abs=0.005)


@given(z=POSITIVE, more=st.floats(1.01, 3.0), hazard=st.floats(0.01, 1.0))
def test_completion_is_a_probability_that_rises_with_the_response(
    z: float, more: float, hazard: float
) -> None:
    low, high = res.completion_probability(z, hazard), res.completion_probability(z * more, hazard)
    assert 0.0 <= low < high < 1.0
    assert -math.log(high) == pytest.approx(-math.log(low) * more**-res.COMPLETION_ELASTICITY)


def test_completion_at_an_average_response_is_the_survival_of_its_hazard() -> None:
    assert res.completion_probability(1.0, 0.2) == pytest.approx(math.exp(-0.2))
    assert res.completion_probability(0.0, 0.2) == res.completion_probability(0.02, 0.2)


@given(z=POSITIVE, factor=st.floats(0.1, 3.0))
def test_a_visible_screen_brings_ten_times_the_clicks(z: float, factor: float) -> None:
    hidden, visible = res.click_probability(z, factor, 0.0), res.click_probability(z, factor, 1.0)
    assert hidden == pytest.approx(res.CLICK_RATE * z * factor)
    assert visible == pytest.approx(10.0 * hidden)
    assert res.click_probability(1e9, 1.0, 1.0) == 0.5


@given(z=POSITIVE, recall=st.floats(0.0, 0.9))
def test_awareness_opens_the_funnel(z: float, recall: float) -> None:
    more = res.conversion_probability(z, 1.0, recall + 0.1) - res.conversion_probability(z, 1.0, recall)
    assert more == pytest.approx(res.CONVERSION_RATE * z * res.FUNNEL_SLOPE * 0.1)
    assert res.conversion_probability(1.0, 1.0, 0.09) == pytest.approx(res.CONVERSION_RATE)


@given(slow=SHARE, fast=SHARE)
def test_recall_needs_one_of_two_stores(slow: float, fast: float) -> None:
    recall = res.recall_of(slow, fast)
    assert max(slow, res.FAST_MEMORY_WEIGHT * fast) - 1e-12 <= recall <= 1.0
    assert res.recall_of(slow, 0.0) == pytest.approx(slow)
    assert res.recall_of(0.0, fast) == pytest.approx(res.FAST_MEMORY_WEIGHT * fast)


@given(z=POSITIVE, recent=st.floats(0.1, 10.0))
def test_massing_slows_the_slow_store(z: float, recent: float) -> None:
    fresh, massed = (
        res.memory_gain(z, res.RECALL_GAIN_SLOW, 0.0),
        res.memory_gain(z, res.RECALL_GAIN_SLOW, recent),
    )
    assert 0.0 < massed < fresh < 1.0
    twice = 1.0 - (1.0 - fresh) ** 2
    assert res.memory_gain(2.0 * z, res.RECALL_GAIN_SLOW, 0.0) == pytest.approx(twice)


def test_irritation_starts_at_its_threshold_and_grows_straight() -> None:
    above = res.ANNOYANCE_THRESHOLD + np.array([-1.0, 0.0, 1.0, 2.0])
    assert res.irritation(above) == pytest.approx(res.ANNOYANCE_SLOPE * np.array([0.0, 0.0, 1.0, 2.0]))


def test_delays_are_a_mixture_of_minutes_days_and_weeks() -> None:
    assert sum(res.DELAY_SHARE) == pytest.approx(1.0)
    reported = [
        sum(s * (1.0 - res.kept(h, tau)) for s, tau in zip(res.DELAY_SHARE, res.DELAY_HOURS, strict=True))
        for h in (1.0, 24.0, 720.0)
    ]
    assert reported == pytest.approx([0.35, 0.50, 0.97], abs=0.02)
