"""Pacing rules of the literature, each on the interface of `policies.pacing.Pacer`.

Bids are value / dual, so that a rule's multiplier α is 1 / dual. Money left over buys nothing here, so
that duals may fall below 1: campaigns maximise value within their budget, not surplus.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Final

import numpy as np

from envs import catalogue as cat
from envs.state import Float
from policies.evidence import Evidence
from policies.pacing import HIGHEST_DUAL, LOWEST_DUAL, MultiplicativePacer, Pacer, PacingKnobs
from policies.policy import Flight


class AdaptivePacer(Pacer):
    """Adaptive pacing: λ ← λ + ε (spend / target − 1), an online subgradient step on the dual.

    Balseiro & Gur, "Learning in repeated auctions with budgets" (Management Science 65, 2019): their
    μ ← P[0, μ̄](μ − ε (ρ − z)) with λ = 1 + μ, spend in units of its target ρ, which is here the interval's
    share of what is left, since listening has its hours.
    """

    def __init__(self, initial_dual: float = 1.0, step: float = 0.1, tilt: float = 0.0) -> None:
        """`step` is ε, USD of value a USD."""
        super().__init__(initial_dual, tilt)
        self.step = step

    def adjust(self, spent: Float, target: Float, now: Evidence) -> None:
        """The subgradient step, its error clipped as every rule's."""
        self.dual = self.dual + self.step * np.clip(spent / target - 1.0, -1.5, 1.5)


class AuctionNetPacer(Pacer):
    """AuctionNet's PID: α × 1.2 where projected spend / what is left < .7, × .7 where it is > 1.1.

    Su et al., "AuctionNet: a novel benchmark for decision-making in large-scale games" (NeurIPS 2024).
    Projected: what the last interval spent, over the listening to come.
    """

    RAISE: Final = 1.2
    LOWER: Final = 0.7
    SLOW: Final = 0.7
    FAST: Final = 1.1

    def adjust(self, spent: Float, target: Float, now: Evidence) -> None:
        """One of the two factors, or none."""
        to_come = self._left[self._interval] - self._share[self._interval]
        projected = spent * to_come / self._share[self._interval]
        ratio = projected / np.maximum(1e-6, now.budget_left_fraction * now.budget_usd)
        factor = np.where(ratio < self.SLOW, self.RAISE, np.where(ratio > self.FAST, self.LOWER, 1.0))
        self.dual = self.dual / factor


class CostPerActionPacer(Pacer):
    """Two multipliers, one for the budget and one for the cost per conversion; the smaller one bids.

    Yang et al., "Bid optimization by multivariable control in display advertising" (KDD 2019), with the
    minimum in place of their hyperplane. The cost multiplier follows the flight's own cost per reported
    conversion, a few conversions at the target counted in advance, since reports come days late.
    """

    PRIOR_CONVERSIONS: Final = 4.0

    def __init__(self, knobs: PacingKnobs, cpa_target_fraction: float = 1.0) -> None:
        """`cpa_target_fraction` is the target as a share of what a conversion is worth."""
        super().__init__(knobs.initial_dual, knobs.tilt)
        self.knobs, self.fraction = knobs, cpa_target_fraction
        self.budget = MultiplicativePacer(knobs)

    def start(self, flight: Flight, first: Evidence) -> None:
        """A new flight."""
        super().start(flight, first)
        self.budget.start(flight, first)
        self.cost_dual: Float = self.dual.copy()
        self._target = max(1e-9, self.fraction * flight.scenario.values.conversion_usd)
        self._spent, self._conversions = np.zeros(len(self.dual)), np.zeros(len(self.dual))

    def update(self, before: Evidence, now: Evidence) -> None:
        """Both multipliers move; the dual is the larger of theirs."""
        self.budget.update(before, now)
        super().update(before, now)

    def adjust(self, spent: Float, target: Float, now: Evidence) -> None:
        """Follows cost per conversion over its target."""
        self._spent += spent
        self._conversions += now.conversions.sum(1)
        prior = self.PRIOR_CONVERSIONS
        cost = (self._spent + prior * self._target) / (self._conversions + prior)
        error = np.clip(cost / self._target - 1.0, -1.5, 1.5)
        self.cost_dual = np.clip(self.cost_dual * np.exp(self.knobs.step * error), LOWEST_DUAL, HIGHEST_DUAL)
        self.dual = np.maximum(self.budget.dual, self.cost_dual)


class LinearProgramPacer(Pacer):
    """Online linear program: the dual of buying the best value a USD of what is expected to come.

    Agrawal, Wang & Ye, "A dynamic near-optimal algorithm for online linear programming" (Operations
    Research 62, 2014). Agents see averages of cells, so that a cell's opportunities are spread over a
    log-normal price around its running mean, and their number is the one seen so far over listening so far.
    """

    LEVELS: Final = 9

    def __init__(self, initial_dual: float = 1.0, price_sd: float = 0.85, tilt: float = 0.0) -> None:
        """`price_sd` is the standard deviation of a cell's log price."""
        super().__init__(initial_dual, tilt)
        scores = [NormalDist().inv_cdf((level + 0.5) / self.LEVELS) for level in range(self.LEVELS)]
        factor = np.exp(price_sd * np.array(scores))
        self._price_factor = factor / factor.mean()

    def start(self, flight: Flight, first: Evidence) -> None:
        """A new flight: one usual interval counts as seen."""
        super().start(flight, first)
        scenario = flight.scenario
        self._winnable = np.array(scenario.auction.probability_within_table)
        usual = scenario.opportunities_per_interval / cat.S * np.array(scenario.placement_share)
        self._seen: Float = np.broadcast_to(usual, first.opportunities.shape).copy()
        self._listening = float(self._share.mean())

    def adjust(self, spent: Float, target: Float, now: Evidence) -> None:
        """Counts what was on offer."""
        self._seen += now.opportunities
        self._listening += self._share[self._interval]

    def plan(self, now: Evidence, value: Float) -> None:
        """Solves the program of what is left."""
        if self._interval == len(self._left):
            return  # the flight is over: nothing is left to buy
        to_come = self._left[self._interval] / self._listening
        quantity = self._seen * to_come * self._winnable / self.LEVELS
        cost = now.price_usd[..., None] * self._price_factor
        items = (len(cost), -1)
        self.dual = np.clip(
            linear_program_dual(
                np.broadcast_to(value[..., None], cost.shape).reshape(items),
                cost.reshape(items),
                np.broadcast_to(quantity[..., None], cost.shape).reshape(items),
                now.budget_left_fraction * now.budget_usd,
            ),
            LOWEST_DUAL,
            HIGHEST_DUAL,
        )


def linear_program_dual(value: Float, cost: Float, quantity: Float, budget: Float) -> Float:
    """Value a USD of the item where the cumulative cost passes the budget, best first: [M].

    The dual of max Σ value · x subject to Σ cost · x ≤ budget, 0 ≤ x ≤ quantity (Dantzig 1957); 0 where
    the budget buys everything of any value.

    Args:
        value: [M, items] of one unit, USD.
        cost: [M, items] of one unit, USD, positive.
        quantity: [M, items] units on offer.
        budget: [M] USD.
    """
    density = value / cost
    order = np.argsort(-density, 1, kind="stable")
    density = np.take_along_axis(density, order, 1)
    spent = np.cumsum(np.take_along_axis(cost * quantity, order, 1), 1)
    passed = spent > budget[:, None]
    first = np.take_along_axis(density, passed.argmax(1)[:, None], 1)[:, 0]
    dual: Float = np.where(passed.any(1), np.maximum(0.0, first), 0.0)
    return dual
