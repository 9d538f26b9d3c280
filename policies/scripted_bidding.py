"""Scripted bidding agents: value by the desk, affinity alone, constant, random."""

from __future__ import annotations

import numpy as np

from envs import catalogue as cat
from envs.observation import Observation
from envs.philox import normals
from envs.protocol import MAX_MULTIPLIER_LOG
from envs.state import Float
from policies.desk import BIDDING_ACTION, CampaignDesk
from policies.evidence import Evidence, evidence_of
from policies.pacing import Pacer, PacingKnobs
from policies.policy import Flight


class DeskBidding:
    """Bids the desk's value of the creative on air over the dual price of budget."""

    def __init__(self, desk: CampaignDesk, name: str = "desk") -> None:
        """Shares the desk with the creative agent of the same team."""
        self.name, self.desk, self.privileged = name, desk, False

    def start(self, flight: Flight) -> None:
        """A new flight."""
        self.desk.start(flight)

    def act(self, observation: Observation) -> Float:
        """Log-multipliers [B, C, 1 + P + S]."""
        self.desk.advance(observation)
        return self.desk.base_log_multiplier.astype(np.float64)


class PacedBidding:
    """Bids predicted affinity over a paced dual price, blind to what creatives are worth."""

    privileged = False

    def __init__(self, knobs: PacingKnobs, name: str = "paced", frequency_damping: float = 0.0) -> None:
        """`frequency_damping` lowers bids where a segment's fatigue is high."""
        self.name, self.pacer, self.damping = name, Pacer(knobs), frequency_damping

    def start(self, flight: Flight) -> None:
        """A new flight."""
        self._flight = flight
        self._before: Evidence | None = None

    def act(self, observation: Observation) -> Float:
        """Log-multipliers [B, C, 1 + P + S]."""
        now = evidence_of(observation)
        if self._before is None:
            self.pacer.start(self._flight, now)
        else:
            self.pacer.update(self._before, now)
        self._before = now
        logs = np.zeros((len(now.budget_usd), BIDDING_ACTION))
        logs[:, 0] = -np.log(self.pacer.dual)
        logs[:, 1 + cat.P :] = -self.damping * now.fatigue
        return np.clip(logs, -MAX_MULTIPLIER_LOG, MAX_MULTIPLIER_LOG).reshape(*observation.shape[:2], -1)


class ConstantBidding:
    """One multiplier for everything."""

    privileged = False

    def __init__(self, log_multiplier: float = 0.0, name: str = "constant") -> None:
        """`log_multiplier` on predicted value."""
        self.name, self.log_multiplier = name, log_multiplier

    def start(self, flight: Flight) -> None:
        """A new flight."""

    def act(self, observation: Observation) -> Float:
        """Log-multipliers [B, C, 1 + P + S]."""
        logs = np.zeros((*observation.shape[:2], BIDDING_ACTION))
        logs[..., 0] = self.log_multiplier
        return logs


class RandomBidding:
    """Gaussian log-multipliers, drawn anew each interval."""

    name, privileged = "random", False
    _STREAM = 400

    def start(self, flight: Flight) -> None:
        """A new flight."""
        self._flight, self._interval = flight, 0

    def act(self, observation: Observation) -> Float:
        """Log-multipliers [B, C, 1 + P + S]."""
        shape = (self._flight.num_campaigns, BIDDING_ACTION)
        draw = normals(self._flight.seeds, self._STREAM + self._interval, shape)
        self._interval += 1
        # Of the draw: what it was clipped from.
        self.log_propensity = -(0.5 * draw**2 + 0.5 * np.log(2.0 * np.pi) + np.log(0.5)).sum(-1)
        return np.clip(0.5 * draw - 0.5, -MAX_MULTIPLIER_LOG, MAX_MULTIPLIER_LOG)
