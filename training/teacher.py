"""The privileged teacher: the oracle's rule on the true responses, watching the learners' own flights."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from envs.market import VectorMarket
from envs.observation import Observation
from policies.belief import TrueResponse
from policies.desk import CampaignDesk
from policies.policy import flight_of
from policies.registry import tuned_knobs
from policies.teams import desk_of

TEACHER_TEAM: Final = "oracle"
ARM_SCORE, LOG_MULTIPLIER, LOG_RESPONSE = "teacher_log_score", "teacher_log_multiplier", "true_log_response"
LEAST_RESPONSE: Final = 1e-2


class Teacher:
    """Says in every interval what it would do in the learners' place, and what is true."""

    def __init__(self, market: VectorMarket) -> None:
        """Watches this market."""
        self.market = market
        self.labels: dict[str, NDArray[Any]] = {}

    def start(self) -> None:
        """A flight has begun."""
        self.truth = TrueResponse()
        self.desk: CampaignDesk = desk_of(tuned_knobs(TEACHER_TEAM), self.truth)
        self.desk.start(flight_of(self.market, privileged=True))

    def watch(self, observation: Observation) -> None:
        """Labels of the coming interval: arm scores and true log responses [B, C, S, K], bids [B, C, ·]."""
        self.desk.advance(observation)
        scores = self.desk.arm_log_score
        response = self.truth.told.response.reshape(scores.shape)
        self.labels = {
            ARM_SCORE: scores,
            LOG_MULTIPLIER: self.desk.base_log_multiplier,
            LOG_RESPONSE: np.log(np.maximum(LEAST_RESPONSE, response)).astype(np.float32),
        }
