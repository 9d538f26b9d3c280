import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu, trim_mean, ttest_rel

from evaluation.aggregates import (
    above,
    cohens_d,
    fractions_of,
    interquartile_mean,
    lift,
    markets_needed,
    minimal_detectable_effect,
    optimality_gap,
    probability_of_a_better_run,
    probability_of_improvement,
)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60))
def test_the_interquartile_mean_is_scipys(values: list[float]) -> None:
    assert float(interquartile_mean(values)) == pytest.approx(trim_mean(values, 0.25), abs=1e-6)
    assert interquartile_mean([values, values]) == pytest.approx([trim_mean(values, 0.25)] * 2, abs=1e-6)


def test_the_optimality_gap_gives_no_credit_beyond_the_reference() -> None:
    assert float(optimality_gap([0.5, 1.0, 3.0, 0.9])) == pytest.approx(0.15)
    assert float(optimality_gap([1.0, 2.0])) == 0.0


def test_probability_of_improvement() -> None:
    assert probability_of_improvement([1, 2, 3, 4], [0, 3, 3, 1]) == (1 + 0 + 0.5 + 1) / 4
    with pytest.raises(ValueError, match="got 2 and 3"):
        probability_of_improvement([1.0, 2.0], [1.0, 2.0, 3.0])


def test_a_better_run_is_mann_and_whitneys_statistic() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 9, 12).astype(float), rng.integers(0, 9, 7).astype(float)
    u = mannwhitneyu(a, b).statistic
    assert float(probability_of_a_better_run(a, b)) == pytest.approx(u / (12 * 7))
    assert probability_of_a_better_run(np.stack([a, a]), np.stack([b, b])).shape == (2,)


def test_cohens_d_is_the_paired_t_statistic_but_for_the_number_of_markets() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(1.0, 1.0, 40), rng.normal(0.8, 1.0, 40)
    assert cohens_d(a - b) == pytest.approx(ttest_rel(a, b).statistic / math.sqrt(40))
    assert cohens_d([0.0, 0.0]) == 0.0 and cohens_d([2.0, 2.0]) == math.inf
    assert cohens_d([-2.0, -2.0]) == -math.inf and math.isnan(cohens_d([1.0]))


def test_the_minimal_detectable_effect_is_found_as_often_as_its_power_says() -> None:
    rng = np.random.default_rng(2)
    least = minimal_detectable_effect(rng.normal(0.0, 3.0, 100_000)) * math.sqrt(100_000 / 50)
    drawn = rng.normal(least, 3.0, (4000, 50))
    found = np.abs(drawn.mean(1)) > 1.96 * drawn.std(1, ddof=1) / math.sqrt(50)
    assert found.mean() == pytest.approx(0.8, abs=0.03)
    assert math.isnan(minimal_detectable_effect([1.0]))


def test_as_many_markets_as_needed_detect_the_effect() -> None:
    differences = np.random.default_rng(3).normal(0.0, 5.0, 400)
    needed = markets_needed(differences, 1.0)
    assert minimal_detectable_effect(differences) * math.sqrt(400 / needed) == pytest.approx(1.0, rel=0.01)
    assert markets_needed(differences, -1.0) == needed
    with pytest.raises(ValueError, match="difference of 0"):
        markets_needed(differences, 0.0)


def test_ratios_to_nothing_have_no_meaning() -> None:
    one, none = np.ones(2), np.array([1.0, 0.0])
    assert np.isnan(lift(one, none)).tolist() == [False, True]
    assert np.isnan(fractions_of(one, none)).all()
    assert fractions_of(one, 2 * one) == pytest.approx([0.5, 0.5])


def test_scores_above_thresholds() -> None:
    scores, thresholds = np.array([0.5, 1.0, np.nan]), np.array([0.4, 0.5])
    assert np.array_equal(above(scores, thresholds), [[1, 1, np.nan], [0, 1, np.nan]], equal_nan=True)
