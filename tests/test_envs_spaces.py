from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence
from support.markets import RandomTeam, leaves, quiet, started, tiny

from envs.catalogue import CREATIVE_CHOICES, MAX_CAMPAIGNS, VIDEO, P, S, V
from envs.observation import ROLES, SCHEMAS
from envs.protocol import BOUNDS, InvalidActionError
from envs.reception import check_actions
from envs.spaces import (
    action_space,
    agent_names,
    claiming_creative_space,
    creative_alerting_space,
    creative_mask,
    creative_pausing_space,
    decode,
    encode,
    joint_action_space,
    observation_space,
    role_of,
    state_space,
)


def test_agents_have_a_stable_order() -> None:
    assert agent_names(2) == [
        *("audience_0", "creative_0", "creative_1", "bidding_0", "bidding_1", "monitor_0", "orchestrator_0")
    ]
    assert [role_of(agent)[0] for agent in agent_names(1)] == list(ROLES)
    assert role_of("bidding_3") == ("bidding", 3)


@pytest.mark.parametrize("role", ROLES)
def test_observation_spaces_come_from_the_schemas(role: str) -> None:
    space = observation_space(role)
    assert space.shape == (SCHEMAS[role].size,) and space.dtype == np.float32
    assert np.array_equal(space.low, SCHEMAS[role].low) and np.array_equal(space.high, SCHEMAS[role].high)


def test_action_spaces_are_those_of_the_design() -> None:
    audience, bidding = action_space("audience"), action_space("bidding")
    assert isinstance(audience, gymnasium.spaces.Box) and audience.shape == (MAX_CAMPAIGNS, S, 2)
    assert audience.high[0, 0].tolist() == [
        BOUNDS["audience"][name].high for name in ("affinity", "confidence")
    ]
    assert isinstance(bidding, gymnasium.spaces.Box) and bidding.shape == (1 + P + S,)
    assert action_space("creative") == gymnasium.spaces.MultiDiscrete(list(CREATIVE_CHOICES) * S)
    monitor = action_space("monitor")
    assert isinstance(monitor, gymnasium.spaces.MultiDiscrete) and monitor.nvec.size == MAX_CAMPAIGNS * P * 3
    orchestrator = action_space("orchestrator")
    assert isinstance(orchestrator, gymnasium.spaces.Dict)
    kinds = {name: type(space).__name__ for name, space in orchestrator.items()}
    assert kinds == {
        "aggression_cap": "Box",
        "budget_share": "Box",
        "pause": "MultiBinary",
        "premium_grant": "MultiDiscrete",
        "throttle": "Box",
    }
    assert orchestrator["throttle"].shape == (MAX_CAMPAIGNS, P)
    assert orchestrator["premium_grant"] == gymnasium.spaces.MultiDiscrete([MAX_CAMPAIGNS + 1] * S)


@pytest.mark.parametrize("campaigns", [1, 3])
def test_every_sample_is_an_action_and_its_encoding_is_its_decoding(campaigns: int) -> None:
    spaces = {agent: action_space(role_of(agent)[0]) for agent in agent_names(campaigns)}
    for n, space in enumerate(spaces.values()):
        space.seed(n)
    seeds = np.array([7], np.uint64)
    for _ in range(30):
        sample = {agent: space.sample() for agent, space in spaces.items()}
        actions = decode(sample, campaigns, "here")
        check_actions(actions, campaigns, 32, 0, seeds)
        assert data_equivalence(encode(actions), sample, exact=True)


def test_a_creative_agent_may_claim_video_and_who_does_not_claims_nothing() -> None:
    space = claiming_creative_space()
    space.seed(3)
    assert list(space) == list(BOUNDS["creative"])
    said = encode(quiet(started(tiny())))
    assert decode(said, 2, "here").premium_value_usd is None
    claiming = space.sample()
    actions = decode({**said, "creative_1": claiming}, 2, "here")
    check_actions(actions, 2, 32, 0, np.array([7], np.uint64))
    assert actions.premium_value_usd is not None
    assert np.array_equal(actions.premium_value_usd[0], [np.zeros(S), claiming["premium_value_usd"]])
    assert np.array_equal(actions.creative[0, 1].reshape(-1), claiming["creative"])
    again = encode(actions)
    assert data_equivalence(again["creative_1"]["creative"], claiming["creative"], exact=True)
    assert space.contains(claiming) and set(again["creative_0"]) == set(space)


def test_one_market_of_a_batch_can_be_encoded() -> None:
    market = started(tiny(), 3)
    actions = RandomTeam()(market)
    again = decode(encode(actions, 2), 2, "here")
    for whole, one in zip(leaves(actions), leaves(again), strict=True):
        assert np.array_equal(whole[2:], one)


