"""The taste belief against Bayesian regression with every nuisance spelled out."""

import numpy as np

from envs.catalogue import ARM_FIT
from envs.impressions import ImpressionLog
from policies.audience.taste_belief import Noise, conclude, learn_impressions, listener_table, new_belief
from policies.audience.taste_embedding import FACTORS
from policies.impression_likelihood import score_counts

NOISE = Noise(taste=0.1, nuisance=0.35, excess=0.08)
LISTENERS, WEIGHT = 12, 250


def row(listener: int, arm: int, segment: int, skips: int) -> list[int]:
    """Of market 0, campaign 0, at placement 0, with the screen hidden."""
    return [0, 0, listener, segment, 0, arm, 0, WEIGHT - 10 - skips, skips, 1, 0]


def log_of(rows: list[list[int]]) -> ImpressionLog:
    return ImpressionLog(*np.array(rows, np.int64).T.copy(), *np.ones((3, len(rows))))


def test_posterior_is_that_of_a_regression_with_a_dummy_a_creative_and_segment() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, LISTENERS, FACTORS))
    belief = new_belief(1, LISTENERS, np.zeros((1, 1, 4)), NOISE)
    # One interval: the taste is still 0, and the nuisance's belief moves from row to row.
    rows = [
        row(int(rng.integers(LISTENERS)), int(k), int(s), int(n))
        for k, s, n in zip(rng.choice([0, 4], 30), rng.choice(2, 30), rng.integers(0, 12, 30), strict=True)
    ]
    groups = sorted({(r[3], r[5]) for r in rows})
    design, y, variance = np.zeros((30, FACTORS + len(groups))), np.zeros(30), np.zeros(30)
    sums = {group: np.zeros(2) for group in groups}
    for n, r in enumerate(rows):
        group = (r[3], r[5])
        aired = sums[group][1] / (sums[group][0] + 1 / NOISE.nuisance)
        log_z = np.log(ARM_FIT[r[5], 0]) + aired
        score, information = score_counts(log_z, r[5], 0, *map(float, r[7:11]), 0.0, float(WEIGHT))
        design[n, :FACTORS], design[n, FACTORS + groups.index(group)] = x[0, r[2]], 1.0
        y[n] = aired + np.clip(score / information, -2.0, 2.0)
        variance[n] = 1 / information + NOISE.excess
        sums[group] += np.array([1.0, y[n]]) / variance[n]
    prior = np.r_[np.full(FACTORS, FACTORS / NOISE.taste), np.full(len(groups), 1 / NOISE.nuisance)]
    covariance = np.linalg.inv(design.T @ (design / variance[:, None]) + np.diag(prior))
    mean = covariance @ (design.T @ (y / variance))
    learn_impressions(belief, x, log_of(rows), float(WEIGHT), NOISE.nuisance, NOISE.excess)
    conclude(belief, FACTORS / NOISE.taste, NOISE.nuisance)
    np.testing.assert_allclose(belief.taste[0, 0], mean[:FACTORS], atol=1e-10)
    np.testing.assert_allclose(belief.covariance[0, 0], covariance[:FACTORS, :FACTORS], atol=1e-10)


def test_nobody_attended_is_no_dislike() -> None:
    belief = new_belief(1, LISTENERS, np.zeros((1, 1, 4)), NOISE)
    unheard = [0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 5]  # clicks alone: invalid traffic
    x = np.ones((1, LISTENERS, FACTORS))
    learn_impressions(belief, x, log_of([unheard]), float(WEIGHT), NOISE.nuisance, NOISE.excess)
    assert not belief.weight.any() and not belief.evidence.any()


def by_factor(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x.transpose(0, 2, 1))


def test_segment_means_are_kept_and_those_alike_share_alike() -> None:
    rng = np.random.default_rng(1)
    belief = new_belief(1, LISTENERS, np.zeros((1, 1, 4)), NOISE)
    belief.taste[:] = rng.normal(size=belief.taste.shape)
    x, segment = rng.normal(size=(1, LISTENERS, FACTORS)), np.arange(LISTENERS)[None] // 3
    doubt = np.full((1, LISTENERS), 0.2)
    x[0, :3], doubt[0, :3] = 0.0, 1.0  # nothing is known of a whole segment
    value, table = np.array([[[0.5, 1.0, 2.0, 3.0]]]), np.empty((1, 1, LISTENERS))
    listener_table(belief, by_factor(x), doubt, segment, value, table)
    np.testing.assert_allclose(table[0, 0].reshape(4, 3).mean(1), value[0, 0])
    np.testing.assert_allclose(table[0, 0, :3], 0.5)
    assert table[0, 0, 6:9].std() > 0.0


def test_affinities_are_the_mean_over_all_tastes_that_are_believed_possible() -> None:
    """By drawing tastes of listeners and of the campaign; where both are in doubt the mean is close."""
    rng = np.random.default_rng(2)
    belief = new_belief(1, LISTENERS, np.zeros((1, 1, 4)), NOISE)
    belief.taste[:] = rng.normal(0.0, 0.12, belief.taste.shape)
    root = rng.normal(0.0, 0.03, (FACTORS, FACTORS))
    belief.covariance[0, 0] = root @ root.T
    x, doubt = rng.normal(size=(1, LISTENERS, FACTORS)), rng.uniform(0.0, 1.0, (1, LISTENERS))
    table = np.empty((1, 1, LISTENERS))
    listener_table(belief, by_factor(x), doubt, np.zeros((1, LISTENERS), int), np.ones((1, 1, 4)), table)
    draws = 100_000
    w = belief.taste[0, 0] + rng.normal(size=(draws, FACTORS)) @ root.T
    expected = [
        np.exp(((x[0, i] + doubt[0, i] ** 0.5 * rng.normal(size=w.shape)) * w).sum(1)).mean()
        for i in range(LISTENERS)
    ]
    np.testing.assert_allclose(table[0, 0], expected / np.mean(expected), rtol=0.02)
