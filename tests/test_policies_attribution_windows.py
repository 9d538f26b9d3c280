import numpy as np
import pytest
from support.attribution_journeys import by_hand

from policies.attribution.windows import Windows


def test_each_touch_has_the_window_of_what_it_was() -> None:
    journeys = by_hand(([0, 1, 2, 3], 9.0), clicked=[True, False, True, False], hour=[0.0, 1.0, 2.0, 6.0])
    assert Windows(4.0, 8.0).within(journeys).cell.tolist() == [2, 3]
    assert Windows(4.0, 9.0).within(journeys).cell.tolist() == [0, 2, 3]  # the window's end is inside
    assert Windows(8.0, 6.0).within(journeys).cell.tolist() == [1, 3]


def test_defaults_are_a_week_for_a_view_and_thirty_days_for_a_click() -> None:
    journeys = by_hand(([0, 1], 24.0 * 8), clicked=[True, False])
    assert Windows().within(journeys).cell.tolist() == [0]
    assert Windows().of(journeys).tolist() == [720.0, 168.0]


def test_touches_after_the_conversion_are_dropped_and_those_at_its_hour_are_not() -> None:
    assert Windows().within(by_hand(([0, 1, 2], 1.0))).cell.tolist() == [0, 1]


def test_journeys_that_did_not_convert_keep_all_unless_an_hour_is_given() -> None:
    journeys = by_hand(([0, 1, 2], None), hour=[0.0, 500.0, 900.0])
    assert Windows().within(journeys).cell.tolist() == [0, 1, 2]
    assert Windows().within(journeys, np.array([550.0])).cell.tolist() == [1]


def test_ghost_ads_are_not_eligible() -> None:
    journeys = by_hand(([0, 1], 2.0), held_out=[False, True])
    assert Windows().eligible(journeys, 2).cell.tolist() == [0]
    assert Windows().within(journeys).cell.tolist() == [0, 1]
    with pytest.raises(ValueError, match="cell 1"):
        Windows().eligible(journeys, 1)


@pytest.mark.parametrize("hours", [(-1.0, 0.0), (0.0, -1.0), (float("nan"), 1.0)])
def test_windows_do_not_look_ahead(hours: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="windows are hours from 0"):
        Windows(*hours)
