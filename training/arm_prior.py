"""Learns the arm prior: what campaigns of a vertical have in common, from the truth of training markets."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from envs import catalogue as cat
from envs.market import VectorMarket
from envs.scenario import Scenario
from envs.seeds import market_seeds
from policies.arm_prior import ArmPrior, beyond_additive, brief_vector
from policies.evidence import evidence_of
from training.reserved_markets import FIRST_PRIOR

BATCH: Final = 64


def learn_arm_prior(
    scenario: Scenario, seed: int, markets: int, taste_pool: NDArray[Any] | None = None
) -> ArmPrior:
    """Measures it at the first interval of training markets that no flight of the run ever meets.

    The simulator's own expected response of every arm, less what the brief tells, averaged over the campaigns
    of one brief. What format and script explain by themselves is left out of the variances, since a filter
    holds that apart.
    """
    briefs, beyond = [], []
    for start in range(0, markets, BATCH):
        count = min(BATCH, markets - start)
        market = VectorMarket(scenario, count, taste_pool=taste_pool)
        now = evidence_of(market.reset(market_seeds("train", seed, FIRST_PRIOR + start, count)).bidding)
        told = (
            now.brief_log_format[..., cat.ARMS[:, 0]]
            + now.brief_log_script[..., cat.ARMS[:, 1]]
            + now.brief_log_affinity[..., None]
        )
        response = market.expectation().response.reshape(told.shape)
        briefs.append(brief_vector(now))
        beyond.append(np.log(np.maximum(1e-9, response)) - told)
    brief, which = np.unique(np.concatenate(briefs).round(6), axis=0, return_inverse=True)
    own = np.concatenate(beyond)
    own = own - own.mean(-1, keepdims=True)
    effect = np.stack([own[which.ravel() == n].mean(0) for n in range(len(brief))])
    left = beyond_additive(own - effect[which.ravel()])
    freedom = float((beyond_additive(np.eye(cat.K)) ** 2).mean(1).mean() * cat.K)
    variance = float(left.var() / freedom)
    return ArmPrior(brief, effect, variance, variance + float(beyond_additive(effect).var() / freedom))
