from itertools import permutations

import numpy as np
from support.attribution_journeys import at_random, by_hand

from policies.attribution.journeys import Journeys
from policies.attribution.shapley import Shapley
from policies.attribution.windows import DEFAULT_WINDOWS

CELLS = 4


def enumerated(journeys: Journeys) -> np.ndarray:
    """The definition: what each cell adds to those before it, on average over all orders."""
    paths = DEFAULT_WINDOWS.eligible(journeys, CELLS)
    touched = [
        set(paths.cell[paths.offset[j] : paths.offset[j + 1]].tolist())
        for j in np.flatnonzero(paths.converted & (np.diff(paths.offset) > 0))
    ]
    value = np.zeros(CELLS)
    orders = list(permutations(range(CELLS)))
    for order in orders:
        for place, cell in enumerate(order):
            before, after = set(order[:place]), set(order[: place + 1])
            value[cell] += sum(cells <= after for cells in touched) - sum(
                cells <= before for cells in touched
            )
    return value / len(orders)


def test_the_closed_form_is_the_shapley_value_of_the_game() -> None:
    for seed in range(5):
        journeys = at_random(seed, 40, CELLS)
        np.testing.assert_allclose(Shapley().credit(journeys, CELLS).conversions, enumerated(journeys))


def test_a_cell_counts_once_in_a_journey() -> None:
    told = Shapley().credit(by_hand(([0, 0, 0, 1], 4.0), ([1], 2.0)), CELLS)
    assert told.conversions.tolist() == [0.5, 1.5, 0.0, 0.0]
