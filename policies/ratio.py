"""Ratios of observed to expected response per asset: what a team without the simulator could learn."""

from __future__ import annotations

import numpy as np

from envs import catalogue as cat
from envs import response as res
from envs.philox import normals
from envs.state import Float
from policies.belief import memory_room, smooth
from policies.evidence import Evidence
from policies.policy import Flight
from policies.valuation import ATTENTIVE_SHARE, Estimate

_ARMS, _HAZARD, _FIT = cat.ARMS, cat.ARM_HAZARD, cat.ARM_FIT


class RatioBelief:
    """Brief × a Gamma posterior of observed over expected engagement per asset, by Thompson sampling.

    Expected skips follow the asset's predicted response; nothing of wear-out, funnel or moods is inferred.
    """

    _STREAM = 200

    def __init__(self, exploration: float = 0.9, strength: float = 6.0) -> None:
        """`strength` is the prior's weight in impressions; `exploration` scales the posterior's spread."""
        self.exploration, self.strength = exploration, strength

    def start(self, flight: Flight, first: Evidence) -> None:
        """Every asset starts at the brief's ratio of 1."""
        rows = len(first.budget_usd)
        self.scenario = flight.scenario
        self._flight, self._tick = flight, 0
        shape = (rows, cat.S, cat.F, cat.V)
        self.evidence, self.log_ratio = np.full(shape, self.strength), np.zeros(shape)
        self.recall = np.full((rows, cat.S), 0.02)

    def update(self, before: Evidence, now: Evidence) -> None:
        """Moves the asset on air towards the response its skips tell of."""
        n = now.wins.sum(-1)
        hazard = _HAZARD[before.arm]
        trials = self.scenario.impression_weight * n * ATTENTIVE_SHARE * res.SKIP_SHARE
        fit = (_FIT[before.arm] * before.attention[:, None] * now.predicted_won).sum(-1) / np.maximum(1.0, n)
        lost = np.clip((now.skips.sum(-1) + 0.5) / np.maximum(1.0, trials), 1e-4, 0.95)
        response = (-np.log(1.0 - lost) / hazard) ** (-1.0 / res.COMPLETION_ELASTICITY)
        rows, segments = np.indices(before.arm.shape)
        f, v = _ARMS[before.arm, 0], _ARMS[before.arm, 1]
        brief = np.exp(before.brief_log_format[rows, segments, f] - before.fatigue)
        told = np.log(np.clip(response / np.maximum(1e-3, fit * brief), 0.1, 10.0))
        seen = n > 0
        old = self.evidence[rows, segments, f, v]
        share = np.where(seen, n / (old + n), 0.0)
        self.log_ratio[rows, segments, f, v] += share * (told - self.log_ratio[rows, segments, f, v])
        self.evidence[rows, segments, f, v] = np.minimum(old + np.where(seen, n, 0.0), 400.0)
        self.recall = smooth(self.recall, now.recall_survey, 0.5)
        self._tick += 1

    def _responses(self, now: Evidence, log_ratio: Float) -> Float:
        log_z = np.log(now.affinity_hint)[..., None, None] + now.brief_log_format[..., None] + log_ratio
        log_z = log_z - now.brief_wear_out[:, None, None, None] * now.wear - now.fatigue[..., None, None]
        return np.ascontiguousarray(np.exp(log_z)[..., _ARMS[:, 0], _ARMS[:, 1]])

    def draw(self, now: Evidence) -> Float:
        """Ratios from their posteriors."""
        shape = (self._flight.num_campaigns, cat.S, cat.F, cat.V)
        noise = normals(self._flight.seeds, self._STREAM + self._tick, shape).reshape(self.log_ratio.shape)
        return self._responses(now, self.log_ratio + self.exploration * noise / np.sqrt(self.evidence))

    def estimate(self, now: Evidence) -> Estimate:
        """Responses at the posterior mean."""
        return Estimate(
            response=self._responses(now, self.log_ratio),
            conversion=now.brief_conversion,
            recall=now.brief_recall,
            recall_decay=now.brief_recall_decay,
            funnel=np.clip(self.recall, 0.0, 1.0),
            memory_room=memory_room(now, self.recall),
            fatigue=now.fatigue,
            affinity=now.affinity_hint,
        )
