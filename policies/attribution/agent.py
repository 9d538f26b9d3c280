"""attribution_0: the sixth role, which tells the others what a touch of each placement × format brought."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from envs import response as res
from envs.catalogue import MAX_CAMPAIGNS, F, P
from envs.errors import ConfigurationError, UnknownNameError
from envs.journeys.feed import JourneyFeed
from envs.journeys.identity import JourneyLog
from envs.journeys.settings import CELLS, OWN_CELLS, JourneySettings
from envs.protocol import CREDIT_BOUNDS, CellCredit
from envs.state import Float
from policies.attribution.journeys import AttributionModel, Journeys
from policies.attribution.models import MODELS, make_model
from policies.attribution.windows import Windows
from policies.policy import Flight

EVERY_DAYS: Final = 3.5
HOLD_OUT: Final = 0.1
"""Share of impressions that a model which measures by ghost ads has won and not shown."""
HOLD_OUT_DAYS: Final = 7.0
"""For so long, from the flight's start: what is learned later is of use for less."""
MEASURES: Final = ("incrementality",)
"""Models that need a hold-out."""
TRUTH: Final = "truth"
"""True credit, by silencing: evaluation only."""
ATTRIBUTION_NAMES: Final = (*MODELS, TRUTH)
STAND_IN: Final = "linear"
"""The model that stands in for an attribution agent that fails: plain, quick, and it holds nothing out."""


def windows_of(settings: JourneySettings) -> Windows:
    """A scenario's attribution windows."""
    return Windows(24.0 * settings.view_window_days, 24.0 * settings.click_window_days)


def journeys_of(log: JourneyLog) -> Journeys:
    """A campaign's report as models take it."""
    return Journeys(
        log.offset, log.cell, log.hour, log.clicked, log.held_out, log.conversion_hour, log.value_usd
    )


def matured(age_hours: Float) -> Float:
    """Share of the conversions of touches of some age that have happened by now: the market's delays."""
    share = np.array(res.DELAY_SHARE)
    return np.asarray((share * -np.expm1(-age_hours[..., None] / np.array(res.DELAY_HOURS))).sum(-1))


class Attribution:
    """Runs an attribution model over each campaign's journeys every few days."""

    privileged = False

    def __init__(
        self,
        model: str,
        hold_out: float | None = None,
        hold_out_days: float = HOLD_OUT_DAYS,
        every_days: float = EVERY_DAYS,
    ) -> None:
        """Of a model by name.

        Args:
            model: a key of `MODELS`.
            hold_out: share of ghost ads; None is what the model needs.
            hold_out_days: for how long.
            every_days: between two runs.
        """
        self.name, self.every_days, self.hold_out_days = model, every_days, hold_out_days
        self.hold_out = (HOLD_OUT if model in MEASURES else 0.0) if hold_out is None else hold_out

    def start(self, flight: Flight) -> None:
        """A new flight.

        Raises:
            ConfigurationError: the scenario has no journeys.
        """
        if flight.journeys is None:
            raise ConfigurationError(
                f"attribution={self.name} needs a scenario with journeys, such as attribution; "
                f"{flight.scenario.name!r} has none"
            )
        self._flight, self._feed = flight, flight.journeys
        self._every = max(1, round(24.0 * self.every_days / flight.scenario.hours_per_interval))
        self._interval = 0
        self._model: AttributionModel = self._made(flight.journeys)
        self._said = self._nothing()

    def _made(self, feed: JourneyFeed) -> AttributionModel:
        return make_model(self.name, windows_of(feed.settings))

    def _nothing(self) -> CellCredit:
        """Before anything is known; the hold-out begins at once."""
        cells = (self._flight.num_markets, MAX_CAMPAIGNS, P, F)
        hold_out = np.full(cells[:2], self.hold_out)
        return CellCredit(np.zeros(cells), np.zeros(cells), np.zeros(cells), hold_out)

    def act(self, observation: Any) -> CellCredit:
        """The message [B, MAX_CAMPAIGNS, ·]; the observation tells it nothing that journeys do not."""
        if self._interval and self._interval % self._every == 0:
            said = self._nothing()
            for b in range(self._flight.num_markets):
                for c in range(self._flight.num_campaigns):
                    rate, deviation, touches = self.rates(b, c)
                    said.conversions_per_touch[b, c] = rate.reshape(P, F)
                    said.deviation[b, c] = deviation.reshape(P, F)
                    said.touches[b, c] = touches.reshape(P, F)
            self._said = said
        if 24.0 * self.hold_out_days <= self._interval * self._flight.scenario.hours_per_interval:
            self._said = self._said._replace(hold_out=np.zeros_like(self._said.hold_out))
        self._interval += 1
        return self._said

    def rates(self, market: int, campaign: int) -> tuple[Float, Float, Float]:
        """Purchases per real impression, standard error and impressions of every cell [P · F].

        Touches count by the share of their conversions that can have come by now, so that new ones do not
        look idle.
        """
        feed = self._feed
        journeys = journeys_of(feed.journeys(market, campaign))
        shown = ~journeys.held_out
        age = matured(np.maximum(0.0, feed.hours - journeys.hour))
        ripe = np.asarray(np.bincount(journeys.cell[shown], age[shown], CELLS), np.float64)[:OWN_CELLS]
        credit = self._model.credit(journeys, CELLS)
        return self._per_impression(credit.conversions[:OWN_CELLS], credit.deviation[:OWN_CELLS], ripe)

    def _per_impression(
        self, conversions: Float, deviation: Float, touches: Float
    ) -> tuple[Float, Float, Float]:
        known = touches > 0.0
        factor = np.where(known, self._feed.purchases_per_impression / np.where(known, touches, 1.0), 0.0)
        high = CREDIT_BOUNDS["deviation"].high
        rate = np.clip(conversions * factor, 0.0, CREDIT_BOUNDS["conversions_per_touch"].high)
        error = np.clip(deviation * factor, 0.0, high)
        return rate, error, np.where(known, touches * self._feed.impressions_per_touch, 0.0)


class TrueCredit(Attribution):
    """What silencing each cell would have cost so far, per impression: privileged, evaluation only."""

    privileged = True

    def __init__(self) -> None:
        """Holds nothing out."""
        super().__init__(TRUTH, 0.0)

    def start(self, flight: Flight) -> None:
        """Needs a privileged flight."""
        super().start(flight)
        if flight.market is None or flight.market.journeys is None:
            raise ValueError("true credit reads the hidden truth: it needs a flight with market=…")
        self._world = flight.market.journeys

    def _made(self, feed: JourneyFeed) -> AttributionModel:
        return make_model("last")  # never asked

    def rates(self, market: int, campaign: int) -> tuple[Float, Float, Float]:
        """As of a model, without error; conversions on their way are known, so that no touch is young."""
        world = self._world.markets[market]
        lost = world.lost()[campaign, :OWN_CELLS]
        own = world.touches.who // world.people == campaign
        met = world.touches.cell[own & ~world.touches.held_out]
        touches = np.bincount(met, minlength=CELLS)[:OWN_CELLS].astype(np.float64)
        return self._per_impression(lost, np.sqrt(np.maximum(1.0, lost)), touches)


def make_attribution(name: str) -> Attribution:
    """An attribution policy by the name of its model, or `truth`.

    Raises:
        UnknownNameError: no such model; the valid names are listed.
    """
    if name not in ATTRIBUTION_NAMES:
        raise UnknownNameError("attribution", name, ATTRIBUTION_NAMES)
    return TrueCredit() if name == TRUTH else Attribution(name)
