import numpy as np

from envs.catalogue import ARMS, CREATIVE_CHOICES, K, S
from policies.bandit import ARM_FEATURES, LinearBandit


def features(brief: float, segment: int, arm: int) -> np.ndarray:
    """A second implementation: [(1 + S) · ARM_FEATURES]."""
    hot = []
    for j, choices in enumerate(CREATIVE_CHOICES):
        hot += [1.0 if ARMS[arm, j] == choice else 0.0 for choice in range(choices)]
    own = np.array([1.0, brief, *hot])
    blocks = [own] + [own if s == segment else np.zeros(ARM_FEATURES) for s in range(S)]
    return np.concatenate(blocks)


def test_linucb_is_that_of_the_naive_loop() -> None:
    rng = np.random.default_rng(0)
    campaigns = 3
    bandit = LinearBandit(ridge=2.0)
    bandit.start(campaigns)
    brief = rng.normal(0.0, 0.3, (campaigns, S, K))
    width = (1 + S) * ARM_FEATURES
    gram = [2.0 * np.eye(width) for _ in range(campaigns)]
    moment = [2.0 * np.r_[1.0, 1.0, np.zeros(width - 2)] for _ in range(campaigns)]
    for _ in range(12):
        arm, count = rng.integers(0, K, (campaigns, S)), rng.poisson(3.0, (campaigns, S)).astype(float)
        reward = rng.normal(1.0, 0.5, (campaigns, S)) * count
        bandit.learn(brief, arm, reward, count)
        for m in range(campaigns):
            for s in range(S):
                x = features(brief[m, s, arm[m, s]], s, int(arm[m, s]))
                gram[m] += count[m, s] * np.outer(x, x)
                moment[m] += reward[m, s] * x
    mean, error = bandit.estimate(brief)
    for m in range(campaigns):
        inverse = np.linalg.inv(gram[m])
        for s in range(S):
            for k in range(K):
                x = features(brief[m, s, k], s, k)
                np.testing.assert_allclose(mean[m, s, k], x @ inverse @ moment[m], rtol=1e-8)
                np.testing.assert_allclose(error[m, s, k], np.sqrt(x @ inverse @ x), rtol=1e-8)


def test_before_anything_is_seen_the_brief_speaks() -> None:
    bandit = LinearBandit()
    bandit.start(1)
    brief = np.random.default_rng(1).normal(size=(1, S, K))
    np.testing.assert_allclose(bandit.estimate(brief)[0], 1.0 + brief)


def test_what_was_seen_in_one_segment_is_foretold_in_others_and_less_surely() -> None:
    bandit = LinearBandit()
    bandit.start(1)
    brief, count = np.zeros((1, S, K)), np.zeros((1, S))
    count[0, 0] = 200.0
    bandit.learn(brief, np.full((1, S), 4), 3.0 * count, count)
    mean, error = bandit.estimate(brief)
    assert abs(mean[0, 0, 4] - 3.0) < 0.05
    assert 1.5 < mean[0, 1, 4] < 3.0
    assert error[0, 0, 4] < 0.2 * error[0, 1, 4]
