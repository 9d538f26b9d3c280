"""A linear bandit over creatives: what an impression brings, regressed on features of arm × segment.

Hybrid linear model of Li et al., "A contextual-bandit approach to personalized news article
recommendation" (WWW 2010): one set of coefficients that a campaign's segments share and one of each
segment alone, so that what a segment has not tried is foretold by the others. It knows no equation.
"""

from __future__ import annotations

import numpy as np

from envs import catalogue as cat
from envs.state import Float, Int

_ONE_HOT = np.concatenate([np.eye(n)[cat.ARMS[:, j]] for j, n in enumerate(cat.CREATIVE_CHOICES)], 1)
ARM_FEATURES = 2 + _ONE_HOT.shape[1]
"""1, the brief's log effect, and one-hot format, script, length and call to action."""
WIDTH = (1 + cat.S) * ARM_FEATURES


class LinearBandit:
    """Ridge regression of M campaigns, prior mean: the brief's word."""

    def __init__(self, ridge: float = 1.0) -> None:
        """`ridge` is the prior's weight in impressions."""
        self.ridge = ridge

    def start(self, campaigns: int) -> None:
        """Nothing seen yet."""
        prior = np.zeros(WIDTH)
        prior[:2] = 1.0
        self.gram: Float = np.broadcast_to(self.ridge * np.eye(WIDTH), (campaigns, WIDTH, WIDTH)).copy()
        self.moment: Float = np.broadcast_to(self.ridge * prior, (campaigns, WIDTH)).copy()

    def learn(self, brief: Float, arm: Int, reward: Float, count: Float) -> None:
        """Takes in an interval.

        Args:
            brief: [M, S, K] log effect that the brief foretells of every arm.
            arm: [M, S] what aired.
            reward: [M, S] summed over its impressions, in units of an average one.
            count: [M, S] impressions.
        """
        x = np.take_along_axis(_features(brief), arm[..., None, None], 2)[:, :, 0]
        for s in range(cat.S):
            at = _columns(s)
            rows = x[:, s, :, None] * x[:, s, None, :] * count[:, s, None, None]
            self.gram[:, at[:, None], at] += rows
            self.moment[:, at] += x[:, s] * reward[:, s, None]

    def estimate(self, brief: Float) -> tuple[Float, Float]:
        """Mean reward of every arm and its standard error in units of an impression's: [M, S, K] each."""
        x = _features(brief)
        inverse = np.linalg.inv(self.gram)
        theta = (inverse @ self.moment[..., None])[..., 0]
        mean, variance = np.empty(brief.shape), np.empty(brief.shape)
        for s in range(cat.S):
            at = _columns(s)
            mean[:, s] = (x[:, s] @ theta[:, at, None])[..., 0]
            variance[:, s] = (x[:, s] @ inverse[:, at[:, None], at] * x[:, s]).sum(-1)
        return mean, np.sqrt(np.maximum(0.0, variance))


def _features(brief: Float) -> Float:
    """[M, S, K, 2 · ARM_FEATURES]: an arm's features, for the shared and for the segment's coefficients."""
    own = np.empty((*brief.shape, ARM_FEATURES))
    own[..., 0], own[..., 1], own[..., 2:] = 1.0, brief, _ONE_HOT
    return np.concatenate([own, own], -1)


def _columns(segment: int) -> Int:
    """Where a segment's shared and own coefficients lie."""
    own = np.arange(ARM_FEATURES)
    return np.concatenate([own, (1 + segment) * ARM_FEATURES + own])
