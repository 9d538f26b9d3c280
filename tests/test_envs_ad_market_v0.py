from __future__ import annotations

import re
import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test
from pettingzoo.test.state_test import state_test
from pettingzoo.utils import parallel_to_aec
from support.markets import RandomTeam, play, quiet, started, tiny

from envs import ad_market_v0
from envs.ad_market_v0 import AdMarket, parallel_env, vector_env
from envs.catalogue import VIDEO
from envs.errors import InterludeError, UnknownNameError
from envs.market import VectorMarket
from envs.observation import ROLES, SCHEMAS
from envs.protocol import InvalidActionError
from envs.scenario import load_scenario, scenario_names
from envs.seeds import SPLITS, market_seeds
from envs.spaces import action_space, encode, role_of

TINY = tiny()
EXPECTED = re.compile("Action space for each agent|different observation space sizes|different shapes")
"""What PettingZoo warns of where agents of several roles have spaces of their own."""


def sampled(environment: AdMarket) -> dict[str, Any]:
    return {agent: environment.action_space(agent).sample() for agent in environment.agents}


def seeded(environment: AdMarket, seed: int) -> AdMarket:
    for n, agent in enumerate(environment.possible_agents):
        environment.action_space(agent).seed(seed + n)
    return environment


def flight(environment: AdMarket) -> list[tuple[Any, ...]]:
    """Every output of a flight after a reset that was just done elsewhere."""
    found = []
    while environment.agents:
        found.append((*environment.step(sampled(environment)), environment.state()))
    return found


def same(one: Any, two: Any) -> bool:
    """Bit for bit, types included."""
    if isinstance(one, dict):
        return list(one) == list(two) and all(same(one[key], two[key]) for key in one)
    if isinstance(one, tuple | list):
        return len(one) == len(two) and all(same(a, b) for a, b in zip(one, two, strict=True))
    if isinstance(one, np.ndarray):
        return one.dtype == two.dtype and one.shape == two.shape and one.tobytes() == two.tobytes()
    return type(one) is type(two) and one == two


def test_pettingzoo_checks_pass_and_warn_of_nothing_unexpected() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        parallel_api_test(parallel_env(TINY), num_cycles=50)
        parallel_seed_test(lambda: parallel_env(TINY))
        api_test(parallel_to_aec(parallel_env(TINY)), num_cycles=100)
        api_test(ad_market_v0.env(TINY), num_cycles=100)
        state_test(ad_market_v0.env(TINY), parallel_env(TINY))
    unexpected = [str(w.message) for w in caught if not EXPECTED.search(str(w.message))]
    assert not unexpected


def check(environment: AdMarket, outputs: tuple[Any, ...]) -> None:
    observations, rewards, terminated, truncated, infos, state = outputs
    agents = environment.possible_agents
    for named in (observations, rewards, terminated, truncated, infos):
        assert list(named) == agents
    for agent in agents:
        space = environment.observation_space(agent)
        assert observations[agent].dtype == np.float32 and observations[agent].shape == space.shape
        assert space.contains(observations[agent])
        assert type(rewards[agent]) is float and np.isfinite(rewards[agent])
        assert type(terminated[agent]) is bool and truncated[agent] is False
        assert infos[agent].keys() <= {"interval", "action_mask"}
    assert environment.state_space.contains(state) and state.dtype == np.float32


def test_a_claim_on_video_reaches_the_orchestrator() -> None:
    environment = seeded(parallel_env(TINY), 0)
    environment.reset(seed=5)
    claims = np.array([0.0, 3.5, 0.0, 1e7])
    actions = {agent: environment.action_space(agent).sample() for agent in environment.agents}
    actions["creative_1"] = {"creative": actions["creative_1"], "premium_value_usd": claims}
    views = environment.step(actions)[0]
    heard = SCHEMAS["orchestrator"].view(views["orchestrator_0"], "premium_value_usd")
    assert np.array_equal(heard[1], claims.astype(np.float32)) and (heard[0] == 0.0).all()
    told = [r for r in environment.messages() if r["field"] == "premium_value_usd"]
    assert [r["value"] for r in told] == [[0.0] * 4, claims.tolist()]
    actions["creative_1"]["premium_value_usd"] = -claims
    with pytest.raises(InvalidActionError, match="creative_1: field 'premium_value_usd' at"):
        environment.step(actions)


