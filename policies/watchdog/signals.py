"""What the watchdog watches: for every kind of alert, counts against what was to be expected.

A signal belongs to a placement [B, P], a campaign [B, C] or a whole market [B, 1], as the incident does. What
is to be expected comes from briefs (clicks, completions), from traffic now, from the flight so far and from
the hour: so season, events and levels are removed, and what is left is a ratio that should be 1. Counts of
impressions are in impressions won (`wins`), each of which stands for `impression_weight` real ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

import numpy as np

from envs.catalogue import (
    ALERT_KINDS,
    ARMS,
    INCIDENTS_ON_CREATIVES,
    INCIDENTS_ON_PLACEMENTS,
    MAX_CAMPAIGNS,
    P,
    V,
)
from envs.observation import SCHEMAS, Observation
from envs.response import DELAY_HOURS, DELAY_SHARE, SKIP_SHARE, kept
from envs.scenario import Scenario
from envs.state import Bool, Float
from policies.cell_counts import CellCounts
from policies.watchdog.baseline import Baseline

Scope = Literal["placement", "campaign", "creative", "market"]
KINDS: Final = ALERT_KINDS[1:]
SCOPE: Final[dict[str, Scope]] = {
    kind: "placement"
    if kind in INCIDENTS_ON_PLACEMENTS
    else "market"
    if kind == "rival_surge"
    else "creative"
    if kind in INCIDENTS_ON_CREATIVES
    else "campaign"
    for kind in KINDS
}
PLACES: Final[dict[Scope, int]] = {
    "placement": P,
    "campaign": MAX_CAMPAIGNS,
    "creative": MAX_CAMPAIGNS * V,
    "market": 1,
}
_SCHEMA = SCHEMAS["monitor"]
_CLICKS_OF_INVALID: Final = 5.0
"""Clicks of an invalid impression of weight 250, as past cases showed: robots click twice in a hundred."""
_PRICED: Final = np.array([0.12, 0.29, 0.69])
"""[P] about which share of a placement's opportunities has a price that could be met."""
_PRICE_JUMP: Final = 0.5
"""Log factor at which a placement's price is cut: a mean of few prices is wild."""
_DISLIKES_OF_LOSS, _CLICKS_OF_LOSS = 2.2, -1.2
"""How dislikes and clicks go with skips: a weak response brings more dislikes and skips, and fewer clicks."""
ALIKE: Final = {"dislikes": 100.0, "clicks": 60.0, "response": 5.0}
"""How far creatives of one campaign are taken to be alike, in units of exposure: wins, clicks, and responses
of variance 1."""
_SPREAD: Final = (0.2, 1.0)
"""Variance of a cell's log response: of the cell, and over impressions heard of each, on clean flights."""
_JUMP: Final = 1.0
"""Where a cell's log response is cut, from what is usual: it may be one listener's."""
_SUSPECT: Final = 0.3
"""Share of a placement's impressions that robots clicked, or that left no trace, beyond which it tells of
nothing else."""
_OVER_BID: Final = 1.01
"""Factor on what bids allow beyond which more was paid: what is seen is rounded."""


class Signal(NamedTuple):
    """One kind's counts of an interval."""

    observed: Float  # [B, places]
    expected: Float  # [B, places], 0 where nothing can be known


