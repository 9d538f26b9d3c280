"""From statistics to episodes: one alert for a stretch in which something is wrong, not one an interval."""

from __future__ import annotations

from typing import Final

import numpy as np

from envs.state import Bool, Float
from policies.watchdog.detectors import Detector

GOES_ON: Final = 0.25
"""Share of the threshold that new evidence must reach for an episode to go on: hysteresis."""
PATIENCE: Final = 2
"""Intervals without such evidence after which an episode is over."""


class Episodes:
    """Episodes of one kind at any number of places.

    One begins where the detector's statistic exceeds the threshold. From then on the detector starts anew
    after each alarm, and the episode goes on while fresh evidence keeps coming; intervals in which nothing
    can be known (expected count 0, a paused place) neither prolong nor end it.
    """

    def __init__(self, detector: Detector, threshold: float) -> None:
        """Of a detector and the statistic above which it alarms."""
        self.detector, self.threshold = detector, threshold

    def start(self, shape: tuple[int, ...]) -> None:
        """Nothing is wrong anywhere."""
        self.detector.start(shape)
        self.open = np.zeros(shape, bool)
        self.alarmed = np.zeros(shape, bool)
        self._quiet = np.zeros(shape, np.int64)

    def update(self, observed: Float, expected: Float) -> Bool:
        """Takes an interval in and gives where an episode runs: [*shape]."""
        statistic = self.detector.update(observed, expected)
        self.alarmed = statistic > self.threshold
        fresh = statistic > np.where(self.open, GOES_ON * self.threshold, self.threshold)
        known = expected > 0.0
        self._quiet = np.where(fresh, 0, self._quiet + (self.open & known))
        over = self.open & (self._quiet >= PATIENCE)
        self.open = (self.open | fresh) & ~over
        self.detector.restart(fresh | over)
        return self.open
