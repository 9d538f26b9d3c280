from __future__ import annotations

import numpy as np
import pytest
from support.markets import tiny

from envs import response as res
from envs.catalogue import S
from envs.constants import constants_of
from envs.dynamics import new_state
from envs.generator import draw_markets
from envs.listeners import lingering_response, pressure, segment_bounds, survey, update_listeners
from envs.scenario import Scenario
from envs.seeds import market_seeds
from envs.state import Float, MarketParameters, MarketState


def market(scenario: Scenario | None = None) -> tuple[MarketParameters, MarketState, Scenario]:
    scenario = scenario or tiny()
    m, _ = draw_markets(market_seeds("train", 1, 0, 2), scenario, "train")
    return m, new_state(m, np.zeros((2, scenario.campaigns, S), np.int64)), scenario


def update(m: MarketParameters, st: MarketState, scenario: Scenario, attention: Float, shown: Float) -> None:
    update_listeners(m, st, constants_of(scenario), attention, shown, shown.sum(1))


def test_memory_fills_by_exposure_and_fades_without() -> None:
    m, st, scenario = market()
    shown = np.zeros_like(st.memory_slow)
    shown[:, 0, ::2] = 1.0
    before = st.memory_slow.copy()
    update(m, st, scenario, shown, shown)
    assert (st.memory_slow[:, 0, ::2] > before[:, 0, ::2]).all()
    assert (st.memory_fast[:, 0, ::2] > 0).all()
    others = st.memory_slow[:, 0, 1::2]
    assert np.allclose(others, before[:, 0, 1::2] * m.recall_decay[:, :1])
    peak = st.memory_fast.copy()
    update(m, st, scenario, np.zeros_like(shown), np.zeros_like(shown))
    assert np.allclose(st.memory_fast, res.FAST_MEMORY_KEPT * peak)


def test_spaced_exposures_fill_slow_memory_further_than_massed_ones() -> None:
    m, spaced, scenario = market()
    _, massed, _ = market()
    one, none = np.ones_like(spaced.memory_slow), np.zeros_like(spaced.memory_slow)
    for t in range(12):
        update(m, spaced, scenario, one * (t % 4 == 0), one * (t % 4 == 0))
        update(m, massed, scenario, one if t >= 9 else none, one if t >= 9 else none)
    gain = spaced.memory_slow / m.recall_decay[:, :, None] ** 6
    assert (gain > massed.memory_slow).all()


def test_annoyance_decays_faster_than_slow_memory_and_lowers_the_response() -> None:
    m, st, scenario = market()
    many = np.full_like(st.memory_slow, 6.0)
    update(m, st, scenario, many, many)
    lingering, fresh = np.zeros((2, 32)), np.zeros((2, 32))
    negative = np.zeros((2, 32), np.bool_)
    arguments = (m.affinity[0], m.wear_in[0], m.irritable[0])
    lingering_response(*arguments, st.annoyance[0], st.exposures[0], lingering, negative)
    assert np.array_equal(negative, np.broadcast_to(m.irritable[0], negative.shape))
    assert (lingering[negative] == 0).all()
    lingering_response(*arguments, 0 * st.annoyance[0], st.exposures[0], fresh, negative)
    assert (lingering < fresh).all() and not negative.any()
    angry, known = st.annoyance.copy(), st.memory_slow.copy()
    for _ in range(10):
        update(m, st, scenario, 0 * many, 0 * many)
    assert (st.annoyance / angry < 0.2).all()
    assert (st.memory_slow / known > 0.7).all()


def test_irritation_by_one_campaign_costs_everybody_listeners_and_health_recovers() -> None:
    m, st, scenario = market()
    shown = np.zeros_like(st.memory_slow)
    shown[:, 0, :16] = 5.0
    for _ in range(6):
        update(m, st, scenario, shown, shown)
    assert (st.health[:, :16] < 0.98).all()
    low = st.health.copy()
    for _ in range(60):
        update(m, st, scenario, 0 * shown, 0 * shown)
    assert (st.health[:, :16] > low[:, :16]).all() and (st.health <= 1.0).all()


def test_load_effect_scales_with_the_time_acceleration() -> None:
    change = []
    for acceleration in (1.0, 10.0):
        scenario = tiny(time_acceleration=acceleration, listeners={"count": 32, "churn_sensitivity": 0.0})
        m, st, _ = market(scenario)
        heard = np.zeros((2, 32))
        heard[:, :4] = 20.0
        zero = np.zeros_like(st.memory_slow)
        update_listeners(m, st, constants_of(scenario), zero, zero, heard)
        change.append(1.0 - st.health[0, 0])
    assert change[1] == pytest.approx(10 * change[0])


def test_segment_bounds() -> None:
    bounds = np.zeros(5, np.int64)
    segment_bounds(np.array([0, 0, 1, 1, 1, 3]), bounds)
    assert bounds.tolist() == [0, 2, 5, 5, 6]


def test_survey_and_pressure_are_segment_means() -> None:
    m, st, _ = market()
    rng = np.random.default_rng(3)
    for array in (st.memory_slow, st.memory_fast, st.health, st.annoyance, st.exposures, st.recent_exposure):
        array[:] = rng.uniform(0, 1, array.shape)
    st.exposures[:, 0, :8] = 0.0
    recall, health = np.zeros((2, 2, S)), np.zeros((2, S))
    survey(m, st, recall, health)
    fatigue, frequency, recent = (np.zeros((2, 2, S)) for _ in range(3))
    reach = np.zeros((2, 2))
    pressure(m, st, fatigue, frequency, recent, reach)
    known = 1 - (1 - st.memory_slow) * (1 - res.FAST_MEMORY_WEIGHT * st.memory_fast)
    tired = res.FATIGUE_OWN * st.annoyance + res.FATIGUE_SHARED * st.annoyance.sum(1, keepdims=True)
    for b in range(2):
        for s in range(S):
            who = m.listener_segment[b] == s
            assert health[b, s] == pytest.approx(st.health[b, who].mean())
            assert recall[b, :, s] == pytest.approx(known[b][:, who].mean(1))
            assert fatigue[b, :, s] == pytest.approx(tired[b][:, who].mean(1))
            assert frequency[b, :, s] == pytest.approx(st.exposures[b][:, who].mean(1))
            assert recent[b, :, s] == pytest.approx(st.recent_exposure[b][:, who].mean(1))
    assert np.allclose(reach, (st.exposures > 0).mean(-1))
