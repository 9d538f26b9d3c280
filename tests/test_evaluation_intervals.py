import numpy as np
import pytest

from evaluation.aggregates import interquartile_mean, mean, optimality_gap
from evaluation.intervals import (
    MIN_RUNS,
    MarketBootstrap,
    TooFewRunsError,
    better_run_over_runs,
    lift_over_runs,
    over_markets,
    over_runs,
    profile_over_runs,
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


def test_whole_runs_keep_the_luck_that_tasks_share() -> None:
    luck = np.random.default_rng(5).normal(0.0, 1.0, (12, 1))
    runs = 10.0 + np.repeat(luck, 4, 1)  # four tasks on which a run does alike
    apart, whole = over_runs(runs), over_runs(runs, whole=True)
    assert apart.estimate == whole.estimate
    assert whole.high - whole.low == pytest.approx(2.0 * (apart.high - apart.low), rel=0.1)
    assert over_runs(runs, whole=True, aggregate=optimality_gap).estimate == 0.0
    assert (over_runs(runs, whole=True).low, over_runs(runs[:, 0]).low) == pytest.approx((whole.low,) * 2)
    twice = lift_over_runs(runs, runs, whole=True)
    assert twice.estimate == 0.0 and twice.low < lift_over_runs(runs, runs).low < 0.0
    with pytest.raises(TooFewRunsError):
        over_runs(runs[:4], whole=True)


def test_a_mean_lift_weighs_pairs_alike_and_draws_their_markets_together() -> None:
    rng = np.random.default_rng(6)
    base = rng.lognormal(0.0, 0.5, 60)
    rows = np.stack([1.1 * base, base, 1300.0 * base, 1000.0 * base])
    bootstrap = MarketBootstrap(rows)
    both = bootstrap.mean_lift([(0, 1), (2, 3)])
    assert (both.estimate, both.low, both.high) == pytest.approx((0.2,) * 3)
    noisy = MarketBootstrap(np.stack([base + rng.normal(0.0, 0.1, 60), base]))
    assert noisy.mean_lift([(0, 1)]) == noisy.lift(0, 1)
    opposite = base + 0.1 * rng.choice([-1.0, 1.0], 60)
    pair = MarketBootstrap(np.stack([opposite, 2.0 * base - opposite, base]))
    together = pair.mean_lift([(0, 2), (1, 2)])  # what one gains on a market the other loses there
    alone = pair.lift(0, 2)
    assert together.high - together.low < 1e-12 and alone.high - alone.low > 0.01


def test_the_same_figures_under_two_names_differ_by_nothing_at_all() -> None:
    values = np.random.default_rng(6).lognormal(7.0, 0.5, 300)
    bootstrap = MarketBootstrap([values, values * 1.1, values.copy()])
    for interval in (bootstrap.difference(0, 2), bootstrap.lift(0, 2)):
        assert (interval.low, interval.estimate, interval.high) == (0.0, 0.0, 0.0)


def test_other_aggregates_stand_on_the_same_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(7).normal(10.0, 2.0, 90)
    bootstrap = MarketBootstrap([values], seed=3)
    assert bootstrap.aggregate(values, mean) == bootstrap.mean(0)
    (won,) = bootstrap.shares((values > 10.0)[None].astype(float))
    assert won == bootstrap.aggregate((values > 10.0).astype(float), mean)
    whole = (
        bootstrap.aggregate(values, interquartile_mean),
        bootstrap.profile(values, values[:3]).low.tolist(),
    )
    assert whole[0].low < interquartile_mean(values) == whole[0].estimate < whole[0].high
    monkeypatch.setattr("evaluation.intervals._CHUNK", 500)
    again = MarketBootstrap([values], seed=3)
    assert (
        again.aggregate(values, interquartile_mean),
        again.profile(values, values[:3]).low.tolist(),
    ) == whole


def test_a_profile_falls_from_everything_to_nothing_inside_its_interval() -> None:
    scores = np.random.default_rng(8).uniform(0.2, 1.0, 200)
    thresholds = np.linspace(0.0, 1.2, 13)
    profile = MarketBootstrap([scores]).profile(scores, thresholds)
    assert profile.share == pytest.approx([(scores > threshold).mean() for threshold in thresholds])
    assert (profile.share[0], profile.share[-1]) == (1.0, 0.0)
    assert (np.diff(profile.share) <= 0).all()
    assert ((profile.low <= profile.share) & (profile.share <= profile.high)).all()
    assert np.isnan(MarketBootstrap([scores]).profile(np.full(200, np.nan), thresholds).share).all()
    runs = profile_over_runs(scores[:40].reshape(10, 4), thresholds)
    assert runs.share == pytest.approx([(scores[:40] > threshold).mean() for threshold in thresholds])
    assert (runs.kind, runs.count) == ("over_runs", 10)


def test_two_methods_are_compared_with_the_runs_of_both_drawn_again() -> None:
    rng = np.random.default_rng(9)
    worse, better = rng.normal(100.0, 1.0, 10), rng.normal(110.0, 1.0, 8)
    gain = lift_over_runs(better, worse)
    assert gain.low < better.mean() / worse.mean() - 1.0 == pytest.approx(gain.estimate)
    assert gain.low > 0.08 and (gain.kind, gain.count) == ("over_runs", 8)
    wins = better_run_over_runs(better, worse)
    assert (wins.low, wins.estimate, wins.high) == (1.0, 1.0, 1.0)
    assert better_run_over_runs(worse, worse).estimate == 0.5
    with pytest.raises(TooFewRunsError, match="got 4"):
        lift_over_runs(better, worse[:4])


def test_an_aggregate_over_runs_pools_runs_and_tasks() -> None:
    runs = np.random.default_rng(10).uniform(0.5, 1.2, (8, 3))
    assert over_runs(runs, aggregate=interquartile_mean).estimate == interquartile_mean(runs.ravel())
    assert over_runs(runs, aggregate=optimality_gap).estimate == optimality_gap(runs.ravel())
    assert np.isnan(over_runs(np.full(5, np.nan), aggregate=optimality_gap).low)
