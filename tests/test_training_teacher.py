from typing import Any

import numpy as np
import pytest
import torch
from support.scenario_files import TINY

from envs.catalogue import ARMS, K, P, S
from envs.market import VectorMarket
from envs.seeds import market_seeds
from policies.registry import make_team
from training.batch import learning_batch
from training.configuration import TeacherSettings, TrainingConfiguration
from training.losses import bidding_outputs, creative_outputs, taught_loss
from training.plain import PlainTrainer
from training.rollout import moments, play_rollout
from training.teacher import ARM_SCORE, LEAST_RESPONSE, LOG_MULTIPLIER, LOG_RESPONSE, TEACHER_TEAM, Teacher
from training.warm_up import WarmUp, warm_up

B, C, T = 4, 2, 5


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> TrainingConfiguration:
    path = tmp_path_factory.mktemp("scenarios") / "tiny.yaml"
    path.write_text(TINY)
    settings: dict[str, Any] = {
        "networks": {"creative_hidden": 16, "bidding_hidden": 16, "memory": 8, "foretells": True},
        "ppo": {"minibatches": 2, "bidding_learning_rate": 3e-3},
        "sampling": {"markets": 8},
        "iterations": 12,
        "prior_markets": 0,
        "teacher": {"imitation": 3.0, "until": 1.0, "foretelling": 0.3},
    }
    return TrainingConfiguration(name="tiny", scenario=str(path), **settings)


@pytest.fixture(scope="module")
def start(configuration: TrainingConfiguration) -> WarmUp:
    return warm_up(configuration)


def test_labels_are_what_the_oracle_does_and_what_is_true(configuration: TrainingConfiguration) -> None:
    market = VectorMarket(configuration.load_scenario(), B)
    teacher = Teacher(market)
    seeds = market_seeds("train", 0, 0, B)
    intervals = 0
    for moment in moments(market, make_team(TEACHER_TEAM), seeds, truth=False, watcher=teacher):
        score, bid, response = (teacher.labels[name] for name in (ARM_SCORE, LOG_MULTIPLIER, LOG_RESPONSE))
        assert score.shape == response.shape == (B, C, S, K)
        assert bid.shape == (B, C, 1 + P + S)
        chosen = np.where(teacher.desk.arm_mask, score, -np.inf).argmax(-1)
        np.testing.assert_array_equal(ARMS[chosen], moment.actions.creative)
        np.testing.assert_allclose(bid, moment.actions.bidding, atol=1e-6)
        assert response.min() >= np.log(LEAST_RESPONSE) - 1e-6
        assert np.ptp(response) > 0.1
        intervals += 1
    assert intervals == T


def test_true_responses_are_those_of_the_coming_interval(configuration: TrainingConfiguration) -> None:
    market = VectorMarket(configuration.load_scenario(), B)
    teacher, seen = Teacher(market), market.reset(market_seeds("train", 0, 0, B))
    teacher.start()
    teacher.watch(seen.bidding)
    expected = np.log(np.maximum(LEAST_RESPONSE, market.expectation().response))
    np.testing.assert_allclose(teacher.labels[LOG_RESPONSE], expected, rtol=1e-5)


def test_who_is_watched_plays_as_if_alone(configuration: TrainingConfiguration, start: WarmUp) -> None:
    alone = configuration.model_copy(update={"teacher": TeacherSettings()})
    trainer = PlainTrainer(configuration, start)
    seeds = market_seeds("train", 0, 0, 8)
    watched, unwatched = (
        play_rollout(trainer.market, trainer.team, seeds, settings) for settings in (configuration, alone)
    )
    assert watched.columns.keys() - unwatched.columns.keys() == {ARM_SCORE, LOG_MULTIPLIER, LOG_RESPONSE}
    for name, array in unwatched.columns.items():
        np.testing.assert_array_equal(array, watched.columns[name], err_msg=name)


def test_a_learner_comes_to_do_and_to_know_what_the_teacher_does(
    configuration: TrainingConfiguration, start: WarmUp
) -> None:
    trainer = PlainTrainer(configuration, start)
    held_back = play_rollout(trainer.market, trainer.team, market_seeds("train", 9, 0, 8), configuration)
    batch, _ = learning_batch(held_back.columns, trainer.critic, configuration.ppo, whole_flights=True)

    @torch.no_grad()
    def gaps() -> list[float]:
        """Of creatives, of what is foretold, and of bids."""
        outputs = {
            "creative": creative_outputs(trainer.creative, batch["creative"]),
            "bidding": bidding_outputs(trainer.bidding, batch["bidding"]),
        }
        told = (
            taught_loss(role, found, batch[role], configuration.teacher, 0.0)[1]
            for role, found in outputs.items()
        )
        return [float(gap) for diagnostics in told for gap in diagnostics.values()]

    before = gaps()
    for number in range(configuration.iterations):
        trainer.iteration(number, market_seeds("train", 0, number * 8, 8))
    after = gaps()
    assert len(before) == 3
    assert all(later < 0.9 * earlier for earlier, later in zip(before, after, strict=True)), (before, after)
