"""How fast the money goes: the dual price of budget, and the feedback rule that teams move it by.

Every pacer has one `dual` a campaign: what a USD of budget must bring, so that value / dual is bid. Rules
from the literature are in `policies/pacing_rules.py`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from envs.inventory import listening_curve
from envs.state import Float
from policies.evidence import Evidence
from policies.policy import Flight

LOWEST_DUAL: Final = 0.02
HIGHEST_DUAL: Final = 50.0


class PacingKnobs(NamedTuple):
    """Tuned settings of a pacer."""

    initial_dual: float = 1.0  # USD of value a USD must bring at the start
    step: float = 0.1  # gain on the relative spending error
    integral: float = 0.0  # gain on its decayed sum (PID)
    tilt: float = 0.0  # > 0 spends later, < 0 earlier; in (−1, 1)


class Pacer:
    """A dual price per campaign that never moves; rules say in `adjust` or `plan` how it does."""

    def __init__(self, initial_dual: float = 1.0, tilt: float = 0.0) -> None:
        """`tilt` > 0 plans to spend later than listening flows, < 0 earlier."""
        self.initial_dual, self.tilt = initial_dual, tilt

    def start(self, flight: Flight, first: Evidence) -> None:
        """A new flight."""
        self.dual: Float = np.full(len(first.budget_usd), self.initial_dual)
        t = (np.arange(flight.scenario.intervals) + 0.5) / flight.scenario.intervals
        weekdays = np.arange(7)  # nobody is told on which a flight starts
        usual_day = listening_curve(len(t), flight.scenario.intervals_per_day, weekdays).mean(0)
        share = (1.0 + self.tilt * (2.0 * t - 1.0)) * usual_day
        self._left = np.cumsum(share[::-1])[::-1]
        self._share = share
        self._interval = 0

    def update(self, before: Evidence, now: Evidence) -> None:
        """Moves the dual after an interval in which `now.spend_usd` was spent."""
        spent = now.spend_usd.sum((1, 2))
        left = now.budget_left_fraction * now.budget_usd
        share = self._share[self._interval] / self._left[self._interval]
        self.adjust(spent, np.maximum(1e-6, (left + spent) * share), now)
        self.dual = np.clip(self.dual, LOWEST_DUAL, HIGHEST_DUAL)
        self._interval += 1

    def adjust(self, spent: Float, target: Float, now: Evidence) -> None:
        """Sets the dual by what was spent [M] and what should have been [M], USD; `now` is the outcome."""

    def plan(self, now: Evidence, value: Float) -> None:
        """Sets the dual by what an impression is worth: value [M, S, P] USD of the creative on air."""


class MultiplicativePacer(Pacer):
    """Up when an interval spent more than its share of what is left.

    Multiplicative form of adaptive pacing (Balseiro & Gur 2019); with `integral` > 0 a PI controller, whose
    `initial_dual` is its warm start.
    """

    def __init__(self, knobs: PacingKnobs | None = None) -> None:
        """Keeps the knobs."""
        self.knobs = knobs or PacingKnobs()
        super().__init__(self.knobs.initial_dual, self.knobs.tilt)

    def start(self, flight: Flight, first: Evidence) -> None:
        """A new flight."""
        super().start(flight, first)
        self._sum = np.zeros(len(first.budget_usd))

    def adjust(self, spent: Float, target: Float, now: Evidence) -> None:
        """Follows the relative error and its decayed sum."""
        error = np.clip(spent / target - 1.0, -1.5, 1.5)
        self._sum = 0.8 * self._sum + error
        self.dual = self.dual * np.exp(self.knobs.step * error + self.knobs.integral * self._sum)
