"""Propensities: what was logged is the probability of what was done, and off-policy estimates come true."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.markets import tiny
from support.runs import a_run, a_scenario

from envs.catalogue import ARM_FORMAT, ARMS, K, S
from envs.event_log import column_of, read_table
from envs.observation import Observation
from envs.philox import uniforms
from envs.scenario import Scenario, load_scenario
from envs.state import Float
from evaluation.rollout import Course, play
from evaluation.sources import TeamSource
from policies.policy import Flight
from policies.propensity import log_propensities
from policies.registry import make_team
from policies.team import Incapacity, Team

RICH = tiny(campaigns=1, intervals=2, opportunities_per_interval=120, budget_fraction=50.0)


class Leaning:
    """Draws a creative, audio four times as often as others."""

    name, privileged = "leaning", False
    probability = np.where(ARM_FORMAT == 0, 4.0, 1.0) / np.where(ARM_FORMAT == 0, 4.0, 1.0).sum()

    def start(self, flight: Flight) -> None:
        self._flight, self._interval = flight, 0

    def act(self, observation: Observation) -> Any:
        draw = uniforms(self._flight.seeds, 700 + self._interval, (self._flight.num_campaigns, S))
        self._interval += 1
        arm = np.minimum(np.searchsorted(self.probability.cumsum(), draw), K - 1)
        self.log_propensity = np.log(self.probability[arm])
        return ARMS[arm]


def logged(team: Team, scenario: Scenario, folder: Path, markets: int) -> dict[str, dict[str, Any]]:
    """Tables of the run as arrays."""
    play(team, Course(scenario, "train", 0, markets, batch_size=128, event_log=folder))
    wanted = {
        "creative_decisions": ("market", "interval", "campaign", "segment", "format", "log_propensity"),
        "bidding_decisions": ("market", "interval", "campaign", "log_propensity"),
        "cells": ("market", "interval", "campaign", "segment", "completions"),
    }
    tables = {name: read_table(folder, name, team.name) for name in wanted}
    return {
        name: {field: column_of(tables[name], name, field) for field in fields}
        for name, fields in wanted.items()
    }


def decided_and_brought(tables: dict[str, dict[str, Any]], markets: int) -> tuple[Float, Float]:
    """Log propensities of the first decisions [B, S], and the completions they brought an interval later."""
    decisions, cells = tables["creative_decisions"], tables["cells"]
    first, after = decisions["interval"] == 0, cells["interval"] == 1
    log_propensity, completions = np.zeros((markets, S)), np.zeros((markets, S))
    log_propensity[decisions["market"][first], decisions["segment"][first]] = decisions["log_propensity"][
        first
    ]
    where = cells["market"][after], cells["segment"][after]
    np.add.at(completions, where, np.nan_to_num(cells["completions"][after]))
    return log_propensity, completions


def creative_team(creative: Any) -> Team:
    return Team(creative.name, {**make_team("pid").policies, "creative": creative})


def test_an_inverse_propensity_estimate_recovers_the_uniform_policys_value(tmp_path: Path) -> None:
    markets = 768
    tables = logged(creative_team(Leaning()), RICH, tmp_path, markets)
    log_propensity, completions = decided_and_brought(tables, markets)
    weight = np.exp(-np.log(K) - log_propensity)
    random = creative_team(make_team("random").policies["creative"])
    _, on_policy = decided_and_brought(logged(random, RICH, tmp_path, markets), markets)

    def mean(values: Float) -> tuple[float, float]:  # markets are independent, their segments are not
        by_market = values.mean(1)
        return by_market.mean(), by_market.std() / np.sqrt(markets)

    assert abs(mean(weight)[0] - 1.0) < 3.0 * mean(weight)[1]
    estimate, truth, naive = mean(weight * completions), mean(on_policy), mean(completions)
    assert abs(estimate[0] - truth[0]) < 2.0 * np.hypot(estimate[1], truth[1])
    # Without the weights the log tells of another policy.
    assert abs(naive[0] - truth[0]) > 4.0 * np.hypot(naive[1], truth[1])


def test_random_propensities_multiply_out(tmp_path: Path) -> None:
    scenario = tiny()
    tables = logged(make_team("random"), scenario, tmp_path, 3)
    whole = tables["creative_decisions"]["log_propensity"].sum()
    assert whole == pytest.approx(-3 * scenario.intervals * scenario.campaigns * S * np.log(K))
    bids = tables["bidding_decisions"]["log_propensity"]
    # Entropy of eight normals with a standard deviation of ½ is what their log densities cost on average.
    expected = -8 * (0.5 * np.log(2 * np.pi * np.e) + np.log(0.5))
    assert abs(bids.mean() - expected) < 4.0 * 2.0 / np.sqrt(len(bids))
    assert len(np.unique(bids)) == len(bids)


@pytest.mark.parametrize("sample", [True, False])
def test_learned_policies_tell_propensities_when_they_sample(sample: bool, tmp_path: Path) -> None:
    run = a_run(tmp_path / "run", a_scenario(tmp_path))
    scenario = load_scenario(str(tmp_path / "scenario.yaml"))
    team = TeamSource(str(run), sample)()
    given: dict[str, list[Any]] = {"creative": [], "bidding": []}
    for role, log in given.items():
        policy = team.policies[role]
        act = policy.act

        def noting(observation: Observation, act: Any = act, log: Any = log, policy: Any = policy) -> Any:
            answer = act(observation)
            log.append(policy.decision.log_probability.numpy().copy())
            return answer

        policy.act = noting  # type: ignore[method-assign]
    tables = logged(team, scenario, tmp_path / "log", 3)
    for role, log in given.items():
        found = tables[f"{role}_decisions"]["log_propensity"]
        expected = np.concatenate([array.ravel() for array in log]) if sample else 0.0
        np.testing.assert_array_equal(found, expected)


def test_thompson_sampling_cannot_say_and_the_others_are_certain() -> None:
    certain, unknown = make_team("pid"), make_team("value-aware")
    assert log_propensities(certain) == {"creative": 0.0, "bidding": 0.0}
    assert np.isnan(log_propensities(unknown)["creative"])


def test_a_failed_roles_stand_in_answers() -> None:
    team = Team("x", make_team("random").policies, make_team("pid").policies)
    assert log_propensities(team)["creative"] == pytest.approx(-np.log(K))
    team.incapacities.append(Incapacity("creative", 2, "broken"))
    assert log_propensities(team)["creative"] == 0.0
