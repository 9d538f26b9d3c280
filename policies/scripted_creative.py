"""Scripted creative agents: rotation, the desk's best arm, linear bandits, random."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np

from envs import catalogue as cat
from envs.observation import SCHEMAS, Observation
from envs.philox import uniforms
from envs.state import Float, Int
from policies.bandit import LinearBandit
from policies.desk import CampaignDesk, DeskPolicy
from policies.evidence import Evidence, evidence_of
from policies.policy import Flight

_SCHEMA = SCHEMAS["creative"]
_ELIGIBLE = np.where(cat.NEEDS_SCREEN[:, None], cat.SCREEN_VISIBLE_PROBABILITY, 1.0)
_REACH = ((cat.PLACEMENT_FIT > 0) * _ELIGIBLE).mean(1)
"""[F] share of inventory a format may be shown on."""


class DeskCreative(DeskPolicy):
    """The arm with the highest expected surplus by the desk's estimate; claims video at the desk's worth."""

    def __init__(self, desk: CampaignDesk, name: str = "desk") -> None:
        """Shares the desk with the bidding agent of the same team."""
        super().__init__(desk, name)

    @property
    def premium_value_usd(self) -> Float:
        """[B, C, S] what a grant of video is worth to each campaign, USD an interval."""
        return self.desk.premium_value_usd

    @property
    def log_propensity(self) -> float:
        """Thompson sampling has no closed form; without it the choice is the likeliest."""
        return np.nan if getattr(self.desk.estimator, "exploration", 0.0) > 0.0 else 0.0

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


class RoundRobinCreative:
    """Every eligible arm by turns, each segment an arm apart: explores alike and learns nothing."""

    name, privileged = "round-robin", False
    _STRIDE = 7
    """Coprime with the number of arms, so that neighbours in time differ in format."""

    def start(self, flight: Flight) -> None:
        """A new flight."""
        self._interval = 0

    def act(self, observation: Observation) -> Int:
        """Creatives [B, C, S, 4]; audio in video's place where it is not granted."""
        turn = (self._interval * self._STRIDE + np.arange(cat.S)) % cat.K
        self._interval += 1
        creative = np.broadcast_to(cat.ARMS[turn], (*observation.shape[:2], cat.S, 4)).copy()
        granted = _SCHEMA.view(observation, "premium_grant") > 0.5
        barred = (creative[..., 0] == cat.VIDEO) & ~granted
        creative[..., 0] = np.where(barred, cat.FORMATS.index("audio"), creative[..., 0])
        return creative


BanditRule = Literal["greedy", "linucb", "value-weighted"]


class BanditCreative:
    """A linear bandit on the value that impressions brought: greedy, LinUCB or value-weighted rotation.

    * greedy: the highest mean.
    * linucb: the highest mean + exploration × standard error (Li et al., WWW 2010).
    * value-weighted: drawn with chances proportional to mean^(1 / exploration), as ad servers rotate.

    Value is completions and clicks in USD, over that of a completed impression; a format is weighed by the
    share of inventory it may be shown on, to the power of `reach`.
    """

    name: str
    privileged = False
    _STREAM = 700
    _LEAST: Final = 1e-3

    def __init__(
        self, rule: BanditRule, exploration: float = 1.0, reach: float = 0.5, click_completions: float = 500.0
    ) -> None:
        """`click_completions` is what a click is worth, in completions."""
        self.name, self.rule = rule, rule
        self.exploration, self.reach, self.click_completions = exploration, reach, click_completions
        self.bandit = LinearBandit()

    def start(self, flight: Flight) -> None:
        """A new flight."""
        self._flight, self._interval = flight, 0
        self._before: Evidence | None = None

    def act(self, observation: Observation) -> Int:
        """Creatives [B, C, S, 4]."""
        now = evidence_of(observation)
        if self._before is None:
            self.bandit.start(len(now.arm))
        else:
            self.bandit.learn(_brief(now), self._before.arm, self._reward(now), now.wins.sum(-1))
        self._before = now
        barred = (cat.ARM_FORMAT == cat.VIDEO) & (now.premium_grant[..., None] <= 0.5)
        worth = np.where(barred, -np.inf, self._worth(*self.bandit.estimate(_brief(now))))
        arm = self._drawn(worth) if self.rule == "value-weighted" else worth.argmax(-1)
        self._interval += 1
        return cat.ARMS[arm].reshape(*observation.shape[:2], cat.S, 4)

    def _reward(self, now: Evidence) -> Float:
        value: Float = now.completions.sum(-1) + self.click_completions * now.clicks.sum(-1)
        return value / self._flight.scenario.impression_weight

    def _worth(self, mean: Float, error: Float) -> Float:
        """[M, S, K] log value of every arm, as the rule sees it."""
        bound = mean + (self.exploration * error if self.rule == "linucb" else 0.0)
        worth: Float = np.log(np.maximum(self._LEAST, bound)) + self.reach * np.log(_REACH[cat.ARM_FORMAT])
        return worth

    def _drawn(self, worth: Float) -> Int:
        """[M, S] arms drawn with chances proportional to value^(1 / exploration)."""
        logit = worth / max(1e-3, self.exploration)
        logit = logit - logit.max(-1, keepdims=True)
        logit = logit - np.log(np.exp(logit).sum(-1, keepdims=True))
        shape = (self._flight.num_campaigns, cat.S, cat.K)
        draw = uniforms(self._flight.seeds, self._STREAM + self._interval, shape).reshape(worth.shape)
        arm: Int = (logit - np.log(-np.log(draw))).argmax(-1)  # Gumbel's way to draw from a softmax
        chance = np.take_along_axis(logit, arm[..., None], -1)
        self.log_propensity = chance.reshape(len(self._flight.seeds), -1, cat.S)
        return arm


def _brief(now: Evidence) -> Float:
    """[M, S, K] log effect of format and script by the brief."""
    return now.brief_log_format[..., cat.ARMS[:, 0]] + now.brief_log_script[..., cat.ARMS[:, 1]]


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
