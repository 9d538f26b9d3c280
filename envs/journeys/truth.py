"""What cells truly brought: the same random numbers with cells silenced, and Shapley's shares of that."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import comb, inf
from typing import NamedTuple

import numpy as np

from envs.journeys.settings import CELLS, ELIGIBLE_CELLS, OWN_CELLS, SEARCH
from envs.journeys.touches import Touches
from envs.journeys.walk import new_minds, walk
from envs.state import Float

PLAYERS = (*ELIGIBLE_CELLS, *range(OWN_CELLS, CELLS))
"""Cells that share conversions out: those where a format may air, and the channels."""


class CellTruth(NamedTuple):
    """Conversions of one market that cells brought, by campaign."""

    incremental: Float  # [C, cells] lost where the cell alone is silent
    shapley: Float  # [C, cells] its share of what all cells brought together
    organic: Float  # [C] conversions with every cell silent
    total: Float  # [C] conversions as it was


def conversions(touches: Touches, organic_hour: Float, search_pull: Float, silent: Sequence[int]) -> Float:
    """[C] people who convert up to the horizon where nobody meets the silent cells; ghost ads stay unseen."""
    campaigns = len(search_pull)
    minds = new_minds(organic_hour)
    silenced = np.zeros((campaigns, CELLS), np.bool_)
    silenced[:, list(silent)] = True
    walk(touches, minds, silenced, SEARCH, search_pull)
    counts: Float = (minds.converts < inf).reshape(campaigns, -1).sum(1).astype(np.float64)
    return counts


def silenced_alone(touches: Touches, organic_hour: Float, search_pull: Float) -> Float:
    """[C, cells] conversions lost where one cell alone is silent."""
    lost = np.zeros((len(search_pull), CELLS))
    whole = conversions(touches, organic_hour, search_pull, ())
    for cell in met_cells(touches):
        lost[:, cell] = whole - conversions(touches, organic_hour, search_pull, (cell,))
    return lost


def met_cells(touches: Touches) -> list[int]:
    """Cells that anybody met; searches may have been brought about by touches alone."""
    return [cell for cell in PLAYERS if (touches.cell == cell).any() or cell == SEARCH]


def incremental(touches: Touches, organic_hour: Float, search_pull: Float) -> CellTruth:
    """True conversions by cell, with exact Shapley values over all coalitions of cells that were met.

    Shapley (1953): the mean over orders of what a cell adds to those before it. Cells that nobody met add
    nothing to any coalition and are left out of the sum, which leaves it as it is.
    """
    met = met_cells(touches)
    worth: dict[frozenset[int], Float] = {}
    for size in range(len(met) + 1):
        for heard in combinations(met, size):
            silent = [cell for cell in met if cell not in heard]
            worth[frozenset(heard)] = conversions(touches, organic_hour, search_pull, silent)
    everybody = frozenset(met)
    campaigns, players = len(search_pull), len(met)
    lost, share = np.zeros((campaigns, CELLS)), np.zeros((campaigns, CELLS))
    for cell in met:
        lost[:, cell] = worth[everybody] - worth[everybody - {cell}]
        for some, value in worth.items():
            if cell not in some:
                weight = 1.0 / (players * comb(players - 1, len(some)))
                share[:, cell] += weight * (worth[some | {cell}] - value)
    return CellTruth(lost, share, worth[frozenset()], worth[everybody])
