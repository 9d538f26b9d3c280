from pathlib import Path

import numpy as np
import pytest
import torch
from support.scenario_files import TINY

from envs.errors import InterludeError
from envs.market import VectorMarket
from envs.seeds import market_seeds
from evaluation.metrics import KPIS
from policies.learned import gaussian_log_probability
from policies.networks import BiddingActor, CreativeActor
from training.batch import CRITIC, learning_batch, minibatches, permutation_generator, row_count
from training.configuration import TrainingConfiguration
from training.critic import Critic
from training.losses import returns_to_go
from training.rollout import Rollout, check_finite, learning_team, play_rollout, training_market
from training.warm_up import WarmUp, apply_statistics, warm_up

B, C, T = 3, 2, 5


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> TrainingConfiguration:
    path = tmp_path_factory.mktemp("scenarios") / "tiny.yaml"
    path.write_text(TINY)
    return TrainingConfiguration(name="tiny", scenario=str(path))


@pytest.fixture(scope="module")
def start(configuration: TrainingConfiguration) -> WarmUp:
    return warm_up(configuration)


@pytest.fixture(scope="module")
def actors(configuration: TrainingConfiguration, start: WarmUp) -> dict[str, CreativeActor | BiddingActor]:
    torch.manual_seed(0)
    actors: dict[str, CreativeActor | BiddingActor] = {
        "creative": CreativeActor(configuration.networks),
        "bidding": BiddingActor(configuration.networks),
    }
    for actor in actors.values():
        apply_statistics(actor, start.statistics)
    return actors


@pytest.fixture(scope="module")
def rollout(configuration: TrainingConfiguration, actors: dict[str, CreativeActor | BiddingActor]) -> Rollout:
    return play(configuration, actors, market_seeds("train", 0, 0, B))


def play(
    configuration: TrainingConfiguration,
    actors: dict[str, CreativeActor | BiddingActor],
    seeds: np.ndarray,
) -> Rollout:
    market = VectorMarket(configuration.load_scenario(), len(seeds))
    return play_rollout(market, learning_team(configuration, actors, sample=True), seeds, configuration)


def test_the_warm_up_measures_every_input(start: WarmUp) -> None:
    assert {name.partition(".")[0] for name in start.statistics} == {
        *("campaign_encoder", "market_encoder", "return_scale")
    }
    assert all(value > 0 for value in start.statistics["return_scale"])
    assert np.ptp(start.statistics["campaign_encoder.grouped_mean"]) > 0


def test_a_rollout_is_whole_flights(rollout: Rollout) -> None:
    assert rollout.env_steps() == T * B
    assert rollout.agent_steps() == T * B * C * 2
    for array in rollout.columns.values():
        assert array.shape[:2] == (T, B)
    assert rollout.columns["arm"].shape == (T, B, C, 4)
    assert rollout.columns["action"].shape == (T, B, C, 8)
    assert set(rollout.kpis) == set(KPIS)
    assert (rollout.bids_usd > 0).all()


def test_a_rollout_depends_on_seeds_and_weights_alone(
    configuration: TrainingConfiguration,
    actors: dict[str, CreativeActor | BiddingActor],
    rollout: Rollout,
) -> None:
    again = play(configuration, actors, market_seeds("train", 0, 0, B))
    for name, array in rollout.columns.items():
        np.testing.assert_array_equal(array, again.columns[name], name)
    other = play(configuration, actors, market_seeds("train", 0, B, B))
    assert not np.array_equal(rollout.columns["arm"], other.columns["arm"])


def test_log_probabilities_are_those_of_what_was_done(
    rollout: Rollout, actors: dict[str, CreativeActor | BiddingActor]
) -> None:
    columns = {name: torch.from_numpy(array) for name, array in rollout.columns.items()}
    bidding, creative = actors["bidding"], actors["creative"]
    assert isinstance(bidding, BiddingActor)
    assert isinstance(creative, CreativeActor)
    mean = bidding.mean(columns["plain"], columns["grouped"])
    found = gaussian_log_probability(columns["action"], mean, bidding.log_std)
    torch.testing.assert_close(found, columns["action_log_probability"], atol=1e-4, rtol=1e-4)
    inputs = (columns[name] for name in ("plain", "grouped", "arm_log_score", "arm_mask"))
    logits = creative.logits(*inputs).log_softmax(-1)
    found = logits.gather(-1, columns["arm"][..., None])[..., 0]
    torch.testing.assert_close(found, columns["arm_log_probability"], atol=1e-4, rtol=1e-4)
    assert columns["arm_mask"].gather(-1, columns["arm"][..., None]).all()


def test_an_observation_that_is_not_finite_is_named(configuration: TrainingConfiguration) -> None:
    market = VectorMarket(configuration.load_scenario(), B)
    observations = market.reset(market_seeds("train", 0, 0, B))
    check_finite(observations, market)
    observations.bidding[2, 1, -1] = np.nan
    with pytest.raises(
        InterludeError, match=rf"bidding_1.*'win_rate' is nan in interval 0.*{market.seeds[2]}"
    ):
        check_finite(observations, market)


