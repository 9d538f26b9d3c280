"""An audience agent that reads no equation of the market: who hears which campaign's ads out.

Bayesian logistic regression with a Gaussian posterior that is carried from step to step (Chapelle & Li, "An
empirical evaluation of Thompson sampling", NeurIPS 2011, algorithm 3), here with a full covariance.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from envs.impressions import ImpressionLog
from envs.state import Float
from policies.audience.agent import CollaborativeAudience
from policies.audience.taste_belief import Noise, TasteBelief, learn_completions

USUAL_LOG_ODDS: Final = 2.0
"""Of hearing an ad out before any was aired: about nine of ten are."""


class EngagementAudience(CollaborativeAudience):
    """As its base, but what impressions tell comes from a Bayesian logistic regression of completions alone.

    Listeners' embeddings are the regressors, what creative and segment do is an intercept of its own.
    Model-free: of responses it assumes only that the odds of hearing an ad out rise with them, by a tuned
    power.
    """

    def __init__(self, noise: Noise, steepness: float) -> None:
        """`steepness`: how far log odds move with the log of the response."""
        super().__init__(noise, "engagement")
        self.steepness = steepness

    def _read(self, belief: TasteBelief, trusted: ImpressionLog, all_rows: ImpressionLog) -> None:
        weight, noise = float(self._flight.scenario.impression_weight), self.noise
        how = (noise.nuisance, noise.excess, self.steepness)
        learn_completions(belief, self.embedding, trusted, weight, *how)

    def _level(self, hint: Float) -> Float:
        return np.full(hint.shape, USUAL_LOG_ODDS / self.steepness)
