"""Roles that say or learn less than they could: what the team loses when one is silent, noisy or stuck."""

from __future__ import annotations

import numpy as np

from envs.observation import Observation
from envs.philox import normals
from envs.protocol import Directive, SegmentValue, quiet_board
from policies.arm_prior import ArmPrior
from policies.belief import smooth
from policies.desk import CampaignDesk
from policies.evidence import Evidence
from policies.kalman import KalmanBelief
from policies.policy import Flight
from policies.registry import DESK_TEAM, tuned_knobs
from policies.scripted_audience import SegmentAverage
from policies.scripted_bidding import DeskBidding
from policies.scripted_creative import DeskCreative
from policies.teams import desk_of

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


class UnlearningBelief(KalmanBelief):
    """What was believed before the flight, to its end: it sees the survey of recall, and infers nothing."""

    def __init__(self, arm_prior: ArmPrior | None = None) -> None:
        """Explores nothing either, for it would learn nothing from it."""
        super().__init__(exploration=0.0, arm_prior=arm_prior)

    def update(self, before: Evidence, now: Evidence) -> None:
        """The survey alone: recall is a state that agents are shown."""
        self.recall = smooth(self.recall, now.recall_survey, 0.5)


def unlearning_desk(arm_prior: ArmPrior | None = None) -> CampaignDesk:
    """Certainty-equivalent's desk, which paces as ever and never changes its mind about responses."""
    return desk_of(tuned_knobs(DESK_TEAM), UnlearningBelief(arm_prior))


class UnlearningCreative(DeskCreative):
    """Certainty-equivalent's rule on briefs alone."""

    model_aware = True

    def __init__(self) -> None:
        """On a desk of its own, which comes to the bidding agent's conclusions."""
        super().__init__(unlearning_desk(), "unlearning")


class UnlearningBidding(DeskBidding):
    """Certainty-equivalent's rule on briefs alone."""

    model_aware = True

    def __init__(self) -> None:
        """On a desk of its own, which comes to the creative agent's conclusions."""
        super().__init__(unlearning_desk(), "unlearning")
