import numpy as np
from support.attribution_journeys import at_random, by_hand

from policies.attribution.logistic import Logistic, _added, _fit


def test_the_share_of_what_was_added_is_smooth_at_nothing() -> None:
    score = np.array([-30.0, -1.0, -2e-4, -1e-5, 0.0, 1e-5, 2e-4, 1.0, 30.0])
    share, slope = _added(score)
    np.testing.assert_allclose(share[[1, 7]], [np.e - 1.0, 1.0 - 1.0 / np.e])
    np.testing.assert_allclose(share[2:7], 1.0 - score[2:7] / 2.0, rtol=1e-6)
    step = 1e-6
    numeric = (_added(score + step)[0] - _added(score - step)[0]) / (2.0 * step)
    np.testing.assert_allclose(slope, numeric, rtol=1e-4, atol=1e-4)


def test_the_fit_is_where_the_gradient_vanishes() -> None:
    rng = np.random.default_rng(0)
    design = np.column_stack([rng.poisson(1.0, (500, 3)), np.ones(500)])
    outcome = (rng.random(500) < 1.0 / (1.0 + np.exp(2.0 - design[:, 0]))).astype(np.float64)
    penalty = np.array([1.0, 1.0, 1.0, 0.0])
    coefficient, _ = _fit(design, outcome, penalty)
    chance = 1.0 / (1.0 + np.exp(-design @ coefficient))
    np.testing.assert_allclose(design.T @ (outcome - chance), penalty * coefficient, atol=1e-4)


def test_the_fit_of_a_flat_table_is_its_odds_ratio() -> None:
    """One touch or none: 30 of 100 convert with it, 10 of 100 without."""
    converted = [([0], 1.0)] * 30 + [([], 1.0)] * 10
    others = [([0], None)] * 70 + [([], None)] * 90
    told = Logistic(prior_deviation=1e6).credit(by_hand(*converted, *others), 1)
    # Of the 30, the share that would not have converted: 1 − .1 / .3.
    np.testing.assert_allclose(told.conversions, [20.0], rtol=1e-5)


def test_touches_that_part_converters_from_others_have_a_finite_fit() -> None:
    told = Logistic().credit(by_hand(*[([0], 1.0)] * 20, *[([1], None)] * 20), 2)
    assert 5.0 < told.conversions[0] <= 20.0
    assert told.conversions[1] == 0.0


def test_credit_of_chance_is_nothing_within_its_error() -> None:
    told = Logistic().credit(at_random(2, 4000, 4), 4)
    assert (np.abs(told.conversions) < 3.5 * told.deviation).all()


def test_the_seed_draws_the_controls() -> None:
    journeys = at_random(2, 500, 4)
    one, two = (Logistic(seed=seed).credit(journeys, 4).conversions for seed in (1, 2))
    assert (one != two).any()
