"""A team with a known handicap: what a comparison has to notice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from envs.catalogue import MAX_CAMPAIGNS
from envs.impressions import ImpressionLog
from envs.market import Observations
from envs.philox import uniforms
from envs.protocol import Actions
from policies.policy import Flight
from policies.team import Team

_STREAM: Final = 0x5000_0000
"""Streams of the pauses: a market's own, so that they depend on its seed alone."""


@dataclass
class PausedTeam(Team):
    """A team whose orchestrator pauses each campaign in some intervals for no reason."""

    pause_probability: float = 0.01

    def start(self, flight: Flight) -> None:
        """A new flight."""
        super().start(flight)
        self._acted = 0

    def act(self, observations: Observations, impressions: ImpressionLog | None = None) -> Actions:
        """The team's actions, with pauses thrown in."""
        actions = super().act(observations, impressions)
        draws = uniforms(self._flight.seeds, _STREAM + self._acted, (MAX_CAMPAIGNS,))
        self._acted += 1
        directive = actions.orchestrator
        pause = np.where(draws < self.pause_probability, 1, directive.pause)
        return actions._replace(orchestrator=directive._replace(pause=pause))


def paused(team: Team, probability: float) -> PausedTeam:
    """The team with a handicap, under a name that tells."""
    return PausedTeam(
        name=f"{team.name}, paused {probability:g}",
        policies=team.policies,
        stand_ins=team.stand_ins,
        model_aware=team.model_aware,
        pause_probability=probability,
    )
