"""A tally of what a campaign's creatives brought so far: raw counts and ratios, no model of responses.

An observation tells of the last interval alone, and a campaign wins about one impression in an interval and
segment: what its assets are worth shows only in the sums. A tally keeps them for an actor without memory.
Axes as in `envs.catalogue`; an asset is a format with a script.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from envs.catalogue import F, P, S, V
from envs.observation import SCHEMAS, Observation
from envs.protocol import MAX_MULTIPLIER_LOG
from envs.state import Float

ASSETS: Final = F * V
ASSET_TALLY: Final = ("wins", "skips", "skips_weighed", "early", "on_air")
"""What is told of every asset: log of impressions, log of skips an impression (0 before the first) and the
same times n / (n + 4), share of impressions with an early call to action, whether it airs now."""
ON_AIR_TALLY: Final = ("wins", "skips", "skips_weighed")
"""What is told again of the asset that airs."""
SEGMENT_TALLY: Final = ASSETS * len(ASSET_TALLY) + len(ON_AIR_TALLY)
CAMPAIGN_TALLY: Final = 3
HALF_WEIGHT_WINS: Final = 4.0
_SCHEMA = SCHEMAS["bidding"]
_LEAST: Final = 1e-3
_FEW_SKIPS: Final = 0.5
_TYPICAL_LOG_SKIPS: Final = np.repeat([1.5, 3.0, 4.0], V)
"""[ASSETS] about where the log of skips an impression lies by format, so that 0 says nothing."""


class Tally:
    """Sums over a flight of B markets with C campaigns each."""

    def start(self) -> None:
        """A flight begins: nothing has aired."""
        self._aired: Float | None = None  # [B, C, S, ASSETS] one-hot of the last interval
        self._early: Float  # [B, C, S, 1]
        self._wins: Float  # [B, C, S, ASSETS]; likewise
        self._skips: Float
        self._early_wins: Float

    def advance(self, observation: Observation) -> tuple[Observation, Observation]:
        """Takes in an interval's observation [B, C, ·]; call once an interval.

        Returns:
            of the campaign [B, C, CAMPAIGN_TALLY]: log of budget left / time left, of the own price level
            and of the money left an interval; of its segments [B, C, S, SEGMENT_TALLY].
        """

        def view(name: str) -> Float:
            return _SCHEMA.view(observation, name).astype(np.float64)

        on_air = view("on_air_format")[..., :, None] * view("on_air_script")[..., None, :]
        on_air = on_air.reshape(*on_air.shape[:-2], ASSETS)
        if self._aired is None:
            self._wins, self._skips, self._early_wins = (np.zeros(on_air.shape) for _ in range(3))
        else:
            wins = view("wins").sum(-1)[..., None] * self._aired
            self._wins += wins
            self._skips += view("skips").sum(-1)[..., None] * self._aired
            self._early_wins += wins * self._early
        self._aired, self._early = on_air, view("on_air_early")[..., None]
        return self._of_campaign(view("budget_left_fraction"), view), self._of_segments(on_air)

    def own_level(self, observation: Observation, level_usd: float) -> Observation:
        """[B, C, 1 + P + S] log-multipliers that bid at the level of the last interval; 0 before any.

        `level_usd` is what a multiplier of 1 bids for a predicted value of 1.
        """
        price = _SCHEMA.view(observation, "marginal_price_usd").astype(np.float64)
        log = np.zeros((*price.shape, 1 + P + S), np.float32)
        log[..., 0] = np.where(price > 0.0, np.log(np.maximum(price, 1e-9) / level_usd), 0.0)
        return np.clip(log, -MAX_MULTIPLIER_LOG, MAX_MULTIPLIER_LOG)

    def _of_campaign(self, left: Float, view: Callable[[str], Float]) -> Observation:
        to_go = 1.0 - view("elapsed_fraction")
        pace = np.log((left + 0.01) / (to_go + 0.01))
        level = np.log(view("marginal_price_usd") + _LEAST)
        money = np.log(view("budget_usd") + 1.0) + pace
        return np.stack([pace, level, money], -1).astype(np.float32)

    def _of_segments(self, on_air: Float) -> Observation:
        n = self._wins
        rate = (self._skips + _FEW_SKIPS) / np.maximum(1.0, n)
        skips = np.where(n > 0.0, np.log(rate) - _TYPICAL_LOG_SKIPS, 0.0)
        weighed = skips * n / (n + HALF_WEIGHT_WINS)
        wins, early = np.log1p(n), self._early_wins / np.maximum(1.0, n)
        now = np.stack([(told * on_air).sum(-1) for told in (wins, skips, weighed)], -1)
        return np.concatenate([wins, skips, weighed, early, on_air, now], -1).astype(np.float32)


def asset_tally(what: str, asset: int) -> int:
    """Column of a segment's tally that tells this of an asset."""
    return ASSET_TALLY.index(what) * ASSETS + asset
