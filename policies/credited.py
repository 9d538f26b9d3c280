"""What a desk makes of the attribution agent's message: factors on conversions that it expects of cells."""

from __future__ import annotations

from typing import Final

import numpy as np

from envs import catalogue as cat
from envs import response as res
from envs.journeys.settings import ELIGIBLE_CELLS
from envs.protocol import CellCredit
from envs.state import Bool, Float
from policies.evidence import Evidence
from policies.valuation import ATTENTIVE_SHARE, Estimate

SPREAD: Final = 0.7
"""Of cells' true factors around their campaign's, as a share of it: what is believed before any credit."""
LEVEL_SPREAD: Final = 1.0
"""Of campaigns' factors around 1."""
LOWEST, HIGHEST = 0.05, 10.0
CREDIT: Final = 2 * len(ELIGIBLE_CELLS)
"""Numbers of a campaign by which networks see credit: log ratios of cells, then how sure each is."""


class CellFactors:
    """Credited conversions against those that a desk expected of the same cells, rows M = B × C.

    A cell's factor is credited / expected per impression, shrunk by its standard error towards its campaign's
    factor, and that towards 1: normal beliefs on both levels. Where credit is heard it takes the place of
    what reported conversions say of a campaign: they are of people who would have bought anyway, too.
    """

    def __init__(self, rows: int) -> None:
        """Nothing was shown and nothing heard."""
        self.expected = np.zeros((rows, cat.P, cat.F))
        self.shown = np.zeros((rows, cat.P, cat.F))
        self._credit: CellCredit | None = None

    def read(self, credit: CellCredit) -> None:
        """Hears a message."""
        self._credit = credit

    def note(self, before: Evidence, now: Evidence, estimate: Estimate) -> None:
        """Takes in an interval's impressions, and what the estimate expects of them per real impression."""
        arm = before.arm
        z = np.take_along_axis(estimate.response, arm[..., None], -1) * cat.ARM_FIT[arm]
        z = z * before.attention[:, None]  # [M, S, P]
        opened = res.FUNNEL_BASE + res.FUNNEL_SLOPE * np.maximum(0.0, estimate.funnel)
        rate = ATTENTIVE_SHARE * res.CONVERSION_RATE * now.brief_conversion[:, None] * opened
        bought = now.wins * z * (rate * cat.ARM_CONVERSION[arm])[..., None]
        for f in range(cat.F):
            airs = (cat.ARM_FORMAT[arm] == f)[..., None]
            self.expected[..., f] += np.where(airs, bought, 0.0).sum(1)
            self.shown[..., f] += np.where(airs, now.wins, 0.0).sum(1)

    def applied(self, estimate: Estimate, now: Evidence) -> Estimate:
        """The estimate with factors by cell; as it is where nobody attributes."""
        if self._credit is None:
            return estimate
        return estimate._replace(conversion=now.brief_conversion, credit=self.factors())

    def factors(self) -> Float:
        """[M, P, F] by the last message."""
        known, ratio, error = self._against_expected()
        weight = np.where(known, 1.0 / (SPREAD**2 + error**2), 0.0)
        prior = 1.0 / LEVEL_SPREAD**2
        total = prior + weight.sum((1, 2))
        level = np.maximum(LOWEST, (prior + (weight * ratio).sum((1, 2))) / total)[:, None, None]
        trust = np.where(known, (SPREAD * level) ** 2 / ((SPREAD * level) ** 2 + error**2), 0.0)
        factor: Float = np.clip(level + trust * (ratio - level), LOWEST, HIGHEST)
        return factor

    def features(self) -> Float:
        """[M, CREDIT] what networks see of the last message; 0 of cells of which nothing is known.

        Log of credited / expected, and the share of its spread that is not error, in [0, 1].
        """
        if self._credit is None:
            return np.zeros((len(self.shown), CREDIT))
        known, ratio, error = self._against_expected()
        log = np.where(known, np.log(np.clip(ratio, LOWEST, HIGHEST)), 0.0)
        sure = np.where(known, SPREAD**2 / (SPREAD**2 + error**2), 0.0)
        cells = [field.reshape(len(field), -1)[:, ELIGIBLE_CELLS] for field in (log, sure)]
        return np.concatenate(cells, -1)

    def _against_expected(self) -> tuple[Bool, Float, Float]:
        """[M, P, F] where both are known, credited / expected per impression, and its standard error."""
        assert self._credit is not None
        markets = len(self._credit.touches)
        campaigns = len(self.shown) // markets

        def rows(field: Float) -> Float:
            return field[:, :campaigns].reshape(self.shown.shape)

        expected = self.expected / np.maximum(1.0, self.shown)  # per impression
        known = (rows(self._credit.touches) > 0.0) & (expected > 0.0)
        safe = np.where(known, expected, 1.0)
        ratio = np.where(known, rows(self._credit.conversions_per_touch) / safe, 1.0)
        error = np.where(known, rows(self._credit.deviation) / safe, 0.0)
        return known, ratio, error
