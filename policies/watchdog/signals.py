"""What the watchdog watches: for every kind of alert, counts against what was to be expected.

A signal belongs to a placement [B, P], a campaign [B, C] or a whole market [B, 1], as the incident does. What is
to be expected comes from briefs (clicks, completions), from traffic now and from the flight so far: so hours,
events and levels are removed, and what is left is a ratio that should be 1. Counts of impressions are in
impressions won (`wins`), each of which stands for `impression_weight` real ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

import numpy as np

from envs.catalogue import ALERT_KINDS, INCIDENTS_ON_PLACEMENTS, MAX_CAMPAIGNS, P
from envs.observation import SCHEMAS, Observation
from envs.response import DELAY_HOURS, DELAY_SHARE, kept
from envs.scenario import Scenario
from envs.state import Bool, Float

Scope = Literal["placement", "campaign", "market"]
KINDS: Final = ALERT_KINDS[1:]
SCOPE: Final[dict[str, Scope]] = {
    kind: "placement" if kind in INCIDENTS_ON_PLACEMENTS else "market" if kind == "rival_surge" else "campaign"
    for kind in KINDS
}
PLACES: Final[dict[Scope, int]] = {"placement": P, "campaign": MAX_CAMPAIGNS, "market": 1}
_SCHEMA = SCHEMAS["monitor"]
_CLICKS_OF_INVALID: Final = 5.0
"""Clicks of an invalid impression of weight 250, as past cases showed: robots click two times in a hundred."""
_EVENT_BIDS: Final = 1.6
"""How much more is bought while the announced event lasts: attention, and so every bid, is higher."""


class Signal(NamedTuple):
    """One kind's counts of an interval."""

    observed: Float  # [B, places]
    expected: Float  # [B, places], 0 where nothing can be known


class Baseline:
    """What a count per unit of exposure has been: fading sums, some intervals old, with a prior.

    Counts enter `LAG` intervals late and not at all while an episode runs, so that a fault does not become the
    new normal before it is found.
    """

    LAG = 3

    def __init__(self, prior: float, strength: float, memory: float = 0.95) -> None:
        """`prior` is the rate before anything is known, worth `strength` units of exposure."""
        self.prior, self.strength, self.memory = prior, strength, memory

    def start(self, shape: tuple[int, ...]) -> None:
        """Forgets everything."""
        self._count, self._exposure = np.zeros(shape), np.zeros(shape)
        self._waiting: list[tuple[Float, Float]] = []

    @property
    def rate(self) -> Float:
        """[*shape] count per unit of exposure."""
        rate: Float = (self.prior * self.strength + self._count) / (self.strength + self._exposure)
        return rate

    @property
    def exposure(self) -> Float:
        """[*shape] how much is known."""
        return self._exposure

    def learn(self, count: Float, exposure: Float, troubled: Bool) -> None:
        """Takes an interval in; `troubled` [*shape] leaves out what waits."""
        self._waiting.append((count, exposure))
        for waiting in self._waiting:
            for part in waiting:
                part[troubled] = 0.0
        if len(self._waiting) > self.LAG:
            count, exposure = self._waiting.pop(0)
            self._count = self.memory * self._count + count
            self._exposure = self.memory * self._exposure + exposure


