from __future__ import annotations

import math
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.markets import tiny

from envs import constants as con
from envs.auction import PRICINGS
from envs.catalogue import ARMS, P, S
from envs.constants import constants_of
from envs.dynamics import new_state, play_interval
from envs.generator import draw_markets
from envs.paths import ROOT
from envs.response import DELAY_SHARE, HEALTH_MAX
from envs.scenario import Scenario
from envs.scratch import new_scratch
from envs.seeds import market_seeds
from envs.state import Controls, MarketParameters, MarketState, Outcome, empty_outcome

World = tuple[MarketParameters, MarketState, Scenario]
CALM = {"incident_probability": 0.0, "event_probability": 0.0}


def world(scenario: Scenario, count: int = 1, seed: int = 0) -> World:
    m, _ = draw_markets(market_seeds("train", seed, 0, count), scenario, "train")
    return m, new_state(m, np.zeros((count, scenario.campaigns, S), np.int64)), scenario


def controls(world: World, multiplier: float = 1.0, **fields: Any) -> Controls:
    m, _, scenario = world
    batch, c, listeners = len(m.seed), scenario.campaigns, scenario.listeners.count
    usual = Controls(
        multiplier=np.full((batch, c, S, P), multiplier),
        throttle=np.ones((batch, c, P)),
        aggression_cap=np.full((batch, c), 1e9),
        predicted_affinity=np.ones((batch, c, listeners)),
    )
    return usual._replace(**fields)


def step(world: World, ctl: Controls, t: int = 0, arms: NDArray[np.int64] | None = None) -> Outcome:
    m, state, scenario = world
    arms = state.on_air.copy() if arms is None else arms
    out = empty_outcome(len(m.seed), scenario.campaigns, S, P)
    scratch = new_scratch(scenario.campaigns, scenario.listeners.count, max(scenario.auction.slots))
    play_interval(m, state, constants_of(scenario), ctl, out, scratch, arms, 0, len(m.seed), t)
    return out


def random_controls(world: World, rng: np.random.Generator) -> Controls:
    shape = controls(world)
    return Controls(
        multiplier=np.exp(rng.uniform(-12, 12, shape.multiplier.shape)),
        throttle=rng.uniform(0, 1, shape.throttle.shape),
        aggression_cap=rng.uniform(0, 50, shape.aggression_cap.shape),
        predicted_affinity=rng.uniform(0, 50, shape.predicted_affinity.shape),
    )


DISABLED = """
import numpy as np
from support.markets import RandomTeam, leaves, play, started, tiny
scenario = tiny(incidents={"incident_probability": 1.0})
steps = play(started(scenario, seed=4), RandomTeam())
print([round(float(array.sum()), 6) for step in steps for array in leaves(step)])
"""