class Signals:
    """Reads the monitor's observations of a flight, interval by interval."""

    def __init__(self, scenario: Scenario, season: Mapping[str, Sequence[float]] | None = None) -> None:
        """For a scenario's weights, hours and listeners, which everybody knows.

        Args:
            scenario: of the flight.
            season: by kind, coefficients of `harmonics` in the log of what is to be expected by hour.
        """
        self.weight, self.listeners = float(scenario.impression_weight), float(scenario.listeners.count)
        self.season = {kind: np.array(coefficients) for kind, coefficients in (season or {}).items()}
        hours = scenario.hours_per_interval
        self._released = 1.0 - np.asarray(kept(hours, np.array(DELAY_HOURS)))
        self._price = Baseline(0.0, 0.0, memory=0.8, lag=4)
        self._wins = Baseline(0.0, 0.0)
        self._dislikes = Baseline(0.5, 4.0, cap=4.0, alike=ALIKE["dislikes"], axis=2)
        self._clicks = Baseline(1.0, 3.0, cap=3.0, alike=ALIKE["clicks"], axis=2)
        self._response = Baseline(1.0, 1.0, memory=1.0, alike=ALIKE["response"], axis=2)
        self._conversions = Baseline(0.1, 5.0, memory=0.95)

    def start(self, markets: int) -> None:
        """A new flight of so many markets."""
        cells, campaigns = (markets, MAX_CAMPAIGNS, P), (markets, MAX_CAMPAIGNS)
        self._price.start((markets, P))
        self._wins.start(cells)
        for baseline in (self._dislikes, self._clicks):
            baseline.start((*campaigns, V, P))
        self._response.start((*campaigns, V))
        self._conversions.start(campaigns)
        self._pool = np.zeros((*campaigns, len(DELAY_HOURS)))
        self._frequency, self._left = np.zeros(campaigns), np.ones(campaigns)

    def read(
        self,
        observation: Observation,
        let: Float,
        troubled: Mapping[str, Bool],
        counts: CellCounts | None = None,
    ) -> dict[str, Signal]:
        """Every kind's counts in the interval that an observation tells of.

        Args:
            observation: [B, 1, size] the monitor's.
            let: [B, C, P] factor on bids that was in force, 0 = paused: what was kept away is not missed.
            troubled: for every kind, [B, places] where an episode runs; its counts teach nothing.
            counts: of campaigns' cells; without them nothing is known of single creatives.
        """
        row = observation[:, 0].astype(np.float64)
        seen = {field.name: _SCHEMA.view(row, field.name) for field in _SCHEMA.fields}
        frauds = self._frauds(seen)
        dark = troubled["invalid_traffic"] | troubled["tracking_outage"]  # [B, P]
        for signal in frauds.values():
            dark = dark | (signal.observed > _SUSPECT * seen["wins"].sum(1))
        held = troubled["overspend"] | troubled["silent_agent"] | (let < 1.0).any(2)
        found = {
            **frauds,
            "rival_surge": self._prices(seen, troubled["rival_surge"]),
            "silent_agent": self._bought(seen, let, held),
            "overspend": _overpaid(counts, len(dark)),
            "frequency_breach": self._hearings(seen),
            **self._answers(counts, dark, troubled),
            "cpa_breach": self._purchases(seen, troubled["cpa_breach"]),
        }
        factor = harmonics(seen["hour_sine"], seen["hour_cosine"])
        return {
            kind: Signal(found[kind].observed, found[kind].expected * self._seasonal(kind, factor))
            for kind in KINDS
        }

    def _seasonal(self, kind: str, factor: Float) -> Float | float:
        return np.exp(factor @ self.season[kind])[:, None] if kind in self.season else 1.0

    def _frauds(self, seen: _Seen) -> dict[str, Signal]:
        """By placement, impressions that clicked and were not completed, and those without any trace."""
        bought, clicks = seen["wins"].sum(1), seen["clicks"].sum(1)
        lost = np.maximum(0.0, seen["expected_completions"] - seen["completions"]).sum(1) / self.weight
        per_invalid = _CLICKS_OF_INVALID * self.weight / 250.0
        unseen = (seen["completions"].sum(1) == 0.0) & (clicks == 0.0)
        return {
            "invalid_traffic": Signal(np.minimum(clicks / per_invalid, lost), 0.03 * bought),
            "tracking_outage": Signal(np.where(unseen, bought, 0.0), 0.06 * bought),
        }

    def _prices(self, seen: _Seen, troubled: Bool) -> Signal:
        """Of the market: prices over what they were, each as heavy as prices are many."""
        prices, there = seen["price_usd"], seen["price_usd"] > 0.0
        price = np.where(there, prices, 0.0).sum(1) / np.maximum(1, there.sum(1))
        log = np.where(price > 0.0, np.log(np.maximum(price, 1e-9)), 0.0)
        usual = self._price.rate
        number = np.where((usual != 0.0) & (price > 0.0), seen["opportunities"] * _PRICED, 0.0)
        relative = np.exp(np.clip(log - usual, -_PRICE_JUMP, _PRICE_JUMP))
        weight = np.where(price > 0.0, seen["opportunities"], 0.0)
        self._price.learn(log * weight, weight, np.broadcast_to(troubled, weight.shape))
        return Signal((number * relative).sum(1, keepdims=True), number.sum(1, keepdims=True))

    def _bought(self, seen: _Seen, let: Float, held: Bool) -> Signal:
        """By campaign, impressions won against habit."""
        wins = seen["wins"]
        offered = np.broadcast_to(seen["opportunities"][:, None], wins.shape)
        usual = (self._wins.usual(offered) * let).sum(2)
        found = Signal(wins.sum(2), np.where(self._left > 0.01, usual, 0.0))
        self._wins.learn(wins, offered, np.broadcast_to(held[..., None], wins.shape))
        self._left = seen["budget_left_fraction"]
        return found

    def _hearings(self, seen: _Seen) -> Signal:
        """By campaign, exposures of listeners against impressions won: one each."""
        risen = np.maximum(0.0, seen["frequency"] - self._frequency) * self.listeners
        self._frequency = seen["frequency"]
        return Signal(risen, seen["wins"].sum(2))

    def _answers(
        self, counts: CellCounts | None, dark: Bool, troubled: Mapping[str, Bool]
    ) -> dict[str, Signal]:
        """By creative, dislikes, clicks and skips, where they are tracked and honest."""
        if counts is None:
            nothing = np.zeros((len(dark), PLACES["creative"]))
            return {kind: Signal(nothing, nothing) for kind in KINDS if SCOPE[kind] == "creative"}
        light = (~dark)[:, None, None, :]

        def of(cells: Float) -> Float:
            """[B, MAX_CAMPAIGNS, V, P] in the light."""
            found = np.zeros((len(dark), MAX_CAMPAIGNS, V, P))
            found[:, : cells.shape[1]] = counts.of_scripts(cells)
            return found * light

        wins, clicks, dislikes = of(counts.wins), of(counts.clicks), of(counts.dislikes)
        foretold = np.maximum(0.0, self.weight * wins - of(counts.expected_completions))
        weaker = (of(counts.skips) + 5.0) / (SKIP_SHARE * foretold + 5.0)  # responses than foretold
        heard = wins * np.clip(weaker**_DISLIKES_OF_LOSS, 0.1, 20.0)
        answering = of(counts.expected_clicks) * np.clip(weaker**_CLICKS_OF_LOSS, 0.2, 4.0)
        found = {
            "dislike_surge": _cut(self._dislikes, dislikes, heard),
            "ctr_drop": _cut(self._clicks, clicks, answering),
            "creative_burn_out": self._responses(counts, light, troubled["creative_burn_out"]),
        }
        self._dislikes.learn(dislikes, heard, _cells(troubled["dislike_surge"], wins.shape))
        self._clicks.learn(clicks, answering, _cells(troubled["ctr_drop"], wins.shape))
        return found

    def _responses(self, counts: CellCounts, light: Bool, burnt: Bool) -> Signal:
        """By creative, lost response in counts: the usual ones are what evidence weighs, and their variance.

        A cell's log response r, of variance v, counts (1 + usual − r) / v against 1 / v.
        """
        of_cell, of_impression = _SPREAD
        known = light & (counts.heard > 0.0)
        heard = np.where(known, counts.heard, 1.0)
        weight = np.where(known, heard / (of_cell * heard + of_impression), 0.0)
        whole = (len(weight), MAX_CAMPAIGNS, V)
        usual = 1.0 - self._response.rate  # of log responses
        at = np.take_along_axis(usual[:, : weight.shape[1]], ARMS[counts.arm, 1], 2)[..., None]
        lost = np.clip(at - counts.response, -_JUMP, _JUMP)

        def of(cells: Float) -> Float:
            found = np.zeros(whole)
            found[:, : cells.shape[1]] = counts.of_scripts(cells).sum(3)
            return found

        exposure = of(weight)
        found = Signal(_flat(of(weight * (1.0 + lost))), _flat(exposure))
        self._response.learn(of(weight * (1.0 - counts.response)), exposure, burnt.reshape(whole))
        return found

    def _purchases(self, seen: _Seen, troubled: Bool) -> Signal:
        """By campaign, conversions reported, against those that impressions so far should now be bringing."""
        self._pool += seen["wins"].sum(2)[..., None] * np.array(DELAY_SHARE)
        due = (self._pool * self._released).sum(2)
        self._pool *= 1.0 - self._released
        usual = self._conversions.usual(due)
        self._conversions.learn(seen["conversions"], due, troubled)
        return Signal(seen["conversions"], usual)


