from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.markets import RandomTeam, leaves, play, quiet, started, tiny, with_bids

from envs import constants as con
from envs.ad_market_v0 import parallel_env
from envs.catalogue import ARMS, INCIDENT_KINDS, INCIDENTS_ON_CREATIVES, PLACEMENT_FIT, P, S, V
from envs.errors import InterludeError
from envs.market import Step, VectorMarket
from envs.scenario import Scenario
from envs.state import MarketParameters, MarketState
from envs.truth import clairvoyant_prices, incident_labels, struck_creatives, true_affinity

PUBLIC_PARAMETERS = {
    *("seed", "listener_segment", "segment_start", "vertical", "affinity_hint", "mood_probability"),
    *("attention", "event_interval", "budget_usd"),
}
"""The seed draws the survey's noise; it is in no observation."""
PUBLIC_STATE = {"budget_left_usd", "day_left_usd", "on_air", "wear"}
HIDDEN = [
    *(("parameters", name) for name in MarketParameters._fields if name not in PUBLIC_PARAMETERS),
    *(("market_state", name) for name in MarketState._fields if name not in PUBLIC_STATE),
]


def spoil(market: VectorMarket, part: str, name: str) -> None:
    """Another truth, and where numbers can say so, none at all."""
    array = getattr(getattr(market, part), name)
    if array.dtype.kind == "f":
        array[...] = np.nan
    elif array.dtype.kind == "b":
        array[...] = ~array
    else:
        array[...] = array + 1


def known(step: Step, market: VectorMarket) -> list[Any]:
    """All that agents are told after a step."""
    return [*leaves(step.observations), *leaves(step.rewards), *leaves(market.board), market.state()]


def test_every_hidden_field_is_a_field() -> None:
    assert PUBLIC_PARAMETERS <= {*MarketParameters._fields} and PUBLIC_STATE <= {*MarketState._fields}


@pytest.mark.parametrize(("part", "name"), HIDDEN)
def test_nothing_agents_are_told_reads_hidden_truth(part: str, name: str) -> None:
    """Truth acts in auctions and on listeners; what is told of that is made without it."""
    clean, spoilt = started(tiny(campaigns=3), 2), started(tiny(campaigns=3), 2)
    team = RandomTeam()
    for market in (clean, spoilt):
        market.step(team(market))
    playing = spoilt._play

    def play_and_spoil() -> Any:
        outcome = playing()
        spoil(spoilt, part, name)
        return outcome

    spoilt._play = play_and_spoil  # type: ignore[method-assign]
    told = [known(market.step(team(market)), market) for market in (clean, spoilt)]
    for one, other in zip(*told, strict=True):
        np.testing.assert_array_equal(one, other)


def test_markets_of_another_truth_begin_alike() -> None:
    envs = parallel_env(tiny()), parallel_env(tiny())
    first = [env.reset(seed=4) for env in envs]
    for part, name in HIDDEN:
        spoil(envs[1].market, part, name)
    views = [env._views(env.market._observations()) for env in envs]
    infos = [env._infos() for env in envs]
    for agent in envs[0].agents:
        assert views[0][agent].tobytes() == views[1][agent].tobytes() == first[1][0][agent].tobytes()
        assert set(infos[1][agent]) <= {"interval", "action_mask"}
        assert repr(infos[0][agent]) == repr(infos[1][agent])
    assert envs[0].messages() == envs[1].messages()
    assert envs[0].state().tobytes() == envs[1].state().tobytes()
    assert not np.array_equal(envs[0].privileged_state(), envs[1].privileged_state())


def test_true_affinity_is_the_listeners_and_its_means() -> None:
    market = started(tiny(campaigns=2), 3)
    m, truth = market.parameters, true_affinity(market)
    for b in range(3):
        for s in range(S):
            who = np.flatnonzero(m.listener_segment[b] == s)
            mine, share = m.affinity[b][:, who], m.listening_share[b, who]
            assert np.allclose(truth.segment[b, :, s], mine.mean(1))
            assert np.allclose(truth.opportunity[b, :, s], (mine * share).sum(1) / share.sum())
    truth.listener[:] = 0.0
    assert m.affinity.all()


def ample(**changes: Any) -> Scenario:
    """One campaign that cannot run out, among rivals who cannot either."""
    fields: dict[str, Any] = {
        "campaigns": 1,
        "opportunities_per_interval": 400,
        "budget_fraction": 1e6,
        "rivals": {"daily_budget_fraction": 100.0},
        "listeners": {"count": 64, "daily_frequency_cap": 100},
        "auction": {"slot_exposure": (1.0,)},
    }
    return tiny(**(fields | changes))


