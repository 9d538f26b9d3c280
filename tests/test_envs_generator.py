from __future__ import annotations

import numpy as np
import pytest
from support.markets import leaves, tiny

from envs.catalogue import INCIDENT_KINDS, VERTICALS, K, P, S
from envs.generator import VERTICAL_TABLE, draw_markets
from envs.inventory import EVENT_INTERVALS
from envs.scenario import Scenario
from envs.seeds import Split, market_seeds

ROOMY = tiny(campaigns=3, intervals=24, listeners={"count": 64}, incidents={"incident_probability": 1.0})


def without(probability: str) -> Scenario:
    return ROOMY.model_copy(update={"incidents": ROOMY.incidents.model_copy(update={probability: 0.0})})


@pytest.mark.parametrize("scenario", [tiny(campaigns=1), tiny(campaigns=4, rivals={"count": 1}), ROOMY])
@pytest.mark.parametrize("split", ["train", "held_out"])
def test_one_seed_is_one_market_whatever_its_batch(scenario: Scenario, split: Split) -> None:
    seeds = market_seeds(split, 5, 0, 9)
    together = leaves(draw_markets(seeds, scenario, split))
    for k in (0, 4, 8):
        alone = leaves(draw_markets(seeds[k : k + 1], scenario, split))
        for whole, one in zip(together, alone, strict=True):
            assert np.array_equal(whole[k], one[0])


def test_another_seed_is_another_market() -> None:
    m, _ = draw_markets(market_seeds("train", 5, 0, 2), tiny(), "train")
    for name in ("affinity", "log_arm", "traffic", "rival_level", "budget_usd", "campaign_taste"):
        values = getattr(m, name)
        assert not np.isclose(values[0], values[1]).any(), name


def test_the_truth_is_plausible() -> None:
    m, _ = draw_markets(market_seeds("train", 1, 0, 64), ROOMY, "train")
    assert all(np.isfinite(array).all() for array in leaves(m))
    assert (np.diff(m.listener_segment, axis=1) >= 0).all()
    assert all(set(row) == set(range(S)) for row in m.listener_segment.tolist())
    assert (m.affinity > 0).all() and 0.7 < m.affinity.mean() < 1.5
    assert np.allclose(m.mood_probability.sum(-1), 1.0)
    for b, who in np.ndindex(64, S):
        first, end = m.segment_start[b, who : who + 2]
        assert (m.listener_segment[b, first:end] == who).all()
    assert (m.segment_start[:, 0] == 0).all() and (m.segment_start[:, -1] == 64).all()
    assert np.allclose(m.rival_share[..., -1], 1.0)
    assert (np.diff(m.rival_share, axis=-1) >= 0).all()
    assert m.log_arm.shape[-1] == K
    assert (m.budget_usd > 0).all() and (m.rival_budget_usd > 0).all()
    assert (m.traffic > 0).all() and (m.attention > 0).all()
    share = ROOMY.listeners.irritable_fraction
    assert m.irritable.mean() == pytest.approx(share, abs=0.05)


def test_the_alias_tables_draw_listeners_in_proportion_to_their_activity() -> None:
    m, _ = draw_markets(market_seeds("train", 1, 0, 16), ROOMY, "train")
    for b, s in np.ndindex(16, S):
        first, end = m.segment_start[b, s : s + 2]
        kept, alias = m.alias_probability[b, first:end], m.alias[b, first:end]
        assert ((kept >= 0) & (kept <= 1)).all() and ((first <= alias) & (alias < end)).all()
        drawn = kept + np.bincount(alias - first, 1.0 - kept, minlength=end - first)
        assert drawn / (end - first) == pytest.approx(m.listening_share[b, first:end])
        assert m.listening_share[b, first:end].sum() == pytest.approx(1.0)


