import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import trim_mean

from evaluation.intervals import (
    MIN_RUNS,
    TooFewRunsError,
    interquartile_mean,
    over_markets,
    over_runs,
    probability_of_improvement,
)


def test_a_constant_factor_is_a_lift_without_doubt() -> None:
    baseline = np.random.default_rng(0).lognormal(7.0, 0.5, 200)
    interval = over_markets(1.15 * baseline, baseline)
    assert [interval.low, interval.estimate, interval.high] == pytest.approx([0.15] * 3)
    assert interval.excludes_zero
    assert (interval.kind, interval.count) == ("over_markets", 200)


def test_a_mean_has_the_width_of_the_normal_interval() -> None:
    values = np.random.default_rng(1).normal(10.0, 2.0, 2000)
    interval = over_markets(values)
    half = 1.96 * values.std() / np.sqrt(2000)
    assert interval.high - interval.estimate == pytest.approx(half, rel=0.08)
    assert interval.estimate - interval.low == pytest.approx(half, rel=0.08)


def test_a_difference_is_that_of_the_means_and_pairs_stay_together() -> None:
    rng = np.random.default_rng(2)
    market = rng.normal(0.0, 100.0, 100)  # common to both teams, and far larger than what they differ by
    interval = over_markets(market + rng.normal(1.0, 0.1, 100), market, relative=False)
    assert interval.estimate == pytest.approx(1.0, abs=0.05)
    assert interval.high - interval.low < 0.1


def test_coverage_over_markets_is_near_nominal() -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for trial in range(300):
        base = rng.gamma(4.0, 1.0, 60)
        interval = over_markets(base * 1.1 + rng.normal(0.0, 1.0, 60), base, resamples=600, seed=trial)
        hits += interval.low <= 0.1 <= interval.high
    assert 0.90 <= hits / 300 <= 0.98


def test_the_seed_decides_and_memory_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(4).normal(size=50)
    whole = over_markets(values, seed=7)
    assert over_markets(values, seed=8) != whole
    monkeypatch.setattr("evaluation.intervals._CHUNK", 500)
    assert over_markets(values, seed=7) == whole


def test_a_lift_over_a_loss_has_no_meaning() -> None:
    interval = over_markets([1.0, 2.0], [-1.0, -2.0])
    assert np.isnan([interval.estimate, interval.low, interval.high]).all()
    assert not interval.excludes_zero
    assert over_markets([1.0, 2.0], [-1.0, -2.0], relative=False).estimate == pytest.approx(3.0)


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [[1.0]], [np.inf]])
def test_only_finite_vectors_are_taken(values: list[float]) -> None:
    with pytest.raises(ValueError, match="values must be finite"):
        over_markets(values)


def test_pairs_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="got 2 and 3"):
        over_markets([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="got 2 and 3"):
        probability_of_improvement([1.0, 2.0], [1.0, 2.0, 3.0])


@pytest.mark.parametrize("runs", range(1, MIN_RUNS))
def test_too_few_runs_are_refused_with_the_reason(runs: int) -> None:
    with pytest.raises(TooFewRunsError, match=rf"at least 5 runs.*got {runs}.*over_markets"):
        over_runs(np.ones((runs, 3)))


def test_runs_are_resampled_within_their_task() -> None:
    tasks = np.array([100.0, 1.0])  # tasks differ, runs do not: nothing is uncertain
    interval = over_runs(np.tile(tasks, (6, 1)), baseline=tasks / 2)
    assert [interval.low, interval.estimate, interval.high] == pytest.approx([1.0] * 3)
    assert (interval.kind, interval.count) == ("over_runs", 6)
    assert over_runs(np.arange(1.0, 11.0)).estimate == pytest.approx(5.5)
    assert np.isnan(over_runs(np.ones(5), baseline=0.0).estimate)


def test_coverage_over_runs_is_what_the_docstring_says() -> None:
    rng = np.random.default_rng(5)
    covered = {}
    for runs in (5, 10):
        intervals = [over_runs(rng.normal(1.0, 0.1, runs), resamples=400, seed=i) for i in range(400)]
        covered[runs] = np.mean([interval.low <= 1.0 <= interval.high for interval in intervals])
    assert 0.78 <= covered[5] <= 0.93
    assert 0.86 <= covered[10] <= 0.97


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60))
def test_the_interquartile_mean_is_scipys(values: list[float]) -> None:
    assert interquartile_mean(values) == pytest.approx(trim_mean(values, 0.25), abs=1e-6)


def test_probability_of_improvement() -> None:
    assert probability_of_improvement([1, 2, 3, 4], [0, 3, 3, 1]) == (1 + 0 + 0.5 + 1) / 4
