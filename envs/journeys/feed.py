"""What an attribution agent is given of journeys: reports, and nothing of what is hidden."""

from __future__ import annotations

from envs.journeys.identity import JourneyLog
from envs.journeys.touches import REACHED
from envs.journeys.world import JourneyWorld


class JourneyFeed:
    """Reports of the journeys of B markets."""

    def __init__(self, world: JourneyWorld) -> None:
        """Of a flight that was just reset."""
        self._world = world
        settings = world.scenario.journeys
        assert settings is not None
        self.settings = settings
        self.purchases_per_impression = REACHED / settings.conversions_per_purchase
        """Purchases of one real impression, for each conversion of a touch of a person."""
        weight, people = world.scenario.impression_weight, settings.people
        self.impressions_per_touch = weight / (people * REACHED)
        """Real impressions that one touch of a person stands for."""

    @property
    def hours(self) -> float:
        """Since the flight's start."""
        return self._world.markets[0].hours

    def journeys(self, market: int, campaign: int) -> JourneyLog:
        """What is known now of a campaign's journeys."""
        return self._world.markets[market].observed(campaign)
