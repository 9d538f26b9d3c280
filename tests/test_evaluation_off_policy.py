"""Off-policy estimators: against closed forms, known special cases and each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation import off_policy
from evaluation.off_policy import (
    Logged,
    bernstein_interval,
    doubly_robust,
    inverse_propensity,
    on_policy,
    reward_model,
    self_normalised,
)

ESTIMATORS = (inverse_propensity, self_normalised, doubly_robust)
CHANCE = np.array([0.1, 0.3, 0.2, 0.6])
"""P(reward) of four actions."""
LOGGING, TARGET = np.array([0.4, 0.3, 0.2, 0.1]), np.array([0.1, 0.2, 0.3, 0.4])
TRUTH = float(CHANCE @ TARGET)


def bandit(seed: int, n: int = 2000, **changes: Any) -> Logged:
    rng = np.random.default_rng(seed)
    action = rng.choice(4, n, p=LOGGING)
    reward = (rng.random(n) < CHANCE[action]).astype(float)
    fields = {
        "action": action,
        "reward": reward,
        "propensity": LOGGING[action],
        "target": np.tile(TARGET, (n, 1)),
    }
    return Logged(**(fields | changes))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_three_rows_by_hand(estimator: Any) -> None:
    """Weights 2, ½ and 0 on rewards 1, 4 and 5."""
    target = np.array([[1.0, 0.0], [0.75, 0.25], [0.0, 1.0]])
    logged = Logged(np.array([0, 1, 0]), np.array([1.0, 4.0, 5.0]), np.array([0.5, 0.5, 0.5]), target)
    np.testing.assert_array_equal(logged.weight, [2.0, 0.5, 0.0])
    found = estimator(logged)
    expected = {"ips": 4.0 / 3.0, "snips": 4.0 / 2.5}
    if found.method in expected:
        assert found.value == pytest.approx(expected[found.method])
    assert found.effective_sample_size == pytest.approx(2.5**2 / 4.25)
    assert (found.max_weight, found.mean_weight, found.rows) == (2.0, pytest.approx(2.5 / 3.0), 3)


def test_doubly_robust_by_hand() -> None:
    """q = 2 and 3: Σ π·q is 2, 2.25 and 3, corrections 2·(1 − 2), ½·(4 − 3) and 0."""
    target = np.array([[1.0, 0.0], [0.75, 0.25], [0.0, 1.0]])
    logged = Logged(np.array([0, 1, 0]), np.array([1.0, 4.0, 5.0]), np.array([0.5, 0.5, 0.5]), target)
    found = doubly_robust(logged, predicted=np.tile([2.0, 3.0], (3, 1)))
    assert found.value == pytest.approx((2.0 - 2.0 + 2.25 + 0.5 + 3.0) / 3.0)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_policy_evaluated_on_its_own_log_is_its_mean(estimator: Any) -> None:
    logged = bandit(0, target=np.tile(LOGGING, (2000, 1)))
    found = estimator(logged)
    assert found.value == pytest.approx(logged.reward.mean(), abs=0.002)
    assert found.effective_sample_size == pytest.approx(2000)
    assert inverse_propensity(logged).value == on_policy(logged.reward).value == logged.reward.mean()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_intervals_hold_the_truth_as_often_as_they_say(estimator: Any) -> None:
    """100 logs of 300 choices: 95 % intervals hold the closed form in at least 90 %, and do not always."""
    found = [estimator(bandit(seed, 300)) for seed in range(100)]
    covered = np.mean([one.low <= TRUTH <= one.high for one in found])
    assert 0.90 <= covered < 1.0
    assert np.mean([one.value for one in found]) == pytest.approx(TRUTH, abs=0.01)


def test_a_reward_model_and_normalising_take_noise_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rewards far from 0: IPS pays for the noise of weights, the others do not."""
    monkeypatch.setattr(off_policy, "RESAMPLES", 2)  # values alone are looked at, no intervals
    spread = {}
    for estimator in ESTIMATORS:
        values = []
        for seed in range(40):
            logged = bandit(seed, 200)
            shifted = Logged(logged.action, logged.reward + 5.0, logged.propensity, logged.target)
            values.append(estimator(shifted).value)
        spread[estimator] = np.std(values)
    assert max(spread[self_normalised], spread[doubly_robust]) < 0.5 * spread[inverse_propensity]


def test_a_right_model_needs_no_right_propensities() -> None:
    """Doubly robust: with true rewards as the model, propensities may be wrong."""
    wrong = np.full(4, 0.25)
    logged = bandit(3, 5000)
    logged = Logged(logged.action, logged.reward, wrong[logged.action], logged.target)
    assert abs(inverse_propensity(logged).value - TRUTH) > 0.05
    assert doubly_robust(logged, predicted=np.tile(CHANCE, (5000, 1))).value == pytest.approx(TRUTH, abs=0.02)