def test_compiled_kernels_do_what_their_python_says() -> None:
    found = []
    for disabled in ("0", "1"):
        variables = os.environ | {"NUMBA_DISABLE_JIT": disabled, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
        run = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", DISABLED], env=variables, capture_output=True, text=True
        )
        assert run.returncode == 0, run.stderr
        found.append(run.stdout)
    assert found[0] == found[1]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    campaigns=st.integers(1, 4),
    pricing=st.sampled_from(PRICINGS),
    budget=st.sampled_from([1e-12, 0.01, 10.0]),
    cap=st.integers(1, 6),
)
def test_invariants_hold_under_any_bids(
    seed: int, campaigns: int, pricing: str, budget: float, cap: int
) -> None:
    scenario = tiny(
        campaigns=campaigns,
        budget_fraction=budget,
        auction={"pricing": pricing, "slots": (1, 1, 1) if pricing == "second_price" else (3, 2, 1)},
        listeners={"count": 16, "daily_frequency_cap": cap},
        incidents={"incident_probability": 1.0},
        intervals_per_day=3,
    )
    whole, rng = world(scenario, count=2, seed=seed), np.random.default_rng(seed)
    m, state, _ = whole
    m.incident_start[:] = 0
    caused, reported = np.zeros((2, campaigns, S)), np.zeros((2, campaigns, S))
    paid = np.zeros((2, campaigns))
    for t in range(scenario.intervals):
        arms = rng.integers(0, len(ARMS), (2, campaigns, S))
        out = step(whole, random_controls(whole, rng), t, arms)
        assert all(np.isfinite(array).all() and (array >= 0).all() for array in out)
        assert (out.wins <= out.bids).all()
        assert (out.wins.sum(1) <= out.opportunities * np.array(scenario.auction.slots)).all()
        impressions = out.wins * scenario.impression_weight
        for counts in (out.completions, out.skips, out.clicks, out.dislikes, out.completions + out.skips):
            assert (counts <= impressions).all()
        reserve = np.array(scenario.auction.reserve_fraction) * scenario.auction.price_level_usd
        assert (out.spend_usd >= out.wins * reserve * (1 - 1e-9)).all()
        assert (out.spend_usd <= out.bid_usd * (1 + 1e-9)).all()
        assert (out.wasted_usd <= out.spend_usd * (1 + 1e-9)).all()
        assert (out.spend_usd <= out.won_bid_usd * (1 + 1e-9)).all()
        assert (state.exposures_today <= cap).all()
        assert (state.rival_left_usd >= 0).all()
        for share in (state.memory_slow, state.memory_fast, out.recall, out.reach):
            assert (share >= 0).all() and (share <= 1 + 1e-12).all()
        assert (state.health > 0).all() and (state.health <= HEALTH_MAX).all()
        paid += out.spend_usd.sum((-1, -2))
        caused += out.conversions_caused
        reported += out.conversions + out.conversions_settled
        assert (state.budget_left_usd >= 0).all()
        assert np.allclose(paid + state.budget_left_usd, m.budget_usd, rtol=1e-9, atol=1e-9)
        assert (paid <= m.budget_usd * (1 + 1e-9)).all()
    assert np.array_equal(caused, reported)


def test_nobody_bids_nothing_is_spent_and_rivals_buy() -> None:
    whole = world(tiny(opportunities_per_interval=240))
    out = step(whole, controls(whole, multiplier=0.0))
    assert out.opportunities.sum() > 0
    assert out.bids.sum() == out.wins.sum() == out.spend_usd.sum() == 0.0
    assert whole[1].rival_left_usd.sum() < whole[0].rival_budget_usd.sum()


def test_a_reserve_above_every_bid_leaves_opportunities_unsold() -> None:
    whole = world(tiny(auction={"reserve_fraction": (1e3, 1e3, 1e3)}))
    out = step(whole, controls(whole))
    assert out.bids.sum() > 0
    assert out.wins.sum() == out.spend_usd.sum() == 0.0


def test_a_price_beyond_the_table_cannot_be_won() -> None:
    whole = world(tiny(auction={"probability_within_table": (0.0, 0.0, 0.0)}, budget_fraction=1e6))
    assert step(whole, controls(whole, multiplier=1e6)).wins.sum() == 0.0


def test_a_throttle_of_zero_and_an_ineligible_format_mean_no_bid() -> None:
    whole = world(tiny(opportunities_per_interval=600, incidents=CALM))
    throttle = np.ones((1, 2, P))
    throttle[0, 0] = 0.0
    whole[1].on_air[0, 1] = int(np.flatnonzero(ARMS[:, 0] == 2)[0])  # display: never in a podcast
    out = step(whole, controls(whole, multiplier=3.0, throttle=throttle))
    assert out.bids[0, 0].sum() == 0.0
    assert out.bids[0, 1, :, 1].sum() == 0.0 and out.bids[0, 1, :, 2].sum() > 0


@pytest.mark.parametrize("campaigns", [2, 3, 4])
def test_equal_bids_win_equally_often(campaigns: int) -> None:
    scenario = tiny(
        campaigns=campaigns,
        opportunities_per_interval=3000,
        budget_fraction=1e3,
        listeners={"count": 32, "daily_frequency_cap": 100},
        incidents=CALM,
        auction={"probability_within_table": (1.0, 1.0, 1.0)},
    )
    whole = world(scenario)
    wins = step(whole, controls(whole, multiplier=20.0)).wins.sum((0, 2, 3))
    expected = wins.sum() / campaigns
    assert wins.sum() > 1500
    assert np.abs(wins - expected).max() < 4 * math.sqrt(expected)


