"""What agents are rewarded with, and that a difference reward is what the team owes to a campaign."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.markets import RandomTeam, tiny

from envs.lift import Recording, incremental_lift, recorded
from envs.market import VectorMarket
from envs.protocol import Actions
from envs.rewards import Rewards
from envs.seeds import market_seeds
from envs.state import Float
from training.configuration import PpoSettings, TrainingConfiguration
from training.reward import asks_what_if, difference_rewards, flight_rewards, mixed_rewards
from training.rollout import play_rollout

B, C, T = 3, 3, 8
BUSY = tiny(
    campaigns=C,
    intervals=T,
    intervals_per_day=4,
    opportunities_per_interval=120,
    budget_fraction=0.1,
    auction={"pricing": "first_price"},
)
SEEDS = market_seeds("train", 3, 0, B)
DIFFERENCE = PpoSettings(own_reward="difference", team_reward_fraction=0.0)


def with_a_silent_campaign(market: VectorMarket) -> Actions:
    """Random play in which campaign 1 believes in nobody and so bids nothing."""
    table = np.ones((B, C, market.scenario.listeners.count))
    table[:, 1] = 0.0
    return RandomTeam()(market)._replace(listener_affinity=table)


def flown(team: Any) -> tuple[VectorMarket, list[Rewards], list[Recording]]:
    market = VectorMarket(BUSY, B)
    market.reset(SEEDS)
    rewards, recordings = [], []
    for _ in range(T):
        actions = team(market)
        recordings.append(recorded(market, actions))
        rewards.append(market.step(actions).rewards)
    return market, rewards, recordings


def owed(team: Any) -> Float:
    """[C, B] J less J without each campaign, as evaluation measures it."""

    def player(market: VectorMarket) -> Any:
        return lambda observations: team(market)

    return incremental_lift(BUSY, SEEDS, player, split="train").gain.objective_usd


def test_difference_rewards_add_up_to_what_the_team_owes_to_a_campaign() -> None:
    differences = difference_rewards(*flown(RandomTeam()))
    assert differences.shape == (T, B, C, 4)
    expected = owed(RandomTeam()).T
    assert (expected != 0.0).all()
    np.testing.assert_allclose(differences.sum((0, 3)), expected, rtol=1e-9)


def test_a_campaign_that_bids_nothing_earns_nothing_and_takes_nothing_from_others() -> None:
    differences = difference_rewards(*flown(with_a_silent_campaign))
    assert (differences[:, :, 1] == 0.0).all()
    assert (differences[..., [0, 2], :].sum((0, 3)) != 0.0).all()
    np.testing.assert_allclose(differences.sum((0, 3)), owed(with_a_silent_campaign).T, rtol=1e-9, atol=1e-9)


def test_both_roles_and_every_segment_get_the_difference() -> None:
    market, rewards, recordings = flown(RandomTeam())
    differences = difference_rewards(market, rewards, recordings)
    own = flight_rewards(market, rewards, recordings, DIFFERENCE)
    assert own.shape == (T, B, C, 6)
    np.testing.assert_allclose(own[..., 2:], differences, rtol=1e-5, atol=1e-6)
    for role in (0, 1):
        np.testing.assert_allclose(own[..., role], differences.sum(-1), rtol=1e-5, atol=1e-5)
    half = DIFFERENCE.model_copy(update={"team_reward_fraction": 0.5})
    mixed = flight_rewards(market, rewards, recordings, half)
    team = np.stack([interval.team for interval in rewards])[..., None]
    np.testing.assert_allclose(mixed[..., 0], (differences.sum(-1) + team) / 2, rtol=1e-5, atol=1e-5)


def test_nothing_is_played_again_where_nobody_asks() -> None:
    assert asks_what_if(DIFFERENCE)
    assert not asks_what_if(PpoSettings())
    whole = DIFFERENCE.model_copy(update={"team_reward_fraction": 1.0})
    assert not asks_what_if(whole)
    market, rewards, _ = flown(RandomTeam())
    for ppo in (PpoSettings(), whole):
        plain = flight_rewards(market, rewards, [], ppo)
        np.testing.assert_array_equal(plain, np.stack([mixed_rewards(r, ppo) for r in rewards]))
    assert market.interval == T


def test_a_rollout_is_the_same_whatever_its_rewards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Playing the flight again leaves what was learned from, and the KPIs, as they were."""
    import torch

    from policies.networks import BiddingActor, CreativeActor
    from training.rollout import learning_team

    monkeypatch.setattr(TrainingConfiguration, "load_scenario", lambda self: BUSY)
    torch.manual_seed(0)
    base = TrainingConfiguration(name="tiny", scenario="quick")
    actors = {"creative": CreativeActor(base.networks), "bidding": BiddingActor(base.networks)}
    market, rollouts = VectorMarket(BUSY, B), []
    for own in ("campaign", "difference", "difference"):
        ppo = base.ppo.model_copy(update={"own_reward": own, "team_reward_fraction": 0.0})
        configuration = base.model_copy(update={"ppo": ppo})
        team = learning_team(configuration, actors, sample=True)
        rollouts.append(play_rollout(market, team, SEEDS, configuration))
    plain, one, two = rollouts
    for name, array in one.columns.items():
        np.testing.assert_array_equal(array, two.columns[name], name)
        assert np.array_equal(array, plain.columns[name]) == (name != "reward"), name
    for tag, values in one.kpis.items():
        np.testing.assert_array_equal(values, plain.kpis[tag], tag)


def test_rewards_are_mixed() -> None:
    rng = np.random.default_rng(0)
    segment = rng.normal(size=(B, C, 4))
    rewards = Rewards(segment.sum((1, 2)), segment.sum(2), segment, *rng.normal(size=(2, B, C)))
    team = mixed_rewards(rewards, PpoSettings(team_reward_fraction=1.0))
    np.testing.assert_allclose(team[..., 0], np.repeat(rewards.team[:, None], C, 1), rtol=1e-6)
    np.testing.assert_allclose(team[..., 2:].sum(-1), team[..., 0], rtol=1e-5)
    own = mixed_rewards(rewards, PpoSettings(team_reward_fraction=0.0, own_reward="role"))
    np.testing.assert_allclose(own[..., 0], rewards.creative, rtol=1e-6)
    np.testing.assert_allclose(own[..., 1], rewards.bidding, rtol=1e-6)
    np.testing.assert_allclose(own[..., 2:], rewards.segment, rtol=1e-6)
    half = mixed_rewards(rewards, PpoSettings(team_reward_fraction=0.5, own_reward="role"))
    np.testing.assert_allclose(half, (own + team) / 2, atol=1e-6)
    own = mixed_rewards(rewards, PpoSettings(team_reward_fraction=0.0))
    np.testing.assert_allclose(own[..., 0], rewards.campaign, rtol=1e-6)
    np.testing.assert_allclose(own[..., 2:].sum(-1), own[..., 1], rtol=1e-5)
