"""The journeys of a batch of markets, interval by interval: which conversions follow from what was served."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from envs.catalogue import S
from envs.dynamics import INITIAL_RECALL
from envs.impressions import ImpressionLog
from envs.journeys.hidden import Hidden, draw_hidden, horizon_hours
from envs.journeys.identity import JourneyLog, JourneyRows, observed, told
from envs.journeys.settings import CELLS, OWN_CELLS, SEARCH
from envs.journeys.touches import (
    MOST,
    WINDOW_HOURS,
    Touches,
    joined,
    meet_elsewhere,
    room_for,
    some,
    touch_people,
)
from envs.journeys.truth import CellTruth, incremental, silenced_alone
from envs.journeys.walk import Minds, new_minds, walk
from envs.scenario import Scenario
from envs.state import Bool, Float, Int, MarketParameters, Outcome


class Conversions(NamedTuple):
    """Conversions of an interval in purchases, of which each conversion is a part; all [B, C, S]."""

    caused: Float  # nobody would have converted without our touches, whenever they do
    reported: Float  # of people known to have been touched by us, whatever the cause
    settled: Float  # such that are still to come at the flight's end


class MarketJourneys:
    """The journeys of one market."""

    def __init__(self, scenario: Scenario, parameters: MarketParameters, b: int) -> None:
        """Of market b: nobody has been touched."""
        settings = scenario.journeys
        if settings is None:
            raise ValueError(f"scenario {scenario.name!r} has no journeys")
        self.settings, self.scenario = settings, scenario
        self._parameters, self._market = parameters, b
        self.hidden: Hidden = draw_hidden(settings, scenario, parameters, b)
        self.campaigns = parameters.affinity.shape[1]
        self._segment = np.repeat(parameters.listener_segment[b], settings.people)
        self._elsewhere = self._meet_elsewhere()
        self._played: list[Touches] = []
        self._minds: Minds = new_minds(self.hidden.organic_hour)
        self._without: Minds = new_minds(self.hidden.organic_hour)
        self._known = np.zeros(len(self.hidden.organic_hour), np.bool_)
        self.hours = 0.0
        self.value_usd = scenario.values.conversion_usd / settings.conversions_per_purchase

    def _meet_elsewhere(self) -> Touches:
        settings, hidden = self.settings, self.hidden
        months = horizon_hours(self.scenario) / WINDOW_HOURS
        room = room_for((3 * MOST + MOST + 1) * len(hidden.organic_hour))
        rates = tuple(rate * months for rate in settings.touches)
        count = meet_elsewhere(
            *(self._parameters.seed[self._market], self.campaigns, settings.organic_search, rates),
            *(settings.retail_intent, hidden.channel_pull, OWN_CELLS, hidden.season),
            *(hidden.organic_hour, room),
        )
        met = some(room, slice(0, count))
        met = some(met, met.hour >= 0.0)
        return some(met, np.argsort(met.hour, kind="stable"))

    def play(self, log: ImpressionLog, rows: Int, t: int, held_share: Float) -> tuple[Int, Int]:
        """Takes people through interval t.

        Args:
            log: the batch's impressions.
            rows: which of them are this market's.
            t: the interval.
            held_share: [C] share of them that is won and not shown.

        Returns:
            Rows of people who would not have converted and now will: as it is, and where nobody meets us.
        """
        m, b, hours = self._parameters, self._market, self.scenario.hours_per_interval
        settings, hidden = self.settings, self.hidden
        most = len(rows) * settings.people
        room = room_for(most)
        count = touch_people(
            *(m.seed[b], t, hours, settings.people, rows, log, m.affinity[b], m.log_arm[b]),
            *(m.conversion[b], hidden.cell_effect),
            (settings.conversions_per_purchase, settings.activity_bias, settings.search_after_touch),
            *(held_share, hidden.organic_hour, room),
        )
        start, end = np.searchsorted(self._elsewhere.hour, [t * hours, (t + 1) * hours])
        now = joined([some(room, slice(0, count)), some(self._elsewhere, slice(start, end))])
        now = some(now, np.argsort(now.hour, kind="stable"))
        self._played.append(now)
        self.hours = (t + 1) * hours
        moved = walk(now, self._minds, self._silenced(()), SEARCH, hidden.search_pull)
        alone = walk(now, self._without, self._silenced(range(OWN_CELLS)), SEARCH, hidden.search_pull)
        linked = hidden.link < settings.match_rate
        ours = (now.cell < OWN_CELLS) & ~now.held_out & linked[now.who % len(linked), now.device]
        self._known[now.who[ours]] = True
        return moved, alone

    def _silenced(self, cells: range | tuple[int, ...]) -> Bool:
        silenced = np.zeros((self.campaigns, CELLS), np.bool_)
        silenced[:, list(cells)] = True
        return silenced

    def reported(self, first_hour: float, end_hour: float) -> Int:
        """Rows of people who convert in the meantime and are known to have been touched by us."""
        converts, linked = self._minds.converts, self.hidden.link < self.settings.match_rate
        who = np.flatnonzero((converts >= first_hour) & (converts < end_hour) & self._known)
        known: Int = who[linked[who % len(linked), self.hidden.conversion_device[who]]]
        return known

    def by_segment(self, who: Int) -> Float:
        """[C, S] how many people of each campaign and segment."""
        people = len(self._segment)
        row = (who // people) * S + self._segment[who % people]
        counts: Float = np.bincount(row, minlength=self.campaigns * S).reshape(-1, S).astype(np.float64)
        return counts

    @property
    def touches(self) -> Touches:
        """All so far, in order of time: hidden, for they know what nobody can (evaluation only)."""
        if len(self._played) != 1:
            self._played = [joined(self._played)]
        return self._played[0]

    def told(self, campaign: int, since_hours: float) -> JourneyRows:
        """What became known of a campaign's journeys after an hour of the flight."""
        known = (self.touches, self._minds.converts, self.hidden, self.settings)
        return told(*known, campaign, since_hours, self.hours)

    def observed(self, campaign: int, match_rate: float | None = None) -> JourneyLog:
        """A campaign's journeys so far as an advertiser sees them."""
        return observed(
            *(self.touches, self._minds.converts, self.hidden, self.settings, campaign, self.hours),
            *(self.value_usd, match_rate),
        )

    @property
    def people(self) -> int:
        """Behind all listeners of the market."""
        return len(self.hidden.link)

    def lost(self) -> Float:
        """[C, cells] conversions so far that silence of that cell alone would cost (evaluation only)."""
        told = (self.touches, self.hidden.organic_hour, self.hidden.search_pull)
        return silenced_alone(*told)

    def truth(self) -> CellTruth:
        """What each cell brought so far, conversions on their way included (evaluation only)."""
        return incremental(self.touches, self.hidden.organic_hour, self.hidden.search_pull)