def test_first_price_pays_the_bid_and_second_price_less() -> None:
    scenario = tiny(campaigns=1, budget_fraction=1e3, incidents=CALM)
    spend = {}
    for pricing in ("first_price", "second_price"):
        priced = scenario.model_copy(
            update={"auction": scenario.auction.model_copy(update={"pricing": pricing})}
        )
        whole = world(priced)
        out = step(whole, controls(whole, multiplier=20.0))
        assert out.wins.sum() > 0
        spend[pricing] = out.spend_usd.sum(), out.wins.sum()
    assert spend["first_price"][1] == spend["second_price"][1]
    assert spend["first_price"][0] > 2 * spend["second_price"][0]


@pytest.mark.parametrize("pricing", ["second_price", "vcg"])
def test_whoever_wins_everything_pays_the_price_to_beat(pricing: str) -> None:
    scenario = tiny(
        campaigns=1,
        opportunities_per_interval=3000,
        budget_fraction=1e3,
        listeners={"count": 512, "daily_frequency_cap": 100},
        incidents=CALM,
        rivals={"count": 48},
        auction={"pricing": pricing, "probability_within_table": (1.0, 1.0, 1.0)},
    )
    whole = world(scenario)
    whole[0].rival_vertical[:] = whole[0].vertical[0, 0]  # all are kept out, and all the same set the price
    out = step(whole, controls(whole, multiplier=1e4))
    assert np.array_equal(out.wins[0, 0], out.priced[0, 0]) and out.wins.sum() > 500
    assert np.allclose(out.spend_usd, out.price_usd)
    reserve = constants_of(scenario).reserve_usd
    assert (out.spend_usd.sum((0, 1, 2)) > 1.05 * reserve * out.wins.sum((0, 1, 2))).all()


def test_unheard_slots_are_neither_billed_nor_counted() -> None:
    found = []
    for heard in (1.0, 0.25):
        auction = {"pricing": "first_price", "slots": (3, 3, 3), "slot_exposure": (heard, heard, heard)}
        scenario = tiny(
            campaigns=1,
            opportunities_per_interval=3000,
            budget_fraction=1e3,
            listeners={"count": 32, "daily_frequency_cap": 100},
            incidents=CALM,
            auction=auction,
        )
        whole = world(scenario)
        out = step(whole, controls(whole, multiplier=20.0))
        assert np.allclose(out.spend_usd, out.won_bid_usd)
        assert whole[1].exposures_today.sum() == out.wins.sum()
        found.append(out)
    every, some = found
    assert np.array_equal(every.opportunities, some.opportunities) and every.wins.sum() > 300
    spread = 4 * math.sqrt(every.wins.sum() * 0.25 * 0.75)
    assert some.wins.sum() == pytest.approx(0.25 * every.wins.sum(), abs=spread)


def test_a_new_day_clears_the_frequency_cap() -> None:
    scenario = tiny(
        campaigns=1,
        intervals_per_day=2,
        opportunities_per_interval=600,
        budget_fraction=1e3,
        listeners={"count": 16, "daily_frequency_cap": 2},
    )
    whole = world(scenario)
    wins = [step(whole, controls(whole, multiplier=50.0), t).wins.sum() for t in range(4)]
    assert wins[0] + wins[1] <= 32 and wins[2] > wins[1]


def struck(
    kind: int, campaign: int = 0, placement: int = 0, count: int = 64
) -> tuple[Outcome, Outcome, World]:
    """The same first interval without and with an incident."""
    found = []
    for happens in (0, kind):
        whole = world(tiny(incidents=CALM, opportunities_per_interval=120, budget_fraction=0.5), count=count)
        m, state, _ = whole
        m.incident_kind[:, 0], m.incident_start[:], m.incident_length[:] = happens, 0, 3
        m.incident_campaign[:], m.incident_placement[:] = campaign, placement
        state.wear[:] = 1.0
        found.append(step(whole, controls(whole)))
    return found[0], found[1], whole


def test_invalid_traffic_wastes_money_and_clicks() -> None:
    calm, hit, _ = struck(con.INVALID_TRAFFIC, placement=1)
    share = [out.wasted_usd[..., 1].sum() / out.spend_usd[..., 1].sum() for out in (calm, hit)]
    assert share[0] < 0.1 and 0.6 < share[1] < 0.9
    clicks = [out.clicks[..., 1].sum() / out.wins[..., 1].sum() for out in (calm, hit)]
    assert clicks[1] > 3 * clicks[0]
    assert np.array_equal(calm.wins[..., 0], hit.wins[..., 0])
    assert (hit.incident[:, 0] == con.INVALID_TRAFFIC).all() and (calm.incident == 0).all()