@pytest.mark.parametrize("name", scenario_names())
def test_every_scenario_conforms(name: str) -> None:
    one, two, other = (seeded(parallel_env(name), 0) for _ in range(3))
    start, twin, different = one.reset(seed=5), two.reset(seed=5), other.reset(seed=6)
    assert same(start, twin) and not same(start, different)
    for agent, observation in start[0].items():
        assert one.observation_space(agent).contains(observation)
    first, second, third = flight(one), flight(two), flight(other)
    assert len(first) == one.scenario.intervals
    assert same(first, second) and not same(first, third)
    for t, outputs in enumerate(first):
        check(one, outputs)
        assert all(end == (t == len(first) - 1) for end in outputs[2].values())
    assert one.agents == []


@pytest.mark.parametrize("split", SPLITS)
def test_the_view_equals_the_market_of_a_batch(split: Any) -> None:
    scenario, team = tiny(campaigns=3), RandomTeam()
    batch = vector_env(scenario, 3, split=split)
    everything = [batch.reset(market_seeds(split, 9, 0, 3))]
    states = [batch.state()]
    steps = []
    for _ in range(scenario.intervals):
        steps.append(batch.step(team(batch)))
        everything.append(steps[-1].observations)
        states.append(batch.state())
    hidden = batch.privileged_state()
    environment = parallel_env(scenario, split=split)
    for k in range(3):
        views, _ = environment.reset(seed=9) if k == 0 else environment.reset()
        for t in range(scenario.intervals + 1):
            for agent in environment.possible_agents:
                role, n = role_of(agent)
                assert same(views[agent], getattr(everything[t], role)[k, n])
            assert same(environment.state(), states[t][k])
            if t == scenario.intervals:
                break
            views, rewards, *_ = environment.step(encode(team(environment.market)))
            given = steps[t].rewards
            for c in range(3):
                assert rewards[f"creative_{c}"] == given.creative[k, c]
                assert rewards[f"bidding_{c}"] == given.bidding[k, c]
            for agent in ("audience_0", "monitor_0", "orchestrator_0"):
                assert rewards[agent] == given.team[k]
        assert same(environment.privileged_state(), hidden[k])


def test_seeds_advance_deterministically_and_a_first_reset_draws_one() -> None:
    one, two = parallel_env(TINY), parallel_env(TINY)
    one.reset(seed=3)
    two.reset(seed=3)
    for k in range(3):
        assert one.market.seeds == two.market.seeds == market_seeds("train", 3, k, 1)
        one.reset()
        two.reset()
    one.reset(seed=3)
    assert one.market.seeds == market_seeds("train", 3, 0, 1)
    drawn = [parallel_env(TINY) for _ in range(3)]
    for environment in drawn:
        environment.reset(options={"ignored": True})
    assert len({int(environment.market.seeds[0]) for environment in drawn}) == 3
    with pytest.raises(ValueError, match="seed must be in"):
        one.reset(seed=-1)


def test_whoever_runs_a_market_can_name_it_but_its_agents_cannot() -> None:
    environment = parallel_env(TINY)
    _, infos = environment.reset(seed=3)
    assert environment.market_seed == int(market_seeds("train", 3, 0, 1)[0])
    assert str(environment.market_seed) not in str(infos)


def test_the_mask_follows_the_grants() -> None:
    environment = parallel_env(TINY)
    _, infos = environment.reset(seed=1)
    assert all(infos[f"creative_{c}"]["action_mask"][0][VIDEO] == 0 for c in range(2))
    actions = encode(quiet(environment.market))
    actions["orchestrator_0"]["premium_grant"] = np.array([0, 2, 0, 1])
    *_, infos = environment.step(actions)
    masks = [[infos[f"creative_{c}"]["action_mask"][4 * s][VIDEO] for s in range(4)] for c in range(2)]
    assert masks == [[0, 0, 0, 1], [0, 1, 0, 0]]
    assert "action_mask" not in infos["bidding_0"]


