from __future__ import annotations

import numpy as np
import pytest
from support.markets import tiny

from envs import constants as con
from envs import response as res
from envs.catalogue import ARM_CONVERSION, ARM_FIT, ARMS, K, P, S, arm_index
from envs.constants import constants_of
from envs.dynamics import new_state, play_interval
from envs.expectation import expected_response
from envs.generator import draw_markets
from envs.scratch import new_scratch
from envs.seeds import market_seeds
from envs.state import Controls, Float, MarketParameters, MarketState, empty_outcome

SCENARIO = tiny(
    campaigns=1,
    intervals=8,
    opportunities_per_interval=24_000,
    impression_weight=10_000,
    budget_fraction=1e3,
    listeners={"count": 1024, "daily_frequency_cap": 100},
    response={"quality_sd": 0.0},
    incidents={"incident_probability": 0.0},
    auction={"probability_within_table": (1.0, 1.0, 1.0), "reserve_fraction": (0.0, 0.0, 0.0)},
)


def prepared(arm: int, lived: bool) -> tuple[MarketParameters, MarketState]:
    """One market at its start, or with listeners who have heard, remember, are annoyed or gone."""
    m, _ = draw_markets(market_seeds("train", 3, 0, 1), SCENARIO, "train")
    state = new_state(m, np.full((1, 1, S), arm))
    if lived:
        rng = np.random.default_rng(5)
        shape = state.exposures.shape
        state.exposures[:] = rng.integers(0, 4, shape)
        state.annoyance[:] = rng.uniform(0, 2.5, shape)
        state.memory_slow[:], state.memory_fast[:] = rng.uniform(0, 0.6, (2, *shape))
        state.recent_exposure[:] = rng.uniform(0, 3, shape)
        state.health[:] = rng.uniform(0.2, 1.0, state.health.shape)
        state.wear[:] = rng.uniform(0, 1, state.wear.shape)
    return m, state


@pytest.mark.parametrize("creative", [(0, 0, 0, 1), (1, 2, 1, 1), (2, 1, 0, 1)])
@pytest.mark.parametrize("lived", [False, True])
def test_the_kernel_draws_what_is_expected(creative: tuple[int, ...], lived: bool) -> None:
    arm = int(arm_index(np.array(creative)))
    m, state = prepared(arm, lived)
    expectation = expected_response(m, state, 0)
    everything = Controls(
        multiplier=np.full((1, 1, S, P), 1e3),
        throttle=np.ones((1, 1, P)),
        aggression_cap=np.full((1, 1), 1e9),
        predicted_affinity=np.ones_like(m.affinity),
    )
    arms, scratch = state.on_air.copy(), new_scratch(1, SCENARIO.listeners.count, 1)
    out = empty_outcome(1, 1, S, P)
    play_interval(m, state, constants_of(SCENARIO), everything, out, scratch, arms, 0, len(m.seed), 0)
    heard = (1 - con.INATTENTIVE_SHARE) * SCENARIO.impression_weight * out.wins[0, 0]
    reach = (heard * ARM_FIT[arm] * m.attention[0, 0]).sum(1)
    funnel = res.FUNNEL_BASE + res.FUNNEL_SLOPE * expectation.funnel[0, 0]
    rate = res.CONVERSION_RATE * ARM_CONVERSION[arm] * m.conversion[0, 0] * funnel
    expected = rate * expectation.response[0, 0, :, arm] * reach
    caused = out.conversions_caused[0, 0]
    assert expected.min() > 20
    assert (np.abs(caused - expected) < 5 * np.sqrt(expected) + 0.05 * expected).all()
    assert caused.sum() == pytest.approx(expected.sum(), rel=0.1)


def lingering(m: MarketParameters, state: MarketState) -> Float:
    """[L] what repetition left of the only campaign's affinity."""
    annoyance, novelty = state.annoyance[0, 0], m.wear_in[0, 0] * np.exp(-0.5 * state.exposures[0, 0])
    tired = (res.FATIGUE_OWN + res.FATIGUE_SHARED) * annoyance
    turned = np.where(m.irritable[0], np.maximum(0.0, 1.0 - res.irritation(annoyance)), 1.0)
    return np.asarray(m.affinity[0, 0] * np.exp(-tired - novelty) * turned)


def test_memory_and_funnel_are_means_weighted_by_response_and_health() -> None:
    m, state = prepared(0, lived=True)
    expectation = expected_response(m, state, 3)
    listening = state.health[0] * m.listening_share[0]
    weight = lingering(m, state) * listening
    novelty = m.wear_in[0, 0] * np.exp(-0.5 * state.exposures[0, 0])
    rested = m.affinity[0, 0] * np.exp(-novelty) * listening
    recall = res.recall_of(state.memory_slow, state.memory_fast)[0, 0]
    room = (1 - state.memory_slow[0, 0]) / (1 + res.SPACING * state.recent_exposure[0, 0])
    for s in range(S):
        who = m.listener_segment[0] == s
        assert expectation.funnel[0, 0, s] == pytest.approx((weight * recall)[who].sum() / weight[who].sum())
        assert expectation.memory_room[0, 0, s] == pytest.approx(
            (rested * room)[who].sum() / weight[who].sum()
        )


def test_wear_lowers_the_expectation_of_the_asset_that_aired_and_burn_out_that_of_the_creative() -> None:
    m, _ = draw_markets(market_seeds("train", 3, 0, 1), SCENARIO, "train")
    state = new_state(m, np.zeros((1, 1, S), np.int64))
    fresh = expected_response(m, state, 0).response
    assert fresh.shape == (1, 1, S, K) and (fresh > 0).all()
    state.wear[0, 0, :, 0, 0] = 2.0
    worn = expected_response(m, state, 0).response
    same_asset = (ARMS[:, 0] == 0) & (ARMS[:, 1] == 0)
    assert worn[..., same_asset] == pytest.approx(fresh[..., same_asset] * np.exp(-2 * m.wear_out[0, 0]))
    assert np.array_equal(worn[..., ~same_asset], fresh[..., ~same_asset])
    m.incident_kind[0, 0], m.incident_start[0, 0] = con.CREATIVE_BURN_OUT, 0
    burnt = expected_response(m, state, 0).response
    of_creative = ARMS[:, 1] == 0  # what airs as it begins
    assert burnt[..., of_creative] == pytest.approx(worn[..., of_creative] * con.BURNT_OUT_RESPONSE)
    assert np.array_equal(burnt[..., ~of_creative], worn[..., ~of_creative])