def test_no_row_is_predicted_by_its_own_fold() -> None:
    """A unit's own rewards never reach its predictions: change them, and these stay."""
    unit = np.repeat(np.arange(20), 10)
    logged = bandit(0, 200, unit=unit, context=unit % 2)
    changed = logged.reward.copy()
    changed[unit == 7] += 100.0
    after = reward_model(Logged(logged.action, changed, logged.propensity, logged.target, unit % 2, unit))
    before = reward_model(logged)
    np.testing.assert_array_equal(after[unit == 7], before[unit == 7])
    assert (after != before).any()


def test_the_reward_model_learns_cells_and_falls_back_where_it_saw_nothing() -> None:
    context = np.tile([0, 1], 5000)
    action = np.zeros(10_000, np.int64)
    logged = Logged(
        action, context * 2.0 + 1.0, np.full(10_000, 0.5), np.full((10_000, 2), 0.5), context=context
    )
    predicted = reward_model(logged)
    np.testing.assert_allclose(predicted[:, 0], context * 2.0 + 1.0, atol=0.02)
    np.testing.assert_allclose(predicted[:, 1], 2.0, atol=0.02)  # the mean of all: it was never seen


def test_rows_of_a_unit_count_as_one() -> None:
    """Each row twenty times over: the interval stays, where rows taken apart would shrink it."""
    logged = bandit(1, 300)
    times = np.repeat(np.arange(300), 20)
    twin = Logged(*(getattr(logged, name)[times] for name in ("action", "reward", "propensity", "target")))
    together = Logged(twin.action, twin.reward, twin.propensity, twin.target, unit=times)
    width = [one.high - one.low for one in map(self_normalised, (logged, twin, together))]
    assert width[2] == pytest.approx(width[0], rel=0.02)
    assert width[1] < 0.4 * width[0]
    assert self_normalised(together).units == 300


def test_clipping_is_counted_and_biases_down() -> None:
    logged = bandit(2)
    free, clipped = inverse_propensity(logged), inverse_propensity(logged, clip=2.0)
    assert clipped.value < free.value
    assert clipped.max_weight == 2.0 and clipped.clipped_fraction == pytest.approx(
        (logged.action == 3).mean()
    )
    assert free.clipped_fraction == 0.0
    assert clipped.effective_sample_size > free.effective_sample_size


def test_a_log_that_does_not_cover_the_target_shows_in_the_mean_weight() -> None:
    """Half of the target's probability lies on what was never logged."""
    n = 1000
    action = np.zeros(n, np.int64)
    logged = Logged(action, np.ones(n), np.ones(n), np.tile([0.5, 0.5], (n, 1)))
    assert inverse_propensity(logged).mean_weight == 0.5


def test_bernstein_holds_always_and_is_wider() -> None:
    found = [bernstein_interval(bandit(seed, 500), 1.0, clip=4.0) for seed in range(50)]
    assert all(one.low <= TRUTH <= one.high for one in found)
    boot = inverse_propensity(bandit(0, 500))
    assert found[0].high - found[0].low > boot.high - boot.low
    assert found[0].value == pytest.approx(boot.value)


@given(st.integers(0, 1000), st.floats(-3.0, 3.0), st.floats(0.1, 10.0))
@settings(max_examples=25, deadline=None)
def test_units_of_reward_do_not_matter(seed: int, shift: float, scale: float) -> None:
    """SNIPS of a·r + b is a·SNIPS(r) + b, its interval too."""
    logged = bandit(seed, 100)
    other = Logged(logged.action, scale * logged.reward + shift, logged.propensity, logged.target)
    one, two = self_normalised(logged), self_normalised(other)
    for name in ("value", "low", "high"):
        assert getattr(two, name) == pytest.approx(scale * getattr(one, name) + shift, abs=1e-9)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"propensity": np.zeros(2000)}, "propensities"),
        ({"target": np.full((2000, 4), 0.3)}, "sum to 1"),
        ({"action": np.full(2000, 4)}, "below A"),
        ({"reward": np.full(2000, np.nan)}, "finite"),
        ({"reward": np.zeros(3)}, "rows everywhere"),
        ({"unit": np.zeros(3, np.int64)}, "unit"),
    ],
)
def test_misuse_is_named(changes: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        bandit(0, **changes)


def test_bernstein_refuses_what_it_does_not_hold_for() -> None:
    with pytest.raises(ValueError, match="independent"):
        bernstein_interval(bandit(0, unit=np.zeros(2000, np.int64)), 1.0, clip=4.0)
    with pytest.raises(ValueError, match="rewards must be in"):
        bernstein_interval(bandit(0), 0.5, clip=4.0)
