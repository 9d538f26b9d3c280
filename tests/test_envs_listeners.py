from __future__ import annotations

import numpy as np
import pytest
from support.kernels import survey, update_listeners
from support.markets import tiny

from envs import response as res
from envs.catalogue import ARM_FATIGUE, P, S
from envs.constants import constants_of
from envs.dynamics import new_state
from envs.generator import draw_markets
from envs.scenario import Scenario
from envs.scratch import new_scratch
from envs.seeds import market_seeds
from envs.state import Float, MarketParameters, MarketState, empty_outcome

World = tuple[MarketParameters, MarketState, Scenario]
COUNT = 32


def market(scenario: Scenario | None = None, reference_load: bool = True) -> World:
    """One market at its start; `reference_load`: its listeners have heard what the platform usually plays."""
    scenario = scenario or tiny()
    m, _ = draw_markets(market_seeds("train", 1, 0, 1), scenario, "train")
    state = new_state(m, np.zeros((1, scenario.campaigns, S), np.int64))
    if reference_load:
        state.hours_listened[:] = 1e6
        state.ads_heard[:] = res.REFERENCE_ADS_PER_HOUR * 1e6
    return m, state, scenario


def update(world: World, attention: Float, shown: Float, heard: Float | None = None) -> None:
    """Ends an interval that brought each listener so many impressions [C, L], whose attention is given."""
    m, state, scenario = world
    scratch = new_scratch(scenario.campaigns, scenario.listeners.count, 1)
    reached = np.argwhere(shown > 0)
    scratch.reached[: len(reached)] = reached
    scratch.reached_count[0] = len(reached)
    scratch.shown[:], scratch.attention[:] = shown, attention
    scratch.heard[:] = shown.sum(0) if heard is None else heard
    update_listeners(m, state, constants_of(scenario), scratch, 0, 0)
    for name in ("shown", "attention", "heard", "reached_count"):
        assert not getattr(scratch, name).any(), f"{name} is left for the next interval"


def nothing() -> Float:
    return np.zeros((2, COUNT))


def test_memory_fills_by_exposure_and_fades_without() -> None:
    world = m, st, scenario = market()
    shown = nothing()
    shown[0, ::2] = 1.0
    before = st.memory_slow.copy()
    update(world, shown, shown)
    kept = before * m.recall_decay[..., None]
    gain = kept + (1 - kept) * (1 - np.exp(-res.RECALL_GAIN_SLOW))
    assert st.memory_slow[0, 0, ::2] == pytest.approx(gain[0, 0, ::2])
    assert st.memory_fast[0, 0, ::2] == pytest.approx(1 - np.exp(-res.RECALL_GAIN_FAST))
    assert st.memory_slow[0, 0, 1::2] == pytest.approx(kept[0, 0, 1::2])
    peak = st.memory_fast.copy()
    update(world, nothing(), nothing())
    assert st.memory_fast == pytest.approx(constants_of(scenario).fast_kept * peak)


def test_an_impression_without_attention_annoys_and_is_not_remembered() -> None:
    world = _, st, _ = market()
    update(world, nothing(), nothing() + 2.0)
    assert (st.memory_fast == 0.0).all()
    assert st.annoyance == pytest.approx(2.0 * ARM_FATIGUE[0]) and (st.exposures == 2.0).all()


def test_spaced_exposures_fill_slow_memory_further_than_massed_ones() -> None:
    spaced, massed = market(), market()
    one, none = nothing() + 1.0, nothing()
    for t in range(12):
        update(spaced, one * (t % 4 == 0), one * (t % 4 == 0))
        update(massed, one if t >= 9 else none, one if t >= 9 else none)
    kept = spaced[0].recall_decay[..., None]
    assert (spaced[1].memory_slow / kept**6 > massed[1].memory_slow).all()


def test_annoyance_decays_faster_than_slow_memory() -> None:
    world = _, st, scenario = market()
    many = nothing() + 6.0
    update(world, many, many)
    angry, known = st.annoyance.copy(), st.memory_slow.copy()
    for _ in range(10):
        update(world, nothing(), nothing())
    assert st.annoyance == pytest.approx(angry * constants_of(scenario).annoyance_kept ** 10)
    assert (st.annoyance / angry < 0.2).all()
    assert (st.memory_slow / known > 0.7).all()