def test_traffic_averages_what_the_scenario_says() -> None:
    calm = tiny(incidents={"incident_probability": 0.0, "event_probability": 0.0})
    m, _ = draw_markets(market_seeds("train", 1, 0, 8), calm, "train")
    assert np.allclose(m.traffic.sum((2, 3)).mean(1), calm.opportunities_per_interval)


def test_an_announced_event_brings_listeners() -> None:
    m, _ = draw_markets(market_seeds("train", 1, 0, 64), ROOMY, "train")
    has = m.event_interval >= 0
    assert 0.3 < has.mean() < 0.9
    assert (m.event_interval[has] + EVENT_INTERVALS <= ROOMY.intervals).all()
    quiet, _ = draw_markets(market_seeds("train", 1, 0, 64), without("event_probability"), "train")
    assert (quiet.event_interval == -1).all()
    t = m.event_interval[has]
    during = (m.attention[has, t] / quiet.attention[has, t]).mean()
    assert during == pytest.approx(1.6)


def test_incidents_of_every_kind_appear_and_none_when_switched_off() -> None:
    seeds = market_seeds("train", 2, 0, 64)
    m, _ = draw_markets(seeds, ROOMY, "train")
    assert {INCIDENT_KINDS[kind] for kind in m.incident_kind.ravel()} == set(ROOMY.incidents.kinds)
    other, _ = draw_markets(seeds, ROOMY, "held_out")
    met = {INCIDENT_KINDS[kind] for kind in other.incident_kind.ravel()}
    assert met == set(ROOMY.held_out.incident_kinds)
    assert ((m.incident_start >= 0) & (m.incident_start < ROOMY.intervals)).all()
    assert (m.incident_length >= 1).all()
    assert set(m.incident_placement.ravel().tolist()) == set(range(P))
    assert set(m.incident_campaign.ravel().tolist()) == set(range(ROOMY.campaigns))
    calm, _ = draw_markets(seeds, without("incident_probability"), "train")
    assert (calm.incident_kind == 0).all()


def test_held_out_markets_bring_new_verticals_and_higher_prices() -> None:
    scenario = tiny(campaigns=4)
    kinds = {}
    for split in ("train", "development", "held_out"):
        _, brief = draw_markets(market_seeds(split, 0, 0, 64), scenario, split)
        kinds[split] = {VERTICALS[v] for v in brief.vertical.ravel()}
    assert kinds["train"] == kinds["development"] == set(scenario.verticals)
    assert kinds["held_out"] == set(VERTICALS)
    seeds = market_seeds("held_out", 0, 0, 8)
    known = scenario.held_out.model_copy(update={"verticals": scenario.verticals})
    narrow = scenario.model_copy(update={"held_out": known})
    shifted, _ = draw_markets(seeds, narrow, "held_out")
    plain, _ = draw_markets(seeds, narrow, "train")
    ratio = np.log(shifted.rival_level / plain.rival_level)
    assert np.allclose(ratio, scenario.held_out.price_shift)


def test_a_brief_holds_averages_of_the_vertical_only() -> None:
    m, brief = draw_markets(market_seeds("train", 3, 0, 16), ROOMY, "train")
    assert np.array_equal(brief.log_format, VERTICAL_TABLE.log_format[brief.vertical])
    assert np.array_equal(brief.conversion, VERTICAL_TABLE.conversion[brief.vertical])
    assert not np.isclose(np.log(m.affinity_hint), brief.log_affinity).any()
    assert not np.isclose(m.wear_out, brief.wear_out).any()


def test_tastes_can_come_from_real_listeners() -> None:
    pool = np.random.default_rng(0).normal(size=(10, 12))
    m, _ = draw_markets(market_seeds("train", 3, 0, 4), tiny(), "train", pool)
    assert np.isin(m.listener_taste, pool[:, :8]).all()
    synthetic, _ = draw_markets(market_seeds("train", 3, 0, 4), tiny(), "train")
    assert np.array_equal(m.campaign_taste, synthetic.campaign_taste)
    assert not np.array_equal(m.affinity, synthetic.affinity)
