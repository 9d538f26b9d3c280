from __future__ import annotations

import numpy as np
import pytest
from support.markets import tiny

from envs.catalogue import HOURLY_LISTENING, P
from envs.generator import draw_markets
from envs.inventory import EVENT_INTERVALS, first_weekday, listening_curve
from envs.scenario import Scenario
from envs.seeds import market_seeds
from envs.state import MarketParameters

CALM = {"event_probability": 0.0, "incident_probability": 0.0}
WEEKDAYS, WEEKEND = np.zeros(1, np.int64), np.full(1, 5)


def drawn(scenario: Scenario, count: int = 64) -> MarketParameters:
    return draw_markets(market_seeds("train", 1, 0, count), scenario, "train")[0]


@pytest.mark.parametrize("per_day", [1, 4, 12, 24, 72])
@pytest.mark.parametrize("weekday", range(7))
def test_a_week_of_listening_is_1_on_average_whatever_its_intervals(per_day: int, weekday: int) -> None:
    curve = listening_curve(7 * per_day, per_day, np.array([weekday]))
    assert curve.shape == (1, 7 * per_day) and (curve > 0.0).all()
    assert curve.mean() == pytest.approx(1.0, rel=0.005)


def test_the_curve_passes_through_its_hours() -> None:
    level = np.average(HOURLY_LISTENING, weights=(5, 2), axis=0).mean()
    for day, row in ((WEEKDAYS, 0), (WEEKEND, 1)):
        curve = listening_curve(24, 24, day)[0]
        assert curve == pytest.approx(HOURLY_LISTENING[row] / level, rel=0.2)
        assert abs(curve.argmin() - HOURLY_LISTENING[row].argmin()) <= 1
        assert curve.argmax() == HOURLY_LISTENING[row].argmax()


def test_the_week_turns_on_its_fifth_day_and_every_start_is_the_same_week() -> None:
    monday = listening_curve(14 * 24, 24, WEEKDAYS)[0]
    assert np.array_equal(monday[: 24 * 5], np.tile(monday[:24], 5))
    assert np.array_equal(monday[24 * 5 : 24 * 6], monday[24 * 6 : 24 * 7])
    assert not np.allclose(monday[24 * 4 : 24 * 5], monday[24 * 5 : 24 * 6])
    for weekday in range(7):
        later = listening_curve(7 * 24, 24, np.array([weekday]))[0]
        assert np.allclose(later, monday[24 * weekday : 24 * (weekday + 7)])


def test_coarse_intervals_are_means_of_fine_ones() -> None:
    fine, coarse = listening_curve(48, 48, WEEKDAYS), listening_curve(12, 12, WEEKDAYS)
    assert np.allclose(fine.reshape(12, 4).mean(1), coarse[0], rtol=0.01)


def test_flights_start_on_every_day_alike() -> None:
    days = first_weekday(market_seeds("train", 0, 0, 7000))
    count = np.bincount(days, minlength=7)
    assert count.shape == (7,) and np.abs(count - 1000).max() < 5 * np.sqrt(1000)


def test_traffic_averages_what_the_scenario_says_by_placement_too() -> None:
    scenario = tiny(intervals=84, opportunities_per_interval=100, incidents=CALM)
    traffic = drawn(scenario).traffic
    assert np.allclose(traffic.sum((2, 3)).mean(1), 100.0)
    share = traffic.sum((0, 1, 2)) / traffic.sum()
    assert share == pytest.approx(scenario.placement_share, abs=0.01)
    assert traffic.shape[-1] == P


def test_the_announced_event_lifts_traffic_and_attention_while_it_lasts() -> None:
    with_event = drawn(tiny(intervals=24, incidents=CALM | {"event_probability": 1.0}))
    without = drawn(tiny(intervals=24, incidents=CALM))
    assert (without.event_interval == -1).all() and (with_event.event_interval >= 0).all()
    t = np.arange(24)
    since = t - with_event.event_interval[:, None]
    during = (since >= 0) & (since < EVENT_INTERVALS)
    assert np.allclose(with_event.traffic / without.traffic, np.where(during, 1.3, 1.0)[..., None, None])
    assert np.allclose(with_event.attention / without.attention, np.where(during, 1.6, 1.0)[..., None])
