"""Creative policies with known probabilities, and markets in which one choice does not touch the next."""

from __future__ import annotations

import numpy as np

from envs import catalogue as cat
from envs.observation import Observation
from envs.philox import uniforms
from envs.scenario import Scenario, load_scenario
from envs.state import Float, Int
from policies.policy import Flight
from policies.registry import make_team
from policies.team import Team

_STREAM = 700


class RandomChoice:
    """Draws arms with given probabilities and says with which."""

    name, privileged = "choice", False

    def __init__(self, probability: Float) -> None:
        """`probability` is [S, K]."""
        self.probability = probability

    def start(self, flight: Flight) -> None:
        """A new flight."""
        self._flight, self._interval = flight, 0

    def act(self, observation: Observation) -> Int:
        """Creatives [B, C, S, 4]; `log_propensity` [B, C, S] of them."""
        shape = (self._flight.num_campaigns, cat.S)
        draw = uniforms(self._flight.seeds, _STREAM + self._interval, shape)
        self._interval += 1
        edges = np.cumsum(self.probability, 1)
        arm = np.minimum((draw[..., None] > edges).sum(-1), cat.K - 1)
        self.log_propensity = np.log(self.probability[np.arange(cat.S), arm])
        chosen: Int = cat.ARMS[arm]
        return chosen


class Flat:
    """Bids one multiple of the predicted value for everything."""

    name, privileged = "flat", False

    def start(self, flight: Flight) -> None:
        """A new flight."""

    def act(self, observation: Observation) -> Float:
        """Log-multipliers [B, C, 1 + P + S]."""
        logs = np.zeros((*observation.shape[:2], 1 + cat.P + cat.S))
        logs[..., 0] = 1.0
        return logs


def softmax(seed: int, sd: float) -> Float:
    """[S, K] probabilities of random preferences, log-normal of this spread."""
    weight = np.exp(sd * np.random.default_rng(seed).normal(size=(cat.S, cat.K)))
    return np.asarray(weight / weight.sum(1, keepdims=True))


def chooser(probability: Float, name: str) -> Team:
    """A team that bids the same always and airs random creatives."""
    base = make_team("siloed")
    policies = {**base.policies, "creative": RandomChoice(probability), "bidding": Flat()}
    return Team(name, policies)


def separable(intervals: int = 8) -> Scenario:
    """Steady listeners and money for everything: what a choice brings depends on no other choice."""
    fields = load_scenario("linear").model_dump()
    fields |= {"name": "separable", "intervals": intervals, "opportunities_per_interval": 192}
    fields |= {"budget_fraction": 100.0, "impression_weight": 250}
    return Scenario(**fields)
