"""What every campaign's cells brought against what briefs foretell, read off what campaigns see."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from envs import catalogue as cat
from envs.observation import SCHEMAS, Observation
from envs.response import (
    CLICK_RATE,
    COMPLETION_ELASTICITY,
    SKIP_SHARE,
    VISIBLE_CLICK_FACTOR,
    completion_probability,
)
from envs.state import Float, Int
from policies.evidence import arms_on_air
from policies.policy import Flight

_SCHEMA = SCHEMAS["bidding"]

_SHARES = (0.002, 0.998)
"""Shares of completions between which a response can be told: beyond, no count of them is enough."""
_VISIBLE = np.where(
    cat.NEEDS_SCREEN[cat.ARM_FORMAT][:, None], 1.0, cat.SCREEN_VISIBLE_PROBABILITY
)  # [K, P] chance that the screen was in view


class CellCounts(NamedTuple):
    """One interval's counts: [B, C, S, P] but for `arm`."""

    arm: Int  # [B, C, S] creative that aired in it
    wins: Float  # simulated impressions
    completions: Float  # as tracked
    expected_completions: Float  # that briefs foretell for the creative aired
    skips: Float
    dislikes: Float
    clicks: Float  # as tracked
    expected_clicks: Float  # that briefs foretell for the creative aired
    heard: Float  # simulated impressions that were completed, skipped or left; 0 where none is tracked
    response: Float  # log of what they tell of the response, over what briefs, wear and fatigue foretell
    spend_usd: Float
    most_usd: Float  # that what was won can have cost at the bids that were sent; 0 where none is known

    def of_scripts(self, counts: Float) -> Float:
        """[B, C, V, P] some of the counts by the creative that aired."""
        aired = cat.ARMS[self.arm, 1][..., None] == np.arange(cat.V)  # [B, C, S, V]
        found: Float = np.einsum("bcsv,bcsp->bcvp", aired.astype(np.float64), counts)
        return found


class CellReader:
    """Reads campaigns' observations, interval by interval: counts are of the interval before each."""

    def __init__(self, flight: Flight) -> None:
        """A new flight."""
        self._weight = float(flight.scenario.impression_weight)
        self._arm: Int | None = None
        self._attention: Float
        self._spent: Float  # log of the response that wear and fatigue leave

    def read(self, observation: Observation, bid_usd: Float | None = None) -> CellCounts:
        """Counts of the interval that observations [B, C, ·] tell of; of the flight's first, none.

        `bid_usd` [B, C, S, P] are the bids sent for it (`SpendPlan`), where they are told.
        """

        def view(name: str) -> Float:
            return _SCHEMA.view(observation, name).astype(np.float64)

        on_air, now = arms_on_air(observation), view("attention")
        wear = _of_asset(view("wear"), on_air)
        spent = -view("brief_wear_out")[..., None] * wear - view("fatigue")
        if self._arm is None:
            self._arm, self._attention, self._spent = on_air, now, spent
        arm, attention, before = self._arm, self._attention, self._spent
        effect = np.exp(_taken(view("brief_log_format"), arm, 0) + _taken(view("brief_log_script"), arm, 1))
        wins, predicted = view("wins"), view("predicted_won")
        completions, skips = view("completions"), view("skips")
        there = predicted * cat.ARM_FIT[arm] * attention[:, :, None]  # over all wins
        z = there * effect[..., None]
        each, hazard = z / np.maximum(1.0, wins), cat.ARM_HAZARD[arm][..., None]
        likely = completion_probability(each, hazard)
        boost = 1.0 + (VISIBLE_CLICK_FACTOR - 1.0) * _VISIBLE[arm]
        expected_clicks = CLICK_RATE * cat.ARM_CLICK[arm][..., None] * z * boost
        tracked = (completions > 0.0) & (each > 0.0)
        heard = np.where(tracked, completions + skips / SKIP_SHARE, 0.0)
        share = np.clip(completions / np.where(tracked, heard, 1.0), *_SHARES)
        told = np.log(-np.log(share) / hazard) / -COMPLETION_ELASTICITY
        foretold = np.log(np.where(tracked, each, 1.0)) + before[..., None]
        self._arm, self._attention, self._spent = on_air, now, spent
        return CellCounts(
            arm=arm,
            wins=wins,
            completions=completions,
            expected_completions=self._weight * wins * likely,
            skips=skips,
            dislikes=view("dislikes"),
            clicks=view("clicks"),
            expected_clicks=self._weight * expected_clicks,
            heard=heard / self._weight,
            response=np.where(tracked, told - foretold, 0.0),
            spend_usd=view("spend_usd"),
            most_usd=np.zeros_like(wins) if bid_usd is None else bid_usd * there,
        )


def _of_asset(assets: Float, arm: Int) -> Float:
    """[B, C, S] entries of a table of assets [B, C, S, F, V] at the arms'."""
    at = cat.ARMS[arm, 0] * cat.V + cat.ARMS[arm, 1]
    found: Float = np.take_along_axis(assets.reshape(*arm.shape, -1), at[..., None], -1)[..., 0]
    return found


def _taken(table: Float, arm: Int, part: int) -> Float:
    """[B, C, S] entries of a table [B, C, S, ·] at the arms' format or script."""
    found: Float = np.take_along_axis(table, cat.ARMS[arm, part][..., None], -1)[..., 0]
    return found