def test_the_mask_follows_the_pauses_of_creatives() -> None:
    environment = parallel_env(TINY)
    environment.reset(seed=1)
    actions = encode(quiet(environment.market))
    paused = np.zeros((4, 3), np.int64)
    paused[1, 2] = 1
    actions["orchestrator_0"]["creative_pause"] = paused
    *_, infos = environment.step(actions)
    masks = [infos[f"creative_{c}"]["action_mask"][1].tolist() for c in range(2)]
    assert masks == [[1, 1, 1], [1, 1, 0]]


def test_entries_of_absent_campaigns_are_ignored() -> None:
    rewards = []
    for value in (0, 1):
        environment = parallel_env(TINY)
        environment.reset(seed=1)
        for _ in range(3):
            actions = encode(quiet(environment.market))
            for field in ("pause", "throttle", "aggression_cap", "budget_share"):
                actions["orchestrator_0"][field][2:] = value if field != "budget_share" else 1 + value
            actions["audience_0"][2:] = value
            _, reward, *_ = environment.step(actions)
            rewards.append(reward)
    assert rewards[:3] == rewards[3:]


def test_messages_are_what_agents_read() -> None:
    environment = parallel_env(TINY)
    environment.reset(seed=1)
    views, *_ = environment.step(sampled(seeded(environment, 0)))
    said = {(record["sender"], record["field"]): record for record in environment.messages()}
    read = SCHEMAS["creative"].view(views["creative_1"], "segment_affinity")
    assert np.allclose(said["audience_0", "affinity"]["value"][1], read)
    assert {record["interval"] for record in environment.messages()} == {1}


def test_misuse_is_told_what_is_right() -> None:
    environment = parallel_env(TINY)
    for method in (environment.state, environment.privileged_state, environment.messages):
        with pytest.raises(InterludeError, match=rf"{method.__name__}\(\) before reset\(\)"):
            method()
    with pytest.raises(InterludeError, match=r"step\(\) before reset\(\)"):
        environment.step({})
    environment.reset(seed=2)
    seed = int(environment.market.seeds[0])
    good = encode(quiet(environment.market))
    with pytest.raises(
        UnknownNameError, match=r"unknown agent 'bidding_2'.*Valid names: audience_0, creative_0"
    ):
        environment.step({**good, "bidding_2": good["bidding_1"]})
    with pytest.raises(
        InvalidActionError, match=f"no action for bidding_0, monitor_0 in interval 0 .*{seed}"
    ):
        environment.step({a: action for a, action in good.items() if a not in ("bidding_0", "monitor_0")})
    for value in (np.nan, np.inf, 4.5):
        bad = np.zeros(8)
        bad[3] = value
        with pytest.raises(
            InvalidActionError, match=rf"bidding_1: .*'log_multiplier' .*interval 0 .*seed {seed}"
        ):
            environment.step({**good, "bidding_1": bad})
    with pytest.raises(InvalidActionError, match=f"creative_0: field 'creative' .*interval 0 .*seed {seed}"):
        environment.step({**good, "creative_0": np.full(16, 2)})
    assert environment.market.interval == 0 and environment.agents == environment.possible_agents
    for _ in range(6):
        environment.step(good)
    for actions in (good, {}):
        with pytest.raises(InterludeError, match=r"after the end: all agents finished.*call reset"):
            environment.step(actions)
    environment.reset()
    environment.step(good)


def test_unknown_arguments_name_the_valid_ones() -> None:
    with pytest.raises(UnknownNameError, match="ansi, rgb_array"):
        parallel_env(TINY, render_mode="human")
    with pytest.raises(UnknownNameError, match="default"):
        parallel_env("defualt")
    with pytest.raises(UnknownNameError, match="held_out"):
        parallel_env(TINY, split="test")  # type: ignore[arg-type]
    for space in (parallel_env(TINY).action_space, parallel_env(TINY).observation_space):
        with pytest.raises(UnknownNameError, match="audience_0"):
            space("audience_1")


def test_aec_agents_act_in_turn_through_a_whole_flight() -> None:
    environment = ad_market_v0.env(TINY)
    environment.reset(seed=4)
    turns = []
    for agent in environment.agent_iter():
        _, reward, terminated, truncated, info = environment.last()
        assert np.isfinite(reward) and not truncated and "interval" in info
        turns.append(agent)
        over = terminated or truncated
        environment.step(None if over else environment.action_space(agent).sample())
    assert len(turns) == 7 * (TINY.intervals + 1)
    assert str(environment) == "ad_market_v0"