def test_a_batch_has_the_same_rows_for_every_module(
    configuration: TrainingConfiguration, rollout: Rollout, start: WarmUp
) -> None:
    critic = Critic(configuration.networks, "shared", start.truth_sizes)
    apply_statistics(critic.observable, start.statistics)
    batch, explained = learning_batch(rollout.columns, critic, configuration.ppo)
    assert row_count(batch) == T * B
    assert {len(rows) for columns in batch.values() for rows in columns.values()} == {T * B}
    for module, advantage in (("creative", "arm_advantage"), ("bidding", "action_advantage")):
        assert batch[module][advantage].std() == pytest.approx(1.0, abs=1e-4)
    assert np.isfinite(list(explained.values())).all()
    whole = configuration.ppo.model_copy(update={"lambda_": 1.0})
    batch, _ = learning_batch(rollout.columns, critic, whole)
    rewards = torch.from_numpy(rollout.columns["reward"]) / critic.observable.return_scale
    returns = returns_to_go(rewards, whole.gamma).flatten(0, 1)
    torch.testing.assert_close(batch[CRITIC]["target"], returns, atol=1e-3, rtol=1e-3)


def test_a_monolithic_policy_has_the_columns_of_both_roles(
    configuration: TrainingConfiguration, rollout: Rollout, start: WarmUp
) -> None:
    critic = Critic(configuration.networks, "shared", start.truth_sizes)
    apply_statistics(critic.observable, start.statistics)
    apart, _ = learning_batch(rollout.columns, critic, configuration.ppo)
    batch, _ = learning_batch(rollout.columns, critic, configuration.ppo, together=True)
    assert batch.keys() == {"team", CRITIC}
    assert batch["team"].keys() == apart["creative"].keys() | apart["bidding"].keys()
    for role in ("creative", "bidding"):
        for name, column in apart[role].items():
            assert torch.equal(batch["team"][name], column), name


def test_minibatches_cover_an_epoch_once_and_keep_modules_together() -> None:
    rows = torch.arange(12)
    batch = {"creative": {"x": rows}, CRITIC: {"target": rows * 10}}
    parts = list(minibatches(batch, 2, 3, permutation_generator(0, 0)))
    assert len(parts) == 6
    assert all(torch.equal(part["creative"]["x"] * 10, part[CRITIC]["target"]) for part in parts)
    for epoch in (parts[:3], parts[3:]):
        assert sorted(torch.cat([part["creative"]["x"] for part in epoch]).tolist()) == list(range(12))
    first, again, other = (torch.randperm(9, generator=permutation_generator(0, i)) for i in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("kind", ["shared", "unprivileged", "independent"])
def test_critics(kind: str, configuration: TrainingConfiguration) -> None:
    critic = Critic(configuration.networks, kind, (3, 5))  # type: ignore[arg-type]
    observable = critic.observable
    truth = (5, 3) if kind == "shared" else (0, 0)
    own, market = (
        torch.randn(7, C, observable.own_size + truth[0]),
        torch.randn(7, observable.market_size + truth[1]),
    )
    acting, seen = critic(own, market)
    assert acting.shape == seen.shape == (7, C, 6)
    turned, _ = critic(own.flip(1), market)
    torch.testing.assert_close(turned.flip(1), acting, atol=1e-4, rtol=1e-4)
    elsewhere, _ = critic(torch.cat([own[:, :1], own[:, 1:] + 1], 1), market)
    assert torch.allclose(elsewhere[:, 0], acting[:, 0]) == (kind == "independent")


def test_tastes_of_real_listeners_reach_the_market(
    configuration: TrainingConfiguration, tmp_path: Path
) -> None:
    pool = np.random.default_rng(0).normal(size=(50, 8))
    market = VectorMarket(configuration.load_scenario(), B, taste_pool=pool)
    market.reset(market_seeds("train", 0, 0, B))
    assert np.isin(market.parameters.listener_taste[..., 0].round(6), pool[:, 0].round(6)).any()


def test_a_base_team_that_reads_listeners_learns_who_they_are(
    configuration: TrainingConfiguration, actors: dict[str, CreativeActor | BiddingActor]
) -> None:
    reading = configuration.model_copy(update={"base_team": "listener-aware"})
    market = training_market(reading, B)
    team = learning_team(reading, actors, sample=True)
    rollout = play_rollout(market, team, market_seeds("train", 0, 0, B), reading)
    assert rollout.env_steps() == B * T
    assert market.impressions is not None
    table, segment = team.policies["audience"].listener_affinity, market.parameters.listener_segment  # type: ignore[attr-defined]
    assert max(np.ptp(table[b, c][segment[b] == 0]) for b in range(B) for c in range(C)) > 0.0
