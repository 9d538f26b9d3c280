"""How fast the money goes: the dual price of budget, adaptive or by PID."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from envs.inventory import listening_curve
from envs.state import Float
from policies.evidence import Evidence
from policies.policy import Flight


class PacingKnobs(NamedTuple):
    """Tuned settings of a pacer."""

    initial_dual: float = 1.0  # USD of value a USD must bring at the start
    step: float = 0.1  # gain on the relative spending error
    integral: float = 0.0  # gain on its decayed sum (PID)
    tilt: float = 0.0  # > 0 spends later, < 0 earlier; in (−1, 1)


class Pacer:
    """Dual price per campaign: up when an interval spent more than its share of what is left.

    Multiplicative form of adaptive pacing (Balseiro & Gur 2019); with `integral` > 0 a PI controller.
    """

    def __init__(self, knobs: PacingKnobs) -> None:
        """Keeps the knobs."""
        self.knobs = knobs

    def start(self, flight: Flight, first: Evidence) -> None:
        """A new flight."""
        self.dual: Float = np.full(len(first.budget_usd), self.knobs.initial_dual)
        self._sum = np.zeros(len(first.budget_usd))
        t = (np.arange(flight.scenario.intervals) + 0.5) / flight.scenario.intervals
        weekdays = np.arange(7)  # nobody is told on which a flight starts
        usual_day = listening_curve(len(t), flight.scenario.intervals_per_day, weekdays).mean(0)
        share = (1.0 + self.knobs.tilt * (2.0 * t - 1.0)) * usual_day
        self._left = np.cumsum(share[::-1])[::-1]
        self._share = share
        self._interval = 0

    def update(self, before: Evidence, now: Evidence) -> None:
        """Moves the dual after an interval in which `now.spend_usd` was spent."""
        spent = now.spend_usd.sum((1, 2))
        left = now.budget_left_fraction * now.budget_usd + spent
        target = np.maximum(1e-6, left * self._share[self._interval] / self._left[self._interval])
        error = np.clip(spent / target - 1.0, -1.5, 1.5)
        self._sum = 0.8 * self._sum + error
        self.dual = np.clip(
            self.dual * np.exp(self.knobs.step * error + self.knobs.integral * self._sum), 0.02, 50.0
        )
        self._interval += 1
