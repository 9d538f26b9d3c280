"""What the monitor reads off campaigns' observations is what the market tells it of all of them together."""

from __future__ import annotations

import numpy as np
from support.markets import RandomTeam, started, tiny

from envs.catalogue import ARMS, V
from envs.market import VectorMarket
from envs.observation import SCHEMAS
from envs.scenario import load_scenario
from envs.seeds import market_seeds
from evaluation.watchdog.calibration import clean
from policies.cell_counts import CellReader
from policies.policy import flight_of
from policies.registry import make_team

COUNTS = ("wins", "completions", "expected_completions", "skips", "dislikes", "clicks", "expected_clicks")


def test_cells_add_up_to_what_the_monitor_sees() -> None:
    scenario = tiny(
        opportunities_per_interval=120, budget_fraction=0.5, incidents={"incident_probability": 1.0}
    )
    market, team = started(scenario, 3), RandomTeam()
    reader, observations, bought = CellReader(flight_of(market)), market._observations(), 0.0
    for _ in range(scenario.intervals):
        counts = reader.read(observations.creative)
        for name in COUNTS:
            told = SCHEMAS["monitor"].view(observations.monitor[:, 0], name)[:, :2]
            np.testing.assert_allclose(getattr(counts, name).sum(2), told, rtol=1e-5, atol=1e-5, err_msg=name)
        bought += counts.wins.sum()
        by_script = counts.of_scripts(counts.wins)
        np.testing.assert_allclose(by_script.sum(2), counts.wins.sum(2))
        aired = ARMS[counts.arm, 1][..., None] == np.arange(V)
        assert (by_script.sum(3)[~aired.any(2)] == 0.0).all()
        observations = market.step(team(market)).observations
    assert bought > 0.0


def test_nothing_costs_more_than_was_bid_for_it() -> None:
    scenario = tiny(
        opportunities_per_interval=120, budget_fraction=0.5, incidents={"incident_probability": 0.0}
    )
    market, team = started(scenario, 3), RandomTeam()
    reader, observations, costs = CellReader(flight_of(market)), market._observations(), 0.0
    for _ in range(scenario.intervals):
        assert observations.board is not None
        counts = reader.read(observations.creative, observations.board.spend_plan.bid_usd)
        assert (counts.spend_usd <= counts.most_usd * (1.0 + 1e-5)).all()
        costs += counts.spend_usd.sum()
        observations = market.step(team(market)).observations
    assert costs > 0.0
    assert (reader.read(observations.creative).most_usd == 0.0).all()


def test_responses_lie_about_what_is_foretold() -> None:
    scenario = clean(load_scenario("default"))
    market, team = VectorMarket(scenario, 8), make_team("certainty-equivalent")
    observations = market.reset(market_seeds("train", 5, 0, 8))
    team.start(flight_of(market))
    reader, told, heard = CellReader(flight_of(market)), [], []
    for _ in range(scenario.intervals):
        counts = reader.read(observations.creative)
        known = counts.heard > 0.0
        assert np.isfinite(counts.response).all() and not counts.response[~known].any()
        assert (counts.heard <= 1.2 * counts.wins).all()
        told.append(counts.response[known])
        heard.append(counts.heard[known])
        observations = market.step(team.act(observations)).observations
    halves = (slice(0, scenario.intervals // 2), slice(scenario.intervals // 2, None))
    early, late = (
        np.average(np.concatenate(told[half]), weights=np.concatenate(heard[half])) for half in halves
    )
    assert abs(early) < 0.4 and abs(late) < 0.4, "wear and fatigue are foretold"
