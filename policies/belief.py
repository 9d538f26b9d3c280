"""Estimators: what a team believes about hidden responses, from the feedback of the flight.

`KalmanBelief` (policies/kalman.py) knows the simulator's closed forms (model-aware), `RatioBelief`
(policies/ratio.py) is what a team without the simulator could build, `TrueResponse` reads the truth.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from envs import catalogue as cat
from envs import response as res
from envs.state import Float, MarketParameters
from policies.evidence import Evidence
from policies.policy import Flight
from policies.valuation import Estimate


class Estimator(Protocol):
    """Learns from the evidence of a flight."""

    def start(self, flight: Flight, first: Evidence) -> None:
        """A new flight: the first evidence holds the briefs."""

    def update(self, before: Evidence, now: Evidence) -> None:
        """One interval was played: `before` is what was known when it started."""

    def estimate(self, now: Evidence) -> Estimate:
        """What is believed for the coming interval, on average: what bids stand on."""

    def draw(self, now: Evidence) -> Float:
        """Responses [M, S, K] drawn from the posterior (Thompson sampling): what creatives are chosen by."""


def smooth(old: Float, new: Float, weight: float) -> Float:
    """Running mean."""
    return (1.0 - weight) * old + weight * new


def memory_room(now: Evidence, recall: Float) -> Float:
    """[M, S] unfilled memory over massing, by the survey, per unit of response: fatigue takes none of it."""
    return np.clip(1.0 - recall, 0.05, 1.0) * np.exp(now.fatigue) / (1.0 + res.SPACING * now.recent_exposure)


def true_segment_affinity(parameters: MarketParameters) -> Float:
    """[B, C, S] mean affinity of a segment's listeners, for evaluation only."""
    segment = parameters.listener_segment[:, None, :, None] == np.arange(cat.S)
    mean: Float = (parameters.affinity[..., None] * segment).sum(2) / np.maximum(1, segment.sum(2))
    return mean


class TrueResponse:
    """The simulator's own expected response: an upper reference, for evaluation only."""

    def start(self, flight: Flight, first: Evidence) -> None:
        """Needs a privileged flight."""
        if flight.market is None:
            raise ValueError(
                "the oracle reads the hidden truth: it needs a flight with market=… (evaluation only)"
            )
        self.market = flight.market
        self._now: Evidence | None = None
        self.affinity = true_segment_affinity(flight.market.parameters).reshape(-1, cat.S)

    def update(self, before: Evidence, now: Evidence) -> None:
        """Nothing to learn."""

    def draw(self, now: Evidence) -> Float:
        """The truth: nothing to explore."""
        return self.estimate(now).response

    def estimate(self, now: Evidence) -> Estimate:
        """The truth; asked again in the same interval, it is not computed again."""
        if self._now is not now:
            self._now, self.told = now, self._truth(now)
        return self.told

    def _truth(self, now: Evidence) -> Estimate:
        m, expectation = self.market.parameters, self.market.expectation()
        rows = len(now.budget_usd)
        return Estimate(
            response=expectation.response.reshape(rows, cat.S, cat.K),
            conversion=m.conversion.reshape(rows),
            recall=m.recall.reshape(rows),
            recall_decay=m.recall_decay.reshape(rows),
            funnel=expectation.funnel.reshape(rows, cat.S),
            memory_room=expectation.memory_room.reshape(rows, cat.S),
            fatigue=now.fatigue,
            affinity=self.affinity,
        )
