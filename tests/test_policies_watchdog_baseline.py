"""What is usual: of a place, and of places that are taken to be alike until they have shown otherwise."""

import numpy as np

from policies.watchdog.baseline import Baseline


def heard(baseline: Baseline, counts: np.ndarray, intervals: int = 12) -> np.ndarray:
    """Rates after so many intervals of the same counts, an exposure of 10 each."""
    baseline.start(counts.shape)
    for _ in range(intervals):
        baseline.learn(counts, np.full(counts.shape, 10.0), np.zeros(counts.shape, bool))
    return baseline.rate


def test_a_place_of_its_own_comes_to_its_own_rate() -> None:
    rate = heard(Baseline(1.0, 5.0, memory=1.0), np.array([[20.0, 5.0, 5.0]]), 100)
    np.testing.assert_allclose(rate, [[2.0, 0.5, 0.5]], rtol=0.01)


def test_creatives_alike_share_what_is_known_until_they_differ() -> None:
    counts = np.array([[20.0, 5.0, 5.0]])
    alike = heard(Baseline(1.0, 5.0, memory=1.0, alike=1e9, axis=1), counts)
    np.testing.assert_allclose(alike, alike.mean(), rtol=1e-3)
    some = heard(Baseline(1.0, 5.0, memory=1.0, alike=50.0, axis=1), counts)
    own = heard(Baseline(1.0, 0.0, memory=1.0), counts)
    assert own[0, 1] < some[0, 1] < alike[0, 1] and alike[0, 0] < some[0, 0] < own[0, 0]


def test_what_an_episode_brings_is_learned_neither_of_its_place_nor_of_others() -> None:
    baseline = Baseline(1.0, 5.0, alike=50.0, axis=1)
    baseline.start((1, 3))
    usual, exposure = np.full((1, 3), 10.0), np.full((1, 3), 10.0)
    for t in range(20):
        wild = usual.copy()
        wild[0, 0] = 100.0 if t >= 10 else 10.0
        baseline.learn(wild, exposure, np.array([[t >= 11, False, False]]))
    np.testing.assert_allclose(baseline.rate, 1.0, rtol=1e-6)
