"""Shapley values of the game that cells play for conversions.

Sources: Shapley, "A value for n-person games" (1953); Zhao, Mahboobi & Bagheri, "Shapley value methods for
attribution modeling in online advertising", arXiv:1804.05327 (2018).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from policies.attribution.journeys import Credit, Journeys
from policies.attribution.rules import converting, tally
from policies.attribution.windows import DEFAULT_WINDOWS, Windows


@dataclass(frozen=True)
class Shapley:
    """Conversions shared out by the Shapley value of sets of cells.

    The game is that of Zhao et al. (2018): cells S are worth the conversions of journeys that touch no cell
    but these. Each journey is then a unanimity game of its own cells, whose value is an equal share for each,
    and values add: so the sum below is exact at any number of cells, with nothing enumerated or sampled. How
    often or in which order a cell was touched doesn't count, nor do journeys that did not convert.
    """

    name: str = "shapley"
    windows: Windows = DEFAULT_WINDOWS

    def credit(self, journeys: Journeys, cells: int) -> Credit:
        """As every `AttributionModel`; the deviation is closed."""
        paths = converting(journeys, cells, self.windows)
        pair = np.unique(paths.journey * cells + paths.cell)
        journey = pair // cells
        return tally(journey, pair % cells, 1.0 / np.bincount(journey)[journey], cells)
