from __future__ import annotations

import hashlib
from math import inf

import numpy as np
import pytest
from support.markets import RandomTeam, leaves, play, started, tiny

from envs.catalogue import F
from envs.journeys.settings import CELLS, DEVICES, ELIGIBLE_CELLS, OWN_CELLS, SEARCH
from envs.journeys.touches import Touches, room_for
from envs.journeys.truth import conversions, incremental
from envs.journeys.walk import new_minds, walk
from envs.journeys.world import MarketJourneys
from envs.market import VectorMarket
from envs.scenario import Scenario, load_scenario

SCENARIO = tiny(
    intervals=24,
    intervals_per_day=4,
    budget_fraction=1.0,
    journeys={"people": 32, "conversions_per_purchase": 28.0, "organic": 0.1},
)


def flown(scenario: Scenario = SCENARIO, count: int = 1) -> VectorMarket:
    market = started(scenario, count, seed=5)
    play(market, RandomTeam())
    return market


def one(market: VectorMarket, b: int = 0) -> MarketJourneys:
    assert market.journeys is not None
    return market.journeys.markets[b]


@pytest.fixture(scope="module")
def journeys() -> MarketJourneys:
    return one(flown())


def digest(market: VectorMarket, fields: tuple[str, ...] | None = None) -> str:
    found = hashlib.sha256()
    for step in play(market, RandomTeam()):
        kept = step.outcome._asdict()
        for name in fields or kept:
            found.update(kept[name].tobytes())
        if fields is None:
            for array in (*leaves(step.observations), *leaves(step.rewards), market.state()):
                found.update(array.tobytes())
    return found.hexdigest()


def test_without_journeys_the_market_is_as_it_was_and_with_them_only_conversions_change() -> None:
    bare = tiny(intervals=8)
    assert bare == Scenario(**(bare.model_dump() | {"journeys": None}))
    assert started(bare).journeys is None
    assert digest(started(bare, 2)) == digest(started(bare.model_copy(update={"journeys": None}), 2))
    untouched = ("wins", "spend_usd", "completions", "clicks", "recall", "health", "fatigue", "price_usd")
    beside = bare.model_copy(update={"journeys": SCENARIO.journeys})
    assert digest(started(bare, 2), untouched) == digest(started(beside, 2), untouched)


def test_a_market_alone_has_the_journeys_it_has_in_a_batch() -> None:
    together = flown(count=5)
    for b in (0, 4):
        alone = VectorMarket(SCENARIO, 1)
        alone.reset(together.seeds[b : b + 1])
        play(alone, RandomTeam())
        for a, c in zip(one(alone).touches, one(together, b).touches, strict=True):
            assert np.array_equal(a, c)
        for a, c in zip(one(alone).observed(1), one(together, b).observed(1), strict=True):
            assert np.array_equal(a, c, equal_nan=True)


def test_conversions_caused_are_those_that_nobody_would_have_without_our_touches() -> None:
    market = started(SCENARIO, 1, seed=5)
    caused = sum(step.outcome.conversions_caused.sum((0, 2)) for step in play(market, RandomTeam()))
    found, settings = one(market), SCENARIO.journeys
    assert settings is not None
    weight = SCENARIO.impression_weight / settings.people / settings.conversions_per_purchase
    told = (found.touches, found.hidden.organic_hour, found.hidden.search_pull)
    with_us, without = conversions(*told, ()), conversions(*told, range(OWN_CELLS))
    assert with_us.sum() > without.sum()
    assert np.allclose(caused, weight * (with_us - without))


def test_touches_are_in_order_of_time_on_cells_where_formats_may_air(journeys: MarketJourneys) -> None:
    touches = journeys.touches
    assert (np.diff(touches.hour) >= 0.0).all()
    assert set(np.unique(touches.cell)) <= {*ELIGIBLE_CELLS, *range(OWN_CELLS, CELLS)}
    assert (touches.device < DEVICES.index("shop")).all()
    assert not touches.held_out.any()


def test_shapley_shares_out_all_that_was_brought_and_silence_of_the_rest_bounds_it(
    journeys: MarketJourneys,
) -> None:
    truth = journeys.truth()
    assert np.allclose(truth.shapley.sum(1), truth.total - truth.organic)
    assert (truth.incremental[:, [p * F + 1 for p in (0, 1)]] == 0.0).all()  # video in a break: nothing airs
    assert (truth.total > truth.organic).all()


def hand_made(*rows: dict[str, float]) -> Touches:
    touches = room_for(len(rows))
    usual = {
        "who": 0, "cell": 0, "hour": 0.0, "device": 1, "clicked": 0, "held_out": 0, "pull": 0.0,
        "memory": 0.0, "chance": 0.5, "delay_hours": 1.0, "search_hour": inf, "search_chance": 0.0,
        "search_delay_hours": 1.0,
    }  # fmt: skip
    for n, row in enumerate(rows):
        for name, value in (usual | row).items():
            getattr(touches, name)[n] = value
    return touches


def test_of_two_sufficient_causes_neither_is_missed_alone_and_each_has_half() -> None:
    touches = hand_made({"cell": 0, "pull": 0.9}, {"cell": 3, "hour": 2.0, "pull": 0.9})
    found = incremental(touches, np.full(1, inf), np.zeros(1))
    assert found.incremental[0, [0, 3]].tolist() == [0.0, 0.0]
    assert found.shapley[0, [0, 3]].tolist() == [0.5, 0.5]


def test_a_touch_that_opens_the_funnel_shares_in_what_the_next_one_brings() -> None:
    touches = hand_made({"cell": 0, "memory": 50.0}, {"cell": 3, "hour": 2.0, "pull": 0.3})
    found = incremental(touches, np.full(1, inf), np.zeros(1))
    assert found.incremental[0, [0, 3]].tolist() == [1.0, 1.0]
    assert found.shapley[0, [0, 3]].tolist() == [0.5, 0.5]


def test_a_search_that_a_touch_brings_about_dies_with_either() -> None:
    touches = hand_made({"cell": 0, "search_hour": 3.0})
    found = incremental(touches, np.full(1, inf), np.full(1, 0.5))
    assert found.shapley[0, [0, SEARCH]].tolist() == [0.5, 0.5]


def test_who_converts_anyway_or_is_not_shown_the_spot_owes_nothing_to_it() -> None:
    shown, ghost = {"pull": 0.9, "delay_hours": 1.0}, {"pull": 0.9, "held_out": 1}
    assert incremental(hand_made(shown), np.full(1, 9.0), np.zeros(1)).shapley.sum() == 0.0
    assert incremental(hand_made(ghost), np.full(1, inf), np.zeros(1)).total[0] == 0.0


def test_nothing_touches_people_who_have_converted() -> None:
    minds = new_minds(np.full(1, inf))
    touches = hand_made({"pull": 0.9}, {"hour": 5.0, "memory": 50.0})
    moved = walk(touches, minds, np.zeros((1, CELLS), np.bool_), SEARCH, np.zeros(1))
    assert moved.tolist() == [0]
    assert minds.converts[0] == 1.0
    assert minds.memory[0] == 0.02


def test_the_scenario_of_attribution_has_journeys_and_others_have_none() -> None:
    assert load_scenario("attribution").journeys is not None
    assert load_scenario("default").journeys is None
