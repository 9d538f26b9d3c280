"""Incidents on single creatives, in real markets: seen, named, taken off air, another in their place."""

from __future__ import annotations

import numpy as np
import pytest

from envs.catalogue import ADVICE, ALERT_KINDS, ARMS, INCIDENTS_ON_CREATIVES
from envs.market import VectorMarket
from envs.protocol import quiet_board
from envs.scenario import Scenario, load_scenario
from envs.seeds import market_seeds
from envs.truth import struck_creatives
from evaluation.watchdog.calibration import clean, struck
from policies.policy import flight_of
from policies.registry import make_policy, make_team
from policies.team import Team
from policies.watchdog.monitor import OF_CREATIVES, SequentialMonitor

MARKETS = 24
PAUSE = ADVICE.index("pause")


def rich(scenario: Scenario) -> Scenario:
    """Budgets of which each creative gets enough to be judged."""
    return scenario.model_copy(update={"budget_fraction": 0.15, "opportunities_per_interval": 400})


class Flight:
    """A flight of a team, interval by interval: what was said, what aired, what was struck."""

    def __init__(
        self, scenario: Scenario, monitor: str = "watchdog", team: str = "certainty-equivalent"
    ) -> None:
        policies = {**make_team(team).policies, "monitor": make_policy("monitor", monitor)}
        market = VectorMarket(rich(scenario), MARKETS)
        observations = market.reset(market_seeds("train", 3, 0, MARKETS))
        self.team = Team(team, policies)
        self.team.start(flight_of(market, privileged=True))
        said, paused, aired, wrong, wins, alerted = [], [], [], [], [], []
        for t in range(market.scenario.intervals):
            wrong.append(struck_creatives(market, t))
            actions = self.team.act(observations)
            assert actions.creative_pause is not None
            told = actions.creative_alert or quiet_board(MARKETS, 1).creative_alert
            said.append([field[:, : market.num_campaigns] for field in told])
            paused.append(actions.creative_pause.script[:, : market.num_campaigns])
            alerted.append(actions.monitor.kind.any((1, 2)))
            step = market.step(actions)
            wins.append(step.outcome.wins.sum(3))
            aired.append(ARMS[market.aired, 1])
            observations = step.observations
        self.advice, self.kind, _ = (np.array(part) for part in zip(*said, strict=True))
        self.alerted = np.array(alerted)
        self.paused, self.aired, self.wrong, self.wins = map(np.array, (paused, aired, wrong, wins))


@pytest.mark.parametrize("name", ["dislike_surge", "ctr_drop"])
def test_the_creative_that_is_broken_is_named_and_taken_off_air(name: str) -> None:
    flight, kind = Flight(struck(load_scenario("default"), name)), ALERT_KINDS.index(name)
    found, right = 0, flight.kind[1:] == flight.wrong[:-1]
    begins = (flight.wrong[1:] == kind) & (flight.wrong[:-1] == 0)
    for t, b, c, v in np.argwhere(begins):
        found += bool((flight.kind[t + 1 : t + 15, b, c, v] == kind).any())
    assert found > 0.4 * begins.sum()
    told = flight.kind[1:] == kind
    assert (told & right).sum() > 0.5 * told.sum()


def test_a_pause_is_advised_directed_and_enforced_an_interval_apart() -> None:
    flight = Flight(struck(load_scenario("default"), "dislike_surge"))
    advised = flight.advice == PAUSE
    assert advised.any()
    directed = advised & ~advised.all(3, keepdims=True)
    np.testing.assert_array_equal(flight.paused[1:], directed[:-1])
    scripts = np.arange(flight.paused.shape[-1])
    airs = (flight.aired[..., None] == scripts).any(3)
    assert not (airs[1:] & (flight.paused[:-1] == 1)).any()
    assert flight.wins[1:][(flight.paused[:-1] == 1).any(3)].sum() > 0, "another creative airs in its place"


def test_after_a_hold_the_creative_is_let_go() -> None:
    flight = Flight(struck(load_scenario("default"), "ctr_drop"))
    resumed = flight.advice == ADVICE.index("resume")
    assert resumed.any()
    assert (flight.advice[:-1][resumed[1:]] == PAUSE).all()


def test_the_oracle_names_what_is_struck_and_no_other() -> None:
    flight = Flight(struck(load_scenario("default"), "creative_burn_out"), "oracle")
    np.testing.assert_array_equal(flight.kind, flight.wrong)
    np.testing.assert_array_equal(flight.advice == PAUSE, flight.wrong > 0)


def test_clean_markets_play_as_if_nobody_watched_creatives_until_the_first_alert() -> None:
    scenario = clean(load_scenario("default"))
    watched, quiet, alike = Flight(scenario), Flight(scenario, "quiet"), 0
    alerted = watched.alerted.cumsum(0) > 0  # [T, B]
    for b in range(MARKETS):
        first = int(alerted[:, b].argmax()) if alerted[:, b].any() else len(alerted)
        np.testing.assert_array_equal(watched.wins[: first + 1, b], quiet.wins[: first + 1, b])
        alike += first
    assert alike > 4 * MARKETS and OF_CREATIVES == INCIDENTS_ON_CREATIVES


def test_without_campaigns_views_nothing_is_said_of_creatives() -> None:
    market = VectorMarket(load_scenario("quick"), 2)
    observations = market.reset(market_seeds("train", 0, 0, 2))
    monitor = SequentialMonitor()
    monitor.start(flight_of(market))
    monitor.act(observations.monitor)
    assert monitor.creative_alert is not None and not monitor.creative_alert.kind.any()
