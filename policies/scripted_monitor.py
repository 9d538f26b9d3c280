"""A monitor that says nothing: what a team is without its watchdog (`policies.watchdog`)."""

from __future__ import annotations

import numpy as np

from envs.catalogue import MAX_CAMPAIGNS, P
from envs.observation import Observation
from envs.protocol import Alert
from policies.policy import Flight


class QuietMonitor:
    """Never alerts."""

    name, privileged = "quiet", False

    def start(self, flight: Flight) -> None:
        """A new flight."""
        self._none = Alert(*(np.zeros((flight.num_markets, MAX_CAMPAIGNS, P), np.int64) for _ in range(3)))

    def act(self, observation: Observation) -> Alert:
        """Nothing."""
        return self._none
