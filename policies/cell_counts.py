"""What every campaign's cells brought against what briefs foretell, read off what campaigns see."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from envs import catalogue as cat
from envs.observation import SCHEMAS, Observation
from envs.response import CLICK_RATE, VISIBLE_CLICK_FACTOR, completion_probability
from envs.state import Float, Int
from policies.evidence import arms_on_air
from policies.policy import Flight

_SCHEMA = SCHEMAS["bidding"]

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

    def read(self, observation: Observation) -> CellCounts:
        """Counts of the interval that observations [B, C, ·] tell of; of the flight's first, none."""

        def view(name: str) -> Float:
            return _SCHEMA.view(observation, name).astype(np.float64)

        on_air, now = arms_on_air(observation), view("attention")
        arm, attention = (on_air, now) if self._arm is None else (self._arm, self._attention)
        effect = np.exp(_taken(view("brief_log_format"), arm, 0) + _taken(view("brief_log_script"), arm, 1))
        wins, predicted = view("wins"), view("predicted_won")
        z = predicted * effect[..., None] * cat.ARM_FIT[arm] * attention[:, :, None]  # over all wins
        likely = completion_probability(z / np.maximum(1.0, wins), cat.ARM_HAZARD[arm][..., None])
        boost = 1.0 + (VISIBLE_CLICK_FACTOR - 1.0) * _VISIBLE[arm]
        expected_clicks = CLICK_RATE * cat.ARM_CLICK[arm][..., None] * z * boost
        self._arm, self._attention = on_air, now
        return CellCounts(
            arm=arm,
            wins=wins,
            completions=view("completions"),
            expected_completions=self._weight * wins * likely,
            skips=view("skips"),
            dislikes=view("dislikes"),
            clicks=view("clicks"),
            expected_clicks=self._weight * expected_clicks,
        )


def _taken(table: Float, arm: Int, part: int) -> Float:
    """[B, C, S] entries of a table [B, C, S, ·] at the arms' format or script."""
    found: Float = np.take_along_axis(table, cat.ARMS[arm, part][..., None], -1)[..., 0]
    return found