@pytest.mark.parametrize("kind", range(len(INCIDENT_KINDS)))
def test_clairvoyant_prices_foretell_who_wins_and_pays(kind: int) -> None:
    market = started(ample(), 2)
    m = market.parameters
    m.incident_kind[:, 0], m.incident_start[:], m.incident_length[:] = kind, 2, 3
    for log_multiplier in (-1.0, 1.0, 0.0, 0.5):
        t, level = market.interval, market.scenario.auction.price_level_usd
        prices = [clairvoyant_prices(market, b) for b in range(2)]
        affinity = market._controls.predicted_affinity.copy() if t == 0 else np.ones((2, 1, 64))
        factors = {con.OVERSPEND_FAULT: con.OVERSPEND_FACTOR, con.SILENT_AGENT: 0.0}
        factor = factors.get(kind, 1.0) if 2 <= t < 5 else 1.0
        out = market.step(with_bids(quiet(market), log_multiplier)).outcome
        for b, known in enumerate(prices):
            bid = factor * np.exp(log_multiplier) * level * known.quality * affinity[b, 0, known.listener]
            bid = bid * PLACEMENT_FIT[0, known.placement] * m.attention[b, t, known.placement]
            price = known.price_usd[:, 0]
            won, spent = np.zeros((S, P)), np.zeros((S, P))
            wins = bid > price  # never where the price is NaN
            np.add.at(won, (known.segment[wins], known.placement[wins]), 1)
            np.add.at(spent, (known.segment[wins], known.placement[wins]), price[wins])
            assert np.array_equal(out.wins[b, 0], won) and (won.sum() > 0) == (factor > 0)
            assert np.allclose(out.spend_usd[b, 0], spent)
            assert out.opportunities[b].sum() == len(price) and np.isnan(price).any()
            assert (np.diff(known.item) > 0).all()


def test_separation_makes_prices_differ_by_campaign() -> None:
    scenario = ample(
        campaigns=2,
        auction={"pricing": "vcg", "slots": (2, 2, 2), "probability_within_table": (1.0, 1.0, 1.0)},
    )
    market = started(scenario)
    m = market.parameters
    m.vertical[0], m.rival_vertical[:] = [0, 1], 1
    first, second = clairvoyant_prices(market).price_usd.T
    assert (second >= first).all() and (second > first).mean() > 0.5


def test_asking_for_prices_leaves_no_trace() -> None:
    asked, left_alone = started(tiny(campaigns=3), 2), started(tiny(campaigns=3), 2)
    team = RandomTeam()
    for market in (asked, left_alone):
        play_on = [market.step(team(market)) for _ in range(3)]
        assert play_on
    before = [array.copy() for array in leaves((asked.parameters, asked.market_state))]
    for b in range(2):
        clairvoyant_prices(asked, b)
    for one, other in zip(before, leaves((asked.parameters, asked.market_state)), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(play(asked, team), play(left_alone, team), strict=True):
        for a, b in zip(leaves(one), leaves(other), strict=True):
            np.testing.assert_array_equal(a, b)
    with pytest.raises(InterludeError, match="none is to come"):
        clairvoyant_prices(asked)
    with pytest.raises(InterludeError, match="before reset"):
        clairvoyant_prices(VectorMarket(tiny(), 1))


def test_the_creative_that_aired_as_an_incident_began_is_labelled_while_it_lasts() -> None:
    scenario = tiny(
        campaigns=3, intervals=20, incidents={"incident_probability": 1.0, "kinds": INCIDENTS_ON_CREATIVES}
    )
    market, team = started(scenario, 16), RandomTeam()
    m, airs, before = market.parameters, [], []
    while market.interval < 20:
        before.append(struck_creatives(market, market.interval))
        market.step(team(market))
        airs.append(ARMS[market.aired, 1])
    for t in range(20):
        labels = struck_creatives(market, t)
        np.testing.assert_array_equal(labels, before[t])
        for b in range(16):
            expected = np.zeros((3, V), int)
            names = ("kind", "start", "length", "campaign", "segment")
            slots = zip(*(getattr(m, f"incident_{name}")[b] for name in names), strict=True)
            for kind, start, length, c, s in slots:
                if start <= t < start + length:
                    expected[c, airs[start][b, c, s]] = kind
            np.testing.assert_array_equal(labels[b], expected)
    assert np.array(before).any()


def test_incidents_are_labelled_where_and_when_they_strike() -> None:
    scenario = tiny(
        campaigns=3, intervals=10, incidents={"incident_probability": 1.0, "kinds": INCIDENT_KINDS[1:]}
    )
    market = started(scenario, 64)
    m = market.parameters
    labels = incident_labels(m, 10)
    active = np.array([step.outcome.incident.max(-1) for step in play(market, quiet)])
    assert np.array_equal(labels.max((-1, -2)), active.T)
    assert set(np.unique(active)) == {*range(len(INCIDENT_KINDS))}
    for b, slot in np.ndindex(m.incident_kind.shape):
        kind, start = m.incident_kind[b, slot], m.incident_start[b, slot]
        struck = labels[b, start] == kind
        where = slice(None), m.incident_placement[b, slot]
        if kind >= con.CREATIVE_BURN_OUT:
            where = m.incident_campaign[b, slot], slice(None)
        expected = np.zeros((3, P), bool)
        expected[where if kind != con.RIVAL_SURGE else slice(None)] = True
        assert np.array_equal(struck, expected)