class Signals:
    """Reads the monitor's observations of a flight, interval by interval."""

    def __init__(self, scenario: Scenario) -> None:
        """For a scenario's weights, hours and listeners, which everybody knows."""
        self.weight, self.listeners = float(scenario.impression_weight), float(scenario.listeners.count)
        hours = scenario.hours_per_interval
        self._released = 1.0 - np.asarray(kept(hours, np.array(DELAY_HOURS)))
        self._baselines = {
            "price": Baseline(0.0, 1e-9),
            "wins": Baseline(0.0, 1e-9, 0.9),
            "cost": Baseline(0.0, 1e-9),
            "spend": Baseline(0.0, 1e-9, 0.9),
            "dislikes": Baseline(0.5, 4.0, 0.8),
            "clicks": Baseline(1.0, 4.0),
            "losses": Baseline(1.0, 10.0, 0.9),
            "conversions": Baseline(0.04, 10.0),
        }

    def start(self, markets: int) -> None:
        """A new flight of so many markets."""
        for name, baseline in self._baselines.items():
            by_place = name in ("wins", "spend")
            shape = {"price": (markets, P)}.get(name, (markets, MAX_CAMPAIGNS))
            baseline.start((*shape, P) if by_place else shape)
        self._pool = np.zeros((markets, MAX_CAMPAIGNS, len(DELAY_HOURS)))
        self._frequency = np.zeros((markets, MAX_CAMPAIGNS))

    def read(self, observation: Observation, let: Float, troubled: Mapping[str, Bool]) -> dict[str, Signal]:
        """Every kind's counts in the interval that an observation tells of.

        Args:
            observation: [B, 1, size] the monitor's.
            let: [B, C, P] factor on bids that was in force, 0 = paused: what was not let happen is not missed.
            troubled: for every kind, [B, places] where an episode runs; its counts teach nothing.
        """
        row = observation[:, 0].astype(np.float64)

        def view(name: str) -> Float:
            field: Float = _SCHEMA.view(row, name)
            return field

        wins, spend_usd, opportunities = view("wins"), view("spend_usd"), view("opportunities")
        clicks, completions = view("clicks"), view("completions")
        expected_clicks, expected_completions = view("expected_clicks"), view("expected_completions")
        event = np.where(view("event_active") > 0.5, _EVENT_BIDS, 1.0)[:, None]
        dark_places = troubled["invalid_traffic"] | troubled["tracking_outage"]  # [B, P]
        light = (~dark_places)[:, None, :]
        ill = {kind: troubled[kind] for kind in KINDS}
        anything_ill = np.zeros(wins.shape[:2], bool)
        for kind in ("overspend", "silent_agent"):
            anything_ill |= ill[kind]
        anything_ill |= (let < 1.0).any(2)
        found: dict[str, Signal] = {}

        bought = wins.sum(1)  # [B, P]
        lost = np.maximum(0.0, expected_completions - completions).sum(1) / self.weight
        per_invalid = _CLICKS_OF_INVALID * self.weight / 250.0
        found["invalid_traffic"] = Signal(np.minimum(clicks.sum(1) / per_invalid, lost), 0.03 * bought)
        dark = (completions.sum(1) == 0.0) & (clicks.sum(1) == 0.0)
        found["tracking_outage"] = Signal(np.where(dark, bought, 0.0), 0.06 * bought)

        price = view("price_usd")
        priced = price > 0.0
        price = np.where(priced, price, 0.0).sum(1) / np.maximum(1, priced.sum(1))
        prices = self._baselines["price"]
        known = (prices.exposure > 0.0) & (price > 0.0)
        number = np.where(known, opportunities * np.array([0.12, 0.29, 0.69]), 0.0)
        relative = np.where(known, price / np.maximum(1e-9, prices.rate), 0.0)
        found["rival_surge"] = Signal(
            (number * relative).sum(1, keepdims=True), number.sum(1, keepdims=True)
        )
        seen = np.where(price > 0.0, opportunities, 0.0)
        prices.learn(price * seen, seen, np.broadcast_to(ill["rival_surge"], price.shape))

        let_in = opportunities[:, None] * np.minimum(let, 1.0) * event[..., None]
        offered = np.broadcast_to(opportunities[:, None], wins.shape).copy()
        rate, cost = self._baselines["wins"], self._baselines["cost"]
        usual = np.where(rate.exposure > 0.0, rate.rate, 0.0)
        may_buy = view("budget_left_fraction") > 0.01
        found["silent_agent"] = Signal(
            wins.sum(2), np.where(may_buy, (usual * let_in / event[..., None]).sum(2), 0.0)
        )
        money = self._baselines["spend"]
        per_win = np.where(cost.exposure > 0.0, cost.rate, 0.0)
        usual_usd = np.where(money.exposure > 0.0, money.rate, 0.0)
        foreseen = (usual_usd * let_in).sum(2)
        knows = (per_win > 0.0) & (foreseen > 0.0)
        scale = np.where(knows, per_win, 1.0)
        found["overspend"] = Signal(
            np.where(knows, spend_usd.sum(2) / scale, 0.0), np.where(knows, foreseen / scale + 0.5, 0.0)
        )
        by_cell = np.broadcast_to(anything_ill[..., None], wins.shape)
        rate.learn(wins.copy(), offered, by_cell)
        money.learn(spend_usd / event[..., None], offered.copy(), by_cell)
        cost.learn(spend_usd.sum(2), wins.sum(2), ill["overspend"] | ill["silent_agent"])

        frequency = view("frequency")
        found["frequency_breach"] = Signal(
            np.maximum(0.0, frequency - self._frequency) * self.listeners, wins.sum(2)
        )
        self._frequency = frequency

        dislikes = self._baselines["dislikes"]
        heard = wins.sum(2)
        found["dislike_surge"] = Signal(view("dislikes").sum(2), dislikes.rate * heard)
        dislikes.learn(view("dislikes").sum(2), heard.copy(), ill["dislike_surge"])

        answered = self._baselines["clicks"]
        n, foretold = (clicks * light).sum(2), (expected_clicks * light).sum(2)
        found["ctr_drop"] = Signal(n, answered.rate * foretold)
        answered.learn(n.copy(), foretold.copy(), ill["ctr_drop"])

        losses = self._baselines["losses"]
        left = np.maximum(0.0, self.weight * wins - completions) * light
        might_leave = np.maximum(0.0, self.weight * wins - expected_completions) * light
        found["creative_burn_out"] = Signal(left.sum(2), losses.rate * might_leave.sum(2))
        losses.learn(left.sum(2), might_leave.sum(2), ill["creative_burn_out"])

        self._pool += heard[..., None] * np.array(DELAY_SHARE)
        due = (self._pool * self._released).sum(2)
        self._pool *= 1.0 - self._released
        converted = self._baselines["conversions"]
        conversions = view("conversions")
        found["cpa_breach"] = Signal(conversions, converted.rate * due)
        converted.learn(conversions.copy(), due, ill["cpa_breach"])
        return found
