"""What an attribution agent is given of journeys: reports, and nothing of what is hidden."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from envs.journeys.identity import NOTHING, JourneyLog, JourneyRows, assembled
from envs.journeys.touches import REACHED
from envs.journeys.world import JourneyWorld
from envs.scenario import Scenario


class JourneyFeed(ABC):
    """Reports of the journeys of B markets."""

    def __init__(self, scenario: Scenario) -> None:
        """Of a scenario with journeys."""
        settings = scenario.journeys
        assert settings is not None
        self.scenario, self.settings = scenario, settings
        self.purchases_per_impression = REACHED / settings.conversions_per_purchase
        """Purchases of one real impression, for each conversion of a touch of a person."""
        self.impressions_per_touch = scenario.impression_weight / (settings.people * REACHED)
        """Real impressions that one touch of a person stands for."""

    @property
    @abstractmethod
    def hours(self) -> float:
        """Since the flight's start."""

    @abstractmethod
    def journeys(self, market: int, campaign: int) -> JourneyLog:
        """What is known now of a campaign's journeys."""


class WorldFeed(JourneyFeed):
    """Of a simulation."""

    def __init__(self, world: JourneyWorld) -> None:
        """Of a flight that was just reset."""
        super().__init__(world.scenario)
        self._world = world

    @property
    def hours(self) -> float:
        """Since the flight's start."""
        return self._world.markets[0].hours

    def journeys(self, market: int, campaign: int) -> JourneyLog:
        """What is known now of a campaign's journeys."""
        return self._world.markets[market].observed(campaign)


class ToldFeed(JourneyFeed):
    """Of one market outside, as it is told interval by interval; channels behind walls say nothing."""

    def __init__(self, scenario: Scenario, campaigns: int) -> None:
        """Nothing is known."""
        super().__init__(scenario)
        self._parts = [[NOTHING] for _ in range(campaigns)]
        self._hours = 0.0

    @property
    def hours(self) -> float:
        """Since the flight's start."""
        return self._hours

    def hear(self, rows: Sequence[JourneyRows], hours: float) -> None:
        """Takes in what became known of every campaign until `hours` after the flight's start."""
        self._hours = hours
        for parts, some in zip(self._parts, rows, strict=True):
            parts.append(some)

    def journeys(self, market: int, campaign: int) -> JourneyLog:
        """What is known now of a campaign's journeys; there is one market."""
        value_usd = self.scenario.values.conversion_usd / self.settings.conversions_per_purchase
        return assembled(self._parts[campaign], self.settings, value_usd)
