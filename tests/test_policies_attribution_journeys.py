import numpy as np
import pytest
from support.attribution_journeys import by_hand

JOURNEYS = by_hand(([0, 1, 0], 3.0), ([], 1.0), ([2, 2], None))


def test_a_touch_knows_its_journey() -> None:
    assert JOURNEYS.journey.tolist() == [0, 0, 0, 2, 2]
    assert JOURNEYS.converted.tolist() == [True, True, False]


def test_journeys_keep_their_places_when_touches_go() -> None:
    fewer = JOURNEYS.only(JOURNEYS.cell != 0)
    assert fewer.offset.tolist() == [0, 1, 1, 3]
    assert fewer.cell.tolist() == [1, 2, 2]
    assert fewer.hour.tolist() == [1.0, 0.0, 1.0]
    assert fewer.conversion_hour is JOURNEYS.conversion_hour
    assert JOURNEYS.only(np.zeros(5, np.bool_)).offset.tolist() == [0, 0, 0, 0]


def test_a_cell_that_is_not_there_is_told() -> None:
    JOURNEYS.check_cells(3)
    by_hand(([], None)).check_cells(0)
    with pytest.raises(ValueError, match=r"cell 2; with 2 cells it must lie in \[0, 2\)"):
        JOURNEYS.check_cells(2)
    with pytest.raises(ValueError, match="cell -1"):
        by_hand(([-1], 1.0)).check_cells(2)
