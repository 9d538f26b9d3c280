"""Roles that say less than they could: what the team loses when one of them is silent, noisy or stuck."""

from __future__ import annotations

import numpy as np

from envs.observation import Observation
from envs.philox import normals
from envs.protocol import Directive, SegmentValue, quiet_board
from policies.policy import Flight
from policies.scripted_audience import SegmentAverage

_STREAM = 500
"""Streams of the noise, of the policies' own seeds."""


class SilentAudience:
    """Says that every segment is average, and that it is sure of nothing."""

    name, privileged, model_aware = "silent", False, False

    def start(self, flight: Flight) -> None:
        """A new flight."""
        self._said = quiet_board(flight.num_markets, flight.num_campaigns).segment_value

    def act(self, observation: Observation) -> SegmentValue:
        """Average affinity."""
        return self._said


class UnlearningAudience(SegmentAverage):
    """Repeats the past segment averages, whatever the flight's clicks say."""

    model_aware = False

    def __init__(self) -> None:
        """So much trust in the hint that no click moves it."""
        super().__init__(prior_clicks=1e12, name="unlearning")


class NoisyAudience(SegmentAverage):
    """Segment averages times log-normal noise, drawn anew in each interval."""

    model_aware = False
    NOISE_SD = 0.5
    """Of the log affinity."""

    def __init__(self) -> None:
        """As the segment average it is."""
        super().__init__(name="noisy")

    def start(self, flight: Flight) -> None:
        """A new flight."""
        super().start(flight)
        self._flight, self._interval = flight, 0

    def act(self, observation: Observation) -> SegmentValue:
        """Affinity with noise; the confidence is the honest one."""
        said = super().act(observation)
        noise = normals(self._flight.seeds, _STREAM + self._interval, said.affinity.shape[1:])
        self._interval += 1
        return said._replace(affinity=np.clip(said.affinity * np.exp(self.NOISE_SD * noise), 0.05, 10.0))


class SilentOrchestrator:
    """Directs nothing: no grant of video, no throttle, no pause."""

    name, privileged, model_aware = "silent", False, False

    def start(self, flight: Flight) -> None:
        """A new flight."""
        self._said = quiet_board(flight.num_markets, flight.num_campaigns).directive

    def act(self, observation: Observation) -> Directive:
        """Leave."""
        return self._said