class JourneyWorld:
    """The journeys of B markets."""

    def __init__(self, scenario: Scenario, parameters: MarketParameters) -> None:
        """At the start of a flight."""
        self.scenario = scenario
        self.markets = [MarketJourneys(scenario, parameters, b) for b in range(len(parameters.seed))]

    def play(self, log: ImpressionLog, t: int, held_share: Float) -> Conversions:
        """Plays interval t of all markets; `held_share` is [B, C]."""
        scenario, settings = self.scenario, self.scenario.journeys
        assert settings is not None
        hours, last = scenario.hours_per_interval, t == scenario.intervals - 1
        weight = scenario.impression_weight / settings.people / settings.conversions_per_purchase
        edges = np.searchsorted(log.market, np.arange(len(self.markets) + 1))
        caused, reported, settled = ([] for _ in range(3))
        for b, market in enumerate(self.markets):
            rows = np.arange(edges[b], edges[b + 1])
            moved, alone = market.play(log, rows, t, held_share[b])
            caused.append(market.by_segment(moved) - market.by_segment(alone))
            reported.append(market.by_segment(market.reported(t * hours, (t + 1) * hours)))
            rest = market.reported((t + 1) * hours, np.inf if last else 0.0)
            settled.append(market.by_segment(rest))
        return Conversions(*(weight * np.stack(each) for each in (caused, reported, settled)))


def with_journeys(outcome: Outcome, found: Conversions, held_share: Float) -> Outcome:
    """The interval's outcome with the conversions of journeys in the place of the market's own.

    Ghost ads stand on the account: they are paid for and bring nothing. Another spot airs in their place,
    so that the ad load stays; what repetition does to listeners is left as if they had been shown.

    Args:
        outcome: as the market played it.
        found: conversions of the interval.
        held_share: [B, C] share of impressions that was won and not shown.
    """
    shown = (1.0 - held_share)[..., None, None]
    valid_usd = outcome.spend_usd - outcome.wasted_usd
    counts = ("completions", "skips", "dislikes", "clicks")
    heard = {name: getattr(outcome, name) * shown for name in counts}
    recall = {
        name: INITIAL_RECALL + shown[..., 0] * (getattr(outcome, name) - INITIAL_RECALL)
        for name in ("recall_before", "recall")
    }
    return outcome._replace(
        wasted_usd=outcome.wasted_usd + (1.0 - shown) * valid_usd,
        conversions_caused=found.caused,
        conversions=found.reported,
        conversions_settled=found.settled,
        **(heard | recall if held_share.any() else {}),
    )
