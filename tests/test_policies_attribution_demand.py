"""Search earns what spots sent people to it for, and nothing for those who come of their own accord."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.attribution_journeys import by_hand

from policies.attribution.demand import caused
from policies.attribution.incrementality import Incrementality
from policies.attribution.journeys import Journeys
from policies.attribution.models import make_model

SEARCH = 1
Path = tuple[list[int], float | None]


def people(spots_send: int, spots_convert: int, demand_converts: int, each: int = 1000) -> Journeys:
    """As many people shown a spot, held out, and met by none; a tenth of each search of their own accord.

    Args:
        spots_send: of those shown who search because of it.
        spots_convert: of those who then buy.
        demand_converts: of the tenth that search anyway, who buy.
        each: how many there are of each kind.
    """
    tenth = each // 10

    def group(path: list[int], searching: int, buying: int) -> list[Path]:
        bought: list[Path] = [([*path, SEARCH], 30.0)] * buying
        looked: list[Path] = [([*path, SEARCH], None)] * (searching - buying)
        rest: list[Path] = [(path, None)] * (each - searching if path else 0)
        return bought + looked + rest

    shown = group([0], tenth + spots_send, demand_converts + spots_convert)
    ghosts = group([0], tenth, demand_converts)
    alone = group([], tenth, demand_converts)
    paths = [*shown, *ghosts, *alone]
    cells = [cell for path, _ in paths for cell in path]
    first_ghost = sum(len(path) for path, _ in shown)
    last_ghost = first_ghost + sum(len(path) for path, _ in ghosts)
    held = [first_ghost <= n < last_ghost and cell == 0 for n, cell in enumerate(cells)]
    return by_hand(*paths, held_out=held)


def test_half_of_what_spots_brought_by_way_of_it_is_its() -> None:
    found = caused(people(200, 40, 20), SEARCH, 1, 168.0, direct=0.04)
    assert found is not None
    assert found.conversions == pytest.approx(20.0, rel=0.02)
    assert found.conversions > 2.0 * found.deviation


def test_who_searches_anyway_is_no_credit_to_search() -> None:
    found = caused(people(0, 0, 60), SEARCH, 1, 168.0, direct=0.0)
    assert found is not None
    assert found.conversions == pytest.approx(0.0, abs=1.0)


def test_searches_that_spots_brought_about_and_that_bring_nothing_earn_nothing() -> None:
    found = caused(people(300, 0, 20), SEARCH, 1, 168.0, direct=0.0)
    assert found is not None
    assert found.conversions == pytest.approx(0.0, abs=1.0)


def test_what_spots_brought_without_it_is_theirs() -> None:
    """All 300 whom spots sent to search buy as often as the other 700 do: search was on the way, no cause."""
    journeys = people(300, 60, 20)
    with_it, without = (caused(journeys, SEARCH, 1, 168.0, direct) for direct in (0.06, 0.2))
    assert with_it is not None and without is not None
    assert without.conversions < 0.4 * with_it.conversions


def test_without_ghost_ads_it_says_nothing_and_the_model_falls_back_on_its_base() -> None:
    journeys = people(200, 40, 20)
    known = replace(journeys, held_out=np.zeros_like(journeys.held_out))
    assert caused(known, SEARCH, 1, 168.0, 0.0) is None
    last = make_model("last")
    told = Incrementality(bases=(last,), own=1)
    np.testing.assert_allclose(told.credit(known, 2).conversions, last.credit(known, 2).conversions)
    assert told.credit(journeys, 2).conversions[SEARCH] < 0.3 * last.credit(journeys, 2).conversions[SEARCH]