def test_a_rival_surge_raises_prices() -> None:
    calm, hit, _ = struck(con.RIVAL_SURGE)
    price = [out.price_usd.sum() / out.priced.sum() for out in (calm, hit)]
    assert price[1] > 1.3 * price[0]
    assert hit.wins.sum() < calm.wins.sum()


def test_a_tracking_outage_hides_a_placement_and_changes_nothing_else() -> None:
    calm, hit, _ = struck(con.TRACKING_OUTAGE, placement=2)
    assert (hit.tracked == [1.0, 1.0, 0.0]).all() and (calm.tracked == 1.0).all()
    assert np.array_equal(calm.completions, hit.completions)


def test_creative_burn_out_costs_completions_of_one_campaign() -> None:
    calm, hit, _ = struck(con.CREATIVE_BURN_OUT, campaign=1)
    rate = [out.completions.sum((0, 2, 3)) / out.wins.sum((0, 2, 3)) for out in (calm, hit)]
    assert rate[1][1] < rate[0][1] and rate[1][0] == rate[0][0]


def test_an_overspend_fault_triples_the_bids_within_the_budget() -> None:
    calm, hit, whole = struck(con.OVERSPEND_FAULT, campaign=0)
    ratio = hit.bid_usd.sum((0, 2, 3)) / calm.bid_usd.sum((0, 2, 3))
    assert ratio[0] == pytest.approx(con.OVERSPEND_FACTOR, rel=0.05) and ratio[1] == pytest.approx(
        1.0, rel=0.05
    )
    assert (hit.spend_usd.sum((-1, -2)) <= whole[0].budget_usd).all()


def test_conversions_are_delayed_as_the_shares_say() -> None:
    scenario = tiny(
        campaigns=1,
        intervals=40,
        impression_weight=10_000,
        budget_fraction=10.0,
        opportunities_per_interval=9000,
        listeners={"count": 64, "daily_frequency_cap": 100},
    )
    whole = world(scenario, count=4)
    first = step(whole, controls(whole, multiplier=5.0))
    caused = first.conversions_caused.sum()
    releases = constants_of(scenario).delay_release

    def expected(intervals: int) -> float:
        classes = zip(DELAY_SHARE, releases, strict=True)
        return float(sum(share * (1 - (1 - release) ** intervals) for share, release in classes))

    assert caused > 300
    assert first.conversions.sum() / caused == pytest.approx(expected(1), abs=0.08)
    later = [step(whole, controls(whole, multiplier=0.0), t) for t in range(1, 40)]
    day = sum(out.conversions.sum() for out in later[:11])
    assert (first.conversions.sum() + day) / caused == pytest.approx(expected(12), abs=0.08)
    assert later[-2].conversions_settled.sum() == 0.0
    settled = later[-1].conversions_settled.sum()
    assert first.conversions.sum() + sum(out.conversions.sum() for out in later) + settled == caused
    assert settled > 0


def test_wear_follows_impressions_of_the_asset_on_air() -> None:
    whole = world(tiny(incidents=CALM))
    out = step(whole, controls(whole, multiplier=3.0))
    size = np.bincount(whole[0].listener_segment[0], minlength=S)
    assert np.allclose(whole[1].wear[0, :, :, 0, 0], out.wins[0].sum(-1) / size)
    assert whole[1].wear[0, :, :, 1:].sum() == 0.0


@pytest.mark.parametrize("reactive", [False, True])
def test_rivals_start_each_day_afresh_and_reactive_ones_answer(reactive: bool) -> None:
    whole = world(tiny(intervals_per_day=3, budget_fraction=5.0, rivals={"reactive": reactive}))
    m, state, _ = whole
    for t in range(3):
        step(whole, controls(whole, multiplier=20.0), t)
        assert ((state.rival_pace >= 0.3) & (state.rival_pace <= 1.0)).all()
    assert (state.rival_left_usd > m.rival_budget_usd).all() == reactive
    assert (state.rival_left_usd >= m.rival_budget_usd).all()
