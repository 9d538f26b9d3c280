"""Attribution windows: which touches are near enough to a conversion to earn credit for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policies.attribution.journeys import Journeys


@dataclass(frozen=True)
class Windows:
    """How long before a conversion a touch may lie: longer where it was clicked."""

    view_hours: float = 7 * 24.0
    """View-through: of a touch that was seen or heard alone."""
    click_hours: float = 30 * 24.0
    """Click-through."""

    def __post_init__(self) -> None:
        """Raises ValueError where a window is negative."""
        if not (self.view_hours >= 0.0 and self.click_hours >= 0.0):
            raise ValueError(f"windows are hours from 0, got {self.view_hours} and {self.click_hours}")

    def of(self, journeys: Journeys) -> NDArray[np.float64]:
        """[T] the window of each touch, in hours."""
        return np.where(journeys.clicked, self.click_hours, self.view_hours)

    def within(self, journeys: Journeys, at_hour: NDArray[np.float64] | None = None) -> Journeys:
        """The touches that lie before an hour, and in their window of it; the others are dropped.

        Args:
            journeys: of which.
            at_hour: [J]; None is the conversion's hour. Where it is nan every touch stays.
        """
        at = journeys.conversion_hour if at_hour is None else at_hour
        age = at[journeys.journey] - journeys.hour
        return journeys.only(np.isnan(age) | ((age >= 0.0) & (age <= self.of(journeys))))

    def eligible(
        self, journeys: Journeys, cells: int, at_hour: NDArray[np.float64] | None = None
    ) -> Journeys:
        """What may earn credit: the touches `within` that were shown.

        Raises:
            ValueError: a touch is of none of the cells.
        """
        journeys.check_cells(cells)
        return self.within(journeys.only(~journeys.held_out), at_hour)


DEFAULT_WINDOWS = Windows()