@pytest.mark.parametrize("mode", ["ansi", "rgb_array"])
def test_it_renders_from_the_first_interval_to_the_last(mode: str) -> None:
    environment = seeded(parallel_env(TINY, render_mode=mode), 0)
    with pytest.raises(InterludeError, match=r"render\(\) before reset\(\)"):
        environment.render()
    environment.reset(seed=1)
    pictures = [environment.render()]
    while environment.agents:
        environment.step(sampled(environment))
    pictures.append(environment.render())
    environment.reset()
    pictures.append(environment.render())
    for picture in pictures:
        if mode == "ansi":
            assert isinstance(picture, str) and "ad_market_v0" in picture
        else:
            assert (
                isinstance(picture, np.ndarray)
                and picture.dtype == np.uint8
                and picture.shape == (800, 1200, 3)
            )
    assert not same(pictures[0], pictures[1])


def test_render_without_a_mode_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(gymnasium.logger, "warn", told.append)
    environment = parallel_env(TINY)
    environment.reset(seed=1)
    assert environment.render() is None and "rgb_array" in told[0]
    environment.close()


def test_real_tastes_reach_the_market() -> None:
    pool = np.random.default_rng(0).normal(size=(5, 8))
    environment = parallel_env(TINY, taste_pool=pool)
    environment.reset(seed=1)
    assert np.isin(environment.market.parameters.listener_taste, pool).all()


def test_vector_env_is_the_native_market() -> None:
    market = vector_env("quick", 2, split="development")
    assert isinstance(market, VectorMarket)
    assert (market.num_markets, market.split, market.scenario) == (2, "development", load_scenario("quick"))
    assert len(play(started(TINY), quiet)) == TINY.intervals


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((3,), TypeError, r"scenario must be a name.* got 3; .*vector_env\('default', 3\)"),
        ((None,), TypeError, "scenario must be a name"),
        (("quick", "3"), TypeError, "num_markets must be an integer of at least 1, got '3'"),
        (("quick", 2.0), TypeError, "num_markets must be an integer"),
        (("quick", True), TypeError, "num_markets must be an integer"),
        (("quick", 0), ValueError, "num_markets must be at least 1, got 0"),
        (("quik", 3), UnknownNameError, "did you mean 'quick'"),
    ],
)
def test_arguments_of_vector_env_that_are_none_are_told(
    arguments: tuple[Any, ...], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        vector_env(*arguments)


def test_a_number_of_numpy_is_a_number_of_markets() -> None:
    assert vector_env(TINY, np.int64(2)).num_markets == 2  # type: ignore[arg-type]


def test_the_documentation_agrees_with_the_spaces() -> None:
    text = ad_market_v0.__doc__
    assert text is not None
    rows = dict(re.findall(r"^\| `([a-z]+)_[^`]*` \| (.*?) \|", text, re.M))
    assert rows == {role: f"Box [{SCHEMAS[role].size}]" for role in ROLES}
    actions = dict(re.findall(r"^\| `([a-z]+)_[^`]*` \| .*? \| (.*?) \|", text, re.M))
    sizes = {role: gymnasium.spaces.flatdim(action_space(role)) for role in ("audience", "bidding")}
    assert actions["audience"] == "Box [4, 4, 2]" and sizes["audience"] == 32
    assert actions["bidding"] == f"Box [{sizes['bidding']}]"
    for role in ("creative", "monitor"):
        assert actions[role] == f"MultiDiscrete [{action_space(role).shape[0]}]"  # type: ignore[index]
    directive = action_space("orchestrator").sample()
    assert actions["orchestrator"] == f"Dict [{sum(np.size(part) for part in directive.values())}]"
    listed = dict(re.findall(r"^\* ([a-z, ]+): ((?:.|\n  )*)", text, re.M))
    common = listed["all"].split(", ")
    for roles, fields in listed.items():
        if roles != "all":
            for role in roles.split(", "):
                named = common + re.split(r",\s+", fields.strip())
                assert named == [field.name for field in SCHEMAS[role].fields], role
