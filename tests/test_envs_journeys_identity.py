from __future__ import annotations

from math import inf

import numpy as np
import pytest
from test_envs_journeys_world import flown, hand_made, one

from envs.journeys.hidden import Hidden
from envs.journeys.identity import JourneyLog, observed
from envs.journeys.settings import OWN_CELLS, SEARCH, SOCIAL, JourneySettings
from envs.journeys.touches import Touches
from envs.journeys.world import MarketJourneys


@pytest.fixture(scope="module")
def journeys() -> MarketJourneys:
    return one(flown())


def known(
    touches: Touches, converts: float = 10.0, *, linked: bool = True, device: int = 1, **settings: object
) -> JourneyLog:
    """One person of one campaign, seen at hour 1000."""
    hidden = Hidden(
        *(np.zeros(0) for _ in range(5)),
        organic_hour=np.full(1, inf),
        link=np.full((1, 4), 0.0 if linked else 1.0),
        conversion_device=np.array([device]),
    )
    return observed(touches, np.array([converts]), hidden, JourneySettings(**settings), 0, 1000.0, 2.0)  # type: ignore[arg-type]


def test_at_a_full_match_rate_a_person_is_one_journey(journeys: MarketJourneys) -> None:
    log, touches = journeys.observed(0, 1.0), journeys.touches
    people = len(journeys.hidden.link)
    met = (touches.who < people) & (touches.hour < journeys._minds.converts[touches.who])
    met &= touches.cell <= SEARCH  # the others are behind walls
    looked = met & (touches.search_hour < journeys._minds.converts[touches.who])
    looked &= touches.search_hour <= journeys.hours
    assert len(log.cell) == met.sum() + looked.sum()
    assert len(log.offset) - 1 == len(np.unique(touches.who[met]))
    starts = np.zeros(len(log.cell), np.bool_)
    starts[log.offset[:-1]] = True
    assert (np.diff(log.hour)[~starts[1:]] >= 0.0).all()


def test_fewer_links_break_journeys_up_and_hide_conversions(journeys: MarketJourneys) -> None:
    logs = [journeys.observed(0, rate) for rate in (1.0, 0.7, 0.4)]
    counts = [len(log.offset) for log in logs]
    converted = [int(np.isfinite(log.conversion_hour).sum()) for log in logs]
    assert counts == sorted(counts)
    assert converted == sorted(converted, reverse=True)
    assert converted[2] > 0


def test_touches_on_an_unlinked_device_are_somebody_elses() -> None:
    touches = hand_made({"device": 0}, {"device": 1, "hour": 2.0})
    assert known(touches).offset.tolist() == [0, 2]
    apart = known(touches, linked=False)
    assert apart.offset.tolist() == [0, 1, 2]
    assert apart.conversion_hour.tolist() == pytest.approx([np.nan, 10.0], nan_ok=True)
    assert apart.value_usd.tolist() == [0.0, 2.0]


def test_a_purchase_in_a_shop_is_known_of_a_linked_card_alone() -> None:
    touches = hand_made({"device": 1})
    assert known(touches, device=3).conversion_hour.tolist() == [10.0]
    assert np.isnan(known(touches, device=3, linked=False).conversion_hour).all()


@pytest.mark.parametrize(("clicked", "view", "click", "kept"), [(0, 7, 30, 0), (1, 7, 30, 1), (1, 30, 7, 0)])
def test_touches_outside_their_window_are_not_reported_with_a_conversion(
    clicked: int, view: int, click: int, kept: int
) -> None:
    log = known(hand_made({"clicked": clicked}), 24.0 * 8.0, view_window_days=view, click_window_days=click)
    assert len(log.cell) == kept


def test_channels_behind_walls_tell_totals_and_claim_all_they_met() -> None:
    touches = hand_made({"cell": SOCIAL}, {"cell": SOCIAL, "hour": 1.0}, {"cell": 0, "hour": 2.0})
    log = known(touches)
    assert log.cell.tolist() == [0]
    assert log.walled_touches[SOCIAL - OWN_CELLS] == 2.0
    assert log.walled_claims[SOCIAL - OWN_CELLS] == 1.0
    assert known(touches, walled=()).cell.tolist() == [SOCIAL, SOCIAL, 0]
