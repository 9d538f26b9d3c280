"""Journeys of touches as ragged arrays, and the credit that an attribution model makes of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Journeys:
    """J journeys with T touches in all, ragged: those of one journey lie together, in time order."""

    offset: NDArray[np.int64]
    """[J + 1] touches of journey j are offset[j] … offset[j + 1] − 1."""
    cell: NDArray[np.int64]
    """[T] what was touched, 0 … C − 1: our cells of placement × format, then the off-platform channels."""
    hour: NDArray[np.float64]
    """[T] when, since the flight's start."""
    clicked: NDArray[np.bool_]
    """[T] whether the touch was clicked, which has the longer window."""
    held_out: NDArray[np.bool_]
    """[T] a ghost ad: won and, by the seed, not shown. It earns no credit."""
    conversion_hour: NDArray[np.float64]
    """[J] when the journey converted; nan where it did not."""
    value_usd: NDArray[np.float64]
    """[J] what its conversion is worth."""

    @property
    def journey(self) -> NDArray[np.int64]:
        """[T] whose touch it is."""
        return np.repeat(np.arange(len(self.offset) - 1), np.diff(self.offset))

    @property
    def converted(self) -> NDArray[np.bool_]:
        """[J] whether it ended in a conversion."""
        return ~np.isnan(self.conversion_hour)

    def only(self, kept: NDArray[np.bool_]) -> Journeys:
        """The same journeys with some [T] of their touches."""
        before = np.concatenate([[0], np.cumsum(kept)])
        return replace(
            self,
            offset=before[self.offset],
            cell=self.cell[kept],
            hour=self.hour[kept],
            clicked=self.clicked[kept],
            held_out=self.held_out[kept],
        )

    def check_cells(self, cells: int) -> None:
        """Raises ValueError where a touch is of none of the cells 0 … cells − 1."""
        if len(self.cell) and not 0 <= self.cell.min() <= self.cell.max() < cells:
            wrong = self.cell[(self.cell < 0) | (self.cell >= cells)][0]
            raise ValueError(f"journeys touch cell {wrong}; with {cells} cells it must lie in [0, {cells})")


@dataclass(frozen=True)
class Credit:
    """What each of C cells is credited with."""

    conversions: NDArray[np.float64]
    """[C] credited conversions."""
    deviation: NDArray[np.float64]
    """[C] their standard error, of the draw of journeys."""


class AttributionModel(Protocol):
    """Shares conversions out among the cells that were touched before them."""

    @property
    def name(self) -> str:
        """As the registry lists it."""
        ...

    def credit(self, journeys: Journeys, cells: int) -> Credit:
        """Credit of cells 0 … cells − 1; a held-out touch earns none.

        Raises:
            ValueError: the journeys touch a cell that is not one of these.
        """
        ...
