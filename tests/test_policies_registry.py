import json
from pathlib import Path

import numpy as np
import pytest
from support.flights import flight
from support.markets import leaves, tiny

from envs.errors import ConfigurationError, UnknownNameError
from envs.observation import ROLES
from envs.reception import check_actions
from policies import registry
from policies.registry import (
    describe_teams,
    knob_space,
    learning_desk,
    make_policy,
    make_team,
    policy_knowledge,
    policy_names,
    rule_names,
    team_knowledge,
    team_names,
    tuned_knobs,
)
from policies.rules import RULES

SCENARIO = tiny(intervals=8, opportunities_per_interval=48, campaigns=3)


@pytest.mark.parametrize("name", [*team_names(), *rule_names()])
def test_every_team_plays_a_whole_flight_within_its_spaces(name: str) -> None:
    team = make_team(name)
    for moment in flight(team, SCENARIO, 5):
        check_actions(
            moment.actions, 3, SCENARIO.listeners.count, moment.market.interval - 1, moment.market.seeds
        )
        assert all(np.isfinite(leaf).all() for leaf in leaves(moment.step.rewards))
    assert moment.step.terminated
    assert not team.incapacities


@pytest.mark.parametrize("name", [*team_names(), *rule_names()])
def test_a_team_is_deterministic_and_a_market_is_played_alike_alone(name: str) -> None:
    one, again = (list(flight(make_team(name), SCENARIO, 4)) for _ in range(2))
    alone = list(flight(make_team(name), SCENARIO, 1, first=2))
    for whole, twin, part in zip(one, again, alone, strict=True):
        for a, b, c in zip(leaves(whole.actions), leaves(twin.actions), leaves(part.actions), strict=True):
            np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(a[2:3], c)


def test_only_the_oracle_reads_the_truth() -> None:
    assert [name for name in team_names() if make_team(name).privileged] == ["oracle"]
    assert {entry["name"]: entry["knowledge"] for entry in describe_teams()}["oracle"] == "privileged"
    with pytest.raises(ValueError, match="it needs a flight with market"):
        from envs.market import VectorMarket
        from envs.seeds import market_seeds
        from policies.policy import flight_of

        market = VectorMarket(SCENARIO, 1)
        market.reset(market_seeds("train", 0, 0, 1))
        make_team("oracle").start(flight_of(market))


def test_knobs_reach_the_team_and_stay_in_their_space() -> None:
    for name in [*team_names(), *rule_names()]:
        for knob, spec in knob_space(name).items():
            assert spec.low <= spec.default <= spec.high, f"{name}.{knob}"
        assert tuned_knobs(name).keys() == knob_space(name).keys()
    team = make_team("shadow-price", {"initial_dual": 3.5})
    assert team.policies["bidding"].desk.knobs.pacing.initial_dual == 3.5  # type: ignore[attr-defined]
    assert learning_desk().knobs.price_sd == tuned_knobs("certainty-equivalent")["price_sd"]


def test_tuned_knobs_come_from_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "baselines").mkdir()
    path = tmp_path / "baselines" / "pid.json"
    monkeypatch.setattr(registry, "configs_directory", lambda: tmp_path)
    registry._stored.cache_clear()
    try:
        path.write_text(json.dumps({"knobs": {"step": 0.321}}))
        assert tuned_knobs("pid")["step"] == 0.321
        registry._stored.cache_clear()
        path.write_text(json.dumps({"knobs": {"stride": 0.321}}))
        with pytest.raises(ConfigurationError, match=r"pid\.json: unknown knobs \['stride'\]; valid: "):
            make_team("pid")
    finally:
        registry._stored.cache_clear()


@pytest.mark.parametrize("role", ROLES)
def test_policies_of_a_role_by_name(role: str) -> None:
    for name in policy_names(role):
        policy = make_policy(role, name)
        assert policy.privileged is (name == "oracle")
        assert policy is not make_policy(role, name)
    with pytest.raises(UnknownNameError, match=f"unknown {role} policy 'nobody'"):
        make_policy(role, "nobody")


def test_a_rule_is_a_team_of_value_aware_and_knows_what_it_says() -> None:
    for name in rule_names():
        role = RULES[name].role
        assert name in policy_names(role)
        assert make_policy(role, name).name == name
        others = {r: p.name for r, p in make_team(name).policies.items() if r != role}
        assert others == {r: p.name for r, p in make_team("value-aware").policies.items() if r != role}
        assert policy_knowledge(role, name) == RULES[name].knowledge
        assert team_knowledge(name) == "part model-aware"
    assert policy_knowledge("creative", "linucb") == policy_knowledge("bidding", "pid") == "model-free"


def test_unknown_names_are_met_with_the_valid_ones() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'siloed'"):
        make_team("silod")
    with pytest.raises(UnknownNameError, match="unknown role 'audiance'"):
        policy_names("audiance")
