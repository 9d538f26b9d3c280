"""The dual-price bidder with the true future, as a team: for evaluation only."""

from __future__ import annotations

from typing import Any

import numpy as np

from envs import catalogue as cat
from envs.market import INITIAL_ARM
from envs.observation import Observation
from envs.protocol import MAX_MULTIPLIER_LOG
from envs.state import Float, Int
from evaluation.linear_market import attended_share, dual_prices, impression_value
from policies.policy import Flight
from policies.scripted_audience import TrueAffinity
from policies.scripted_monitor import QuietMonitor
from policies.scripted_orchestrator import RuleBook
from policies.team import Team


class DualPricePlan:
    """What the clairvoyant bound of each market says: dual price and arm of every interval."""

    privileged = True

    def start(self, flight: Flight) -> None:
        """Computes the bounds of the flight's markets; the same flight twice is one start."""
        if getattr(self, "_flight", None) is flight:
            return
        market = flight.market
        if market is None:
            raise ValueError("the clairvoyant needs a flight with market=… (evaluation only)")
        self._flight, self._market, b = flight, market, flight.num_markets
        bounds, duals = zip(*(dual_prices(market, row) for row in range(b)), strict=True)
        self.dual: Float = np.stack(duals)  # [B, T]
        self.arms: Int = np.full((b, flight.scenario.intervals, cat.S), INITIAL_ARM)  # [B, T, S]
        for row, bound in enumerate(bounds):
            self.arms[row].reshape(-1)[: len(bound.choice)] = bound.choice

    def log_multipliers(self, t: int) -> Float:
        """[B, 1 + P + S] logs of a·v / (1 − a + μ) per unit of what a bid is made of, a the attended share.

        Exact where v is proportional to response (conversions alone valued), else right at the average.
        """
        market, batch = self._market, len(self.dual)
        m, level = market.parameters, market.scenario.auction.price_level_usd
        logs = np.zeros((batch, 1 + cat.P + cat.S))
        placements, ones = np.arange(cat.P), np.ones(cat.P)
        for b in range(batch):
            attended = attended_share(market, b, t)
            logs[b, 1 : 1 + cat.P] = np.log(attended / (1.0 - attended + self.dual[b, t]))
            for s in np.flatnonzero(np.diff(m.segment_start[b])):
                arm, who = self.arms[b, t, s], m.segment_start[b, s]
                value = impression_value(market, b, t, np.full(cat.P, who), placements, ones)[:, arm]
                unit = m.affinity[b, 0, who] * cat.ARM_FIT[arm] * m.attention[b, t] * level
                logs[b, 1 + cat.P + s] = np.log(value[unit > 0.0] / unit[unit > 0.0]).mean()
        return np.clip(logs, -MAX_MULTIPLIER_LOG, MAX_MULTIPLIER_LOG)


class DualPriceCreative:
    """Airs what the bound chose."""

    name, privileged = "clairvoyant", True

    def __init__(self, plan: DualPricePlan) -> None:
        """Shares the plan."""
        self.plan = plan

    def start(self, flight: Flight) -> None:
        """A new flight."""
        self.plan.start(flight)
        self._interval = 0

    def act(self, observation: Observation) -> Int:
        """Creatives [B, 1, S, 4] of the next interval."""
        self._interval += 1
        t = min(self._interval, self.plan.arms.shape[1] - 1)
        chosen: Int = cat.ARMS[self.plan.arms[:, t]][:, None]
        return chosen


class DualPriceBidding:
    """Bids value over dual price."""

    name, privileged = "clairvoyant", True

    def __init__(self, plan: DualPricePlan) -> None:
        """Shares the plan."""
        self.plan = plan

    def start(self, flight: Flight) -> None:
        """A new flight."""
        self.plan.start(flight)
        self._interval = 0

    def act(self, observation: Observation) -> Float:
        """Log-multipliers [B, 1, 1 + P + S]."""
        logs = self.plan.log_multipliers(self._interval)[:, None]
        self._interval += 1
        return logs


def clairvoyant_team() -> Team:
    """Bids v / (λ + μ) with the true values and the bound's own μ, and airs the creatives it chose.

    In scenario `linear` it attains the bound up to what whole opportunities cost: μ moves a little by
    interval, so that the last of the budget buys what it can (`bounds.dual_prices_of_periods`).
    """
    plan = DualPricePlan()
    policies: dict[str, Any] = {
        "audience": TrueAffinity(),
        "creative": DualPriceCreative(plan),
        "bidding": DualPriceBidding(plan),
        "monitor": QuietMonitor(),
        "orchestrator": RuleBook(),
    }
    return Team("clairvoyant", policies, model_aware=True)