def test_the_extremes_of_every_space_are_actions() -> None:
    low = {agent: action_space(role_of(agent)[0]) for agent in agent_names(2)}
    seeds = np.array([7], np.uint64)
    for end in ("low", "high"):
        edge = {}
        for agent, space in low.items():
            if isinstance(space, gymnasium.spaces.Box):
                edge[agent] = getattr(space, end)
            elif isinstance(space, gymnasium.spaces.MultiDiscrete):
                edge[agent] = space.nvec - 1 if end == "high" else 0 * space.nvec
            else:
                edge[agent] = encode(quiet(started(tiny())))[agent]
        check_actions(decode(edge, 2, "here"), 2, 32, 0, seeds)


def test_the_mask_allows_video_where_it_is_granted() -> None:
    mask = creative_mask(np.array([True, False, False, True]))
    space = action_space("creative")
    space.seed(0)
    formats = np.array([space.sample(mask) for _ in range(300)]).reshape(300, S, 4)[..., 0]
    assert ((formats == VIDEO).any(0) == [True, False, False, True]).all()
    assert len(mask) == 4 * S and all(part.any() for part in mask)


def test_the_mask_bars_paused_creatives_and_none_where_all_are() -> None:
    granted, space = np.zeros(S, bool), action_space("creative")
    mask = creative_mask(granted, np.array([0, 1, 0]))
    scripts = np.array([space.sample(mask) for _ in range(100)]).reshape(100, S, 4)[..., 1]
    assert set(scripts.ravel()) == {0, 2}
    for one, other in zip(creative_mask(granted, np.ones(V, int)), creative_mask(granted), strict=True):
        assert np.array_equal(one, other)


def test_alerts_and_pauses_of_creatives_are_actions_of_their_spaces() -> None:
    market = started(tiny())
    actions = encode(RandomTeam()(market))
    said, fields = actions["orchestrator_0"], creative_pausing_space()
    assert said.keys() == fields.keys()
    assert fields.contains({name: said[name].astype(space.dtype) for name, space in fields.items()})
    assert creative_alerting_space().contains(actions["monitor_0"])


@pytest.mark.parametrize(
    ("agent", "action", "says"),
    [
        ("bidding_1", np.zeros(7), "field 'log_multiplier' has shape (7,) HERE, expected (8,)"),
        ("creative_0", np.zeros(16), "field 'creative' holds"),
        ("creative_0", np.zeros((4, 4), int), "expected (16,)"),
        ("creative_0", {"creative": np.zeros(16, int)}, "with the fields creative, premium_value_usd HERE"),
        (
            "creative_1",
            {"creative": np.zeros(16, int), "premium_value_usd": np.zeros(3)},
            "field 'premium_value_usd' has shape (3,) HERE, expected (4,)",
        ),
        ("audience_0", None, "field 'affinity' holds None HERE"),
        ("monitor_0", {"alert": np.zeros(36, int)}, "with the fields alert, creative_alert HERE"),
        ("audience_0", [[1.0], [1.0, 2.0]], "expected numbers of shape (4, 4, 2)"),
        ("monitor_0", "quiet", "expected whole numbers of shape (36,)"),
        ("orchestrator_0", 3, "expected a dictionary with the fields budget_share,"),
        ("orchestrator_0", {"pause": np.zeros(4)}, "got pause"),
    ],
)
def test_a_wrong_form_is_an_error_that_teaches(agent: str, action: object, says: str) -> None:
    actions = encode(quiet(started(tiny())))
    actions[agent] = action
    with pytest.raises(InvalidActionError) as caught:
        decode(actions, 2, "HERE")
    assert str(caught.value).startswith(f"{agent}: ") and says in str(caught.value)


def test_a_wrong_field_of_the_directive_is_named() -> None:
    actions = encode(quiet(started(tiny())))
    actions["orchestrator_0"]["pause"] = np.zeros(4)
    with pytest.raises(InvalidActionError, match="orchestrator_0: field 'pause' holds"):
        decode(actions, 2, "here")


def test_the_state_space_allows_absent_campaigns() -> None:
    space = state_space()
    market = started(tiny(campaigns=1))
    assert space.contains(market.state()[0])
    assert (space.low < space.high).all()


def test_one_agent_may_decide_for_several_roles() -> None:
    joint = joint_action_space("creative", "bidding")
    assert {role: joint[role] for role in joint} == {
        role: action_space(role) for role in ("creative", "bidding")
    }
