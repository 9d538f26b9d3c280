"""Scripted creative agents: rotation, the desk's best arm, random."""

from __future__ import annotations

import numpy as np

from envs import catalogue as cat
from envs.observation import SCHEMAS, Observation
from envs.philox import uniforms
from envs.state import Int
from policies.desk import CampaignDesk
from policies.policy import Flight

_SCHEMA = SCHEMAS["creative"]
_ELIGIBLE = np.where(cat.NEEDS_SCREEN[:, None], cat.SCREEN_VISIBLE_PROBABILITY, 1.0)
_REACH = ((cat.PLACEMENT_FIT > 0) * _ELIGIBLE).mean(1)
"""[F] share of inventory a format may be shown on."""


class DeskCreative:
    """The arm with the highest expected surplus by the desk's estimate."""

    def __init__(self, desk: CampaignDesk, name: str = "desk") -> None:
        """Shares the desk with the bidding agent of the same team."""
        self.name, self.desk, self.privileged = name, desk, False

    @property
    def log_propensity(self) -> float:
        """Thompson sampling has no closed form; without it the choice is the likeliest."""
        return np.nan if getattr(self.desk.estimator, "exploration", 0.0) > 0.0 else 0.0

    def start(self, flight: Flight) -> None:
        """A new flight."""
        self.desk.start(flight)

    def act(self, observation: Observation) -> Int:
        """Creatives [B, C, S, 4]."""
        self.desk.advance(observation)
        scores = np.where(self.desk.arm_mask, self.desk.arm_log_score, -np.inf)
        chosen: Int = cat.ARMS[scores.argmax(-1)]
        return chosen


class RotatingCreative:
    """The brief's best format, scripts by turns: what trafficking teams do by hand."""

    privileged = False

    def __init__(
        self,
        name: str = "rotate",
        rotation_intervals: float = 2,
        long: float = 0,
        early: float = 1,
        reach: float = 1.0,
    ) -> None:
        """`rotation_intervals` between scripts, fixed length and call; `reach` weighs inventory."""
        self.name, self.rotation, self.reach = name, max(1, round(rotation_intervals)), reach
        self.long, self.early = int(long > 0.5), int(early > 0.5)

    def start(self, flight: Flight) -> None:
        """A new flight."""
        self._interval = 0

    def act(self, observation: Observation) -> Int:
        """Creatives [B, C, S, 4]."""
        brief = _SCHEMA.view(observation, "brief_log_format").astype(np.float64)
        formats = brief + self.reach * np.log(_REACH) + np.log(cat.PLACEMENT_FIT.max(1))
        granted = _SCHEMA.view(observation, "premium_grant") > 0.5
        formats[..., cat.VIDEO] = np.where(granted, formats[..., cat.VIDEO], -np.inf)
        creative = np.empty((*formats.shape[:-1], 4), np.int64)
        creative[..., 0] = formats.argmax(-1)
        creative[..., 1] = (self._interval // self.rotation) % cat.V
        creative[..., 2], creative[..., 3] = self.long, self.early
        self._interval += 1
        return creative


class RandomCreative:
    """Any eligible arm, drawn anew each interval."""

    name, privileged = "random", False
    log_propensity = -float(np.log(cat.K))
    _STREAM = 300

    def start(self, flight: Flight) -> None:
        """A new flight."""
        self._flight, self._interval = flight, 0

    def act(self, observation: Observation) -> Int:
        """Creatives [B, C, S, 4]."""
        draw = uniforms(
            self._flight.seeds, self._STREAM + self._interval, (self._flight.num_campaigns, cat.S)
        )
        self._interval += 1
        return cat.ARMS[np.minimum((draw * cat.K).astype(np.int64), cat.K - 1)]