def test_irritation_by_one_campaign_costs_everybody_listeners_and_health_recovers() -> None:
    world = _, st, _ = market(tiny(time_acceleration=200.0))
    shown = nothing()
    shown[0, :16] = 5.0
    for _ in range(6):
        update(world, shown, shown, heard=np.zeros(COUNT))
    assert (st.health[:, :16] < 0.98).all() and (st.health[:, 16:] > st.health[:, :16].max()).all()
    low = st.health.copy()
    for _ in range(60):
        update(world, nothing(), nothing())
    assert (st.health[:, :16] > low[:, :16]).all() and (st.health <= res.HEALTH_MAX).all()


def test_ad_load_at_the_reference_leaves_health_and_more_or_fewer_move_it() -> None:
    world = _, st, scenario = market()
    st.health[0, 1], st.ads_heard[0, 2], st.ads_heard[0, 3] = 0.5, 8.0 * 1e6, 0.0
    update(world, nothing(), nothing(), heard=np.zeros(COUNT))
    change = constants_of(scenario).health_change
    expected = [
        1.0,
        0.5 + change * 0.5,
        1.0 - change * 2 * res.LOAD_EFFECT,
        1.0 + change * 6 * res.LOAD_EFFECT,
    ]
    assert st.health[0, :4] == pytest.approx(expected, rel=1e-4)
    for _ in range(4000):  # nobody advertises: more listening, up to its limit
        update(world, nothing(), nothing())
    assert st.health.max() == pytest.approx(res.HEALTH_MAX)


def test_health_runs_with_the_time_acceleration() -> None:
    change = []
    for acceleration in (1.0, 10.0):
        listeners = {"count": COUNT, "churn_sensitivity": 0.0}
        world = _, st, _ = market(tiny(time_acceleration=acceleration, listeners=listeners))
        st.ads_heard[:] *= 3
        update(world, nothing(), nothing())
        change.append(1.0 - st.health[0, 0])
    assert change[0] > 0 and change[1] == pytest.approx(10 * change[0], rel=0.01)


def test_hours_grow_with_traffic_a_listeners_share_and_health() -> None:
    world = m, st, _ = market(reference_load=False)
    st.health[0, 0] = 0.5
    before = st.health.copy()
    update(world, nothing(), nothing(), heard=np.arange(COUNT, dtype=float))
    traffic = m.traffic[0, 0].sum(-1)[m.listener_segment[0]]
    usual = traffic * m.listening_share[0] / res.REFERENCE_ADS_PER_HOUR
    assert st.hours_listened[0] == pytest.approx(usual * before[0])
    assert st.ads_heard[0] == pytest.approx(np.arange(COUNT))


def test_survey_holds_segment_means() -> None:
    m, st, _ = market()
    rng = np.random.default_rng(3)
    for array in (st.memory_slow, st.memory_fast, st.health, st.annoyance, st.exposures, st.recent_exposure):
        array[:] = rng.uniform(0, 1, array.shape)
    st.exposures[:, 0, :8] = 0.0
    st.recall[:], st.segment_health[:] = 0.125, 0.75
    out = empty_outcome(1, 2, S, P)
    survey(m, st, out, 0)
    known = res.recall_of(st.memory_slow, st.memory_fast)[0]
    tired = res.FATIGUE_OWN * st.annoyance + res.FATIGUE_SHARED * st.annoyance.sum(1, keepdims=True)
    for s in range(S):
        who = m.listener_segment[0] == s
        assert out.health[0, s] == pytest.approx(st.health[0, who].mean())
        assert out.recall[0, :, s] == pytest.approx(known[:, who].mean(1))
        assert out.fatigue[0, :, s] == pytest.approx(tired[0][:, who].mean(1))
        assert out.frequency[0, :, s] == pytest.approx(st.exposures[0][:, who].mean(1))
        assert out.recent_exposure[0, :, s] == pytest.approx(st.recent_exposure[0][:, who].mean(1))
    assert out.reach == pytest.approx((st.exposures > 0).mean(-1))
    assert (out.recall_before == 0.125).all() and (out.health_before == 0.75).all()
    assert np.array_equal(st.recall, out.recall) and np.array_equal(st.segment_health, out.health)
