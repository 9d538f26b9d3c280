"""Scripted bidding agents: value by the desk, throttled value, affinity alone, random."""

from __future__ import annotations

import numpy as np

from envs import catalogue as cat
from envs.observation import Observation
from envs.philox import normals, uniforms
from envs.protocol import MAX_MULTIPLIER_LOG
from envs.state import Float
from policies.desk import (
    BIDDING_ACTION,
    CampaignDesk,
    DeskKnobs,
    DeskPolicy,
    log_multipliers,
    predicted_value,
)
from policies.evidence import Evidence, evidence_of
from policies.pacing import Pacer
from policies.policy import Flight
from policies.shading import shaded


class DeskBidding(DeskPolicy):
    """Bids the desk's value of the creative on air over the dual price of budget."""

    def __init__(self, desk: CampaignDesk, name: str = "desk") -> None:
        """Shares the desk with the creative agent of the same team."""
        super().__init__(desk, name)

    def act(self, observation: Observation) -> Float:
        """Log-multipliers [B, C, 1 + P + S]."""
        self.desk.advance(observation)
        return self.desk.base_log_multiplier.astype(np.float64)


class ThrottledBidding(DeskBidding):
    """Bids on a random part of the segments, as large a part as the budget lasts for.

    Karande, Mehta & Srikant, "Optimizing budget constrained spend in search advertising" (WSDM 2013);
    Agarwal et al., "Budget pacing for targeted online advertisements at LinkedIn" (KDD 2014). An agent
    sets multipliers alone, so that a segment sits an interval out by a bid that nearly never wins.
    """

    _STREAM = 600

    def __init__(self, desk: CampaignDesk, throttle: Pacer, name: str = "throttling") -> None:
        """The desk's pacer says how high bids are, `throttle` how rare: they take part with 1 / its dual."""
        super().__init__(desk, name)
        self.throttle = throttle

    def start(self, flight: Flight) -> None:
        """A new flight."""
        super().start(flight)
        self._flight, self._interval = flight, 0
        self._before: Evidence | None = None

    def act(self, observation: Observation) -> Float:
        """Log-multipliers [B, C, 1 + P + S]."""
        logs = super().act(observation)
        now = evidence_of(observation)
        if self._before is None:
            self.throttle.start(self._flight, now)
        else:
            self.throttle.update(self._before, now)
        self._before = now
        self.throttle.dual = np.maximum(1.0, self.throttle.dual)
        shape = (self._flight.num_campaigns, cat.S)
        draw = uniforms(self._flight.seeds, self._STREAM + self._interval, shape)
        self._interval += 1
        share = 1.0 / self.throttle.dual.reshape(*observation.shape[:2], 1)
        sits_out = draw > share
        self.log_propensity = np.log(np.where(sits_out, 1.0 - share, share)).sum(-1)
        segments = logs[..., 1 + cat.P :]
        logs[..., 1 + cat.P :] = np.where(sits_out, -MAX_MULTIPLIER_LOG, segments)
        return logs


class PacedBidding:
    """Bids predicted affinity over a paced dual price, blind to what creatives are worth.

    A price level is what an impression of affinity 1 is taken to be worth; at first price bids stay below.
    """

    privileged = False
    _SHADING_SD = DeskKnobs().shading_sd

    def __init__(self, pacer: Pacer, name: str = "paced", frequency_damping: float = 0.0) -> None:
        """`frequency_damping` lowers bids where a segment's fatigue is high."""
        self.name, self.pacer, self.damping = name, pacer, frequency_damping

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
        auction = self._flight.scenario.auction
        if auction.pricing == "first_price":
            worth = predicted_value(now, auction.price_level_usd)
            wish = worth / self.pacer.dual[:, None, None] * np.exp(-self.damping * now.fatigue)[..., None]
            logs = log_multipliers(now, shaded(wish, now.price_usd, self._SHADING_SD), worth)
        else:
            logs = np.zeros((len(now.budget_usd), BIDDING_ACTION))
            logs[:, 0] = -np.log(self.pacer.dual)
            logs[:, 1 + cat.P :] = -self.damping * now.fatigue
        return np.clip(logs, -MAX_MULTIPLIER_LOG, MAX_MULTIPLIER_LOG).reshape(*observation.shape[:2], -1)


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