_Seen = Mapping[str, Float]


def harmonics(sine: Float, cosine: Float) -> Float:
    """[B, 4] the day's first two harmonics of the clock's sine and cosine [B]."""
    return np.stack([sine, cosine, 2.0 * sine * cosine, cosine**2 - sine**2], -1)


def _overpaid(counts: CellCounts | None, markets: int) -> Signal:
    """By campaign, impressions of cells that cost more than was bid for them: nobody pays more than he bids.

    One of them is proof, whatever is usual; nothing is known where bids are not told.
    """
    over, known = np.zeros((markets, MAX_CAMPAIGNS)), np.zeros((markets, MAX_CAMPAIGNS))
    if counts is not None:
        campaigns, told = counts.wins.shape[1], counts.most_usd > 0.0
        beyond = told & (counts.spend_usd > _OVER_BID * counts.most_usd)
        over[:, :campaigns] = (counts.wins * beyond).sum((2, 3))
        known[:, :campaigns] = (counts.wins * told).sum((2, 3))
    return Signal(over, 0.01 * known)


def _cut(baseline: Baseline, count: Float, exposure: Float) -> Signal:
    return Signal(_flat(baseline.cut(count, exposure, 1.0).sum(3)), _flat(baseline.usual(exposure).sum(3)))


def _flat(by_creative: Float) -> Float:
    """[B, MAX_CAMPAIGNS, V] as places [B, MAX_CAMPAIGNS · V]."""
    return by_creative.reshape(len(by_creative), -1)


def _cells(by_creative: Bool, shape: tuple[int, ...]) -> Bool:
    return np.broadcast_to(by_creative.reshape(-1, MAX_CAMPAIGNS, V, 1), shape)
