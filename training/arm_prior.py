"""Learns the arm prior: what campaigns of a vertical have in common, from the truth of training markets."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from envs import catalogue as cat
from envs.market import VectorMarket
from envs.scenario import Scenario
from envs.seeds import market_seeds
from envs.state import Float
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
    scenario = scenario.model_copy(update={"journeys": None})  # they change no response
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
    variance, common = _spread(own - effect[which.ravel()])
    between, shared = _spread(effect)
    return ArmPrior(brief, effect, variance, variance + between, common, common + shared)


def _spread(effect: Float) -> tuple[float, float]:
    """Variance of log effects [n, S, K], and their mean covariance between two segments.

    Without level, format and script, and enlarged by the share of the variance that went with them.
    """
    rest = beyond_additive(effect)
    freedom = float((beyond_additive(np.eye(cat.K)) ** 2).mean(1).mean() * cat.K)
    rest = rest - rest.mean()
    by_segment = np.einsum("nsk,nzk->sz", rest, rest) / (len(rest) * cat.K * freedom)  # [S, S]
    variance = float(np.trace(by_segment)) / cat.S
    common = float(by_segment.sum() - np.trace(by_segment)) / (cat.S * (cat.S - 1))
    return variance, min(max(0.0, common), 0.99 * variance)
