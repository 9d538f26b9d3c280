"""Faults in runners and learners, and that RLlib still calls what we override."""

from collections.abc import Iterator

import numpy as np
import pytest
from support.scenario_files import TINY

from envs.errors import InterludeError
from envs.observation import SCHEMAS
from training.algorithm import MarketPPO, build_algorithm, role_of, shards
from training.configuration import TrainingConfiguration
from training.rollout import Rollout
from training.warm_up import warm_up

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> TrainingConfiguration:
    path = tmp_path_factory.mktemp("scenarios") / "tiny.yaml"
    path.write_text(TINY)
    return TrainingConfiguration.model_validate(
        {
            "name": "tiny",
            "scenario": str(path),
            "ppo": {"epochs": 2, "minibatches": 3},
            "sampling": {"markets": 4},
            "iterations": 4,
        }
    )


@pytest.fixture
def algorithm(one_ray: None, configuration: TrainingConfiguration) -> Iterator[MarketPPO]:
    built = build_algorithm(configuration, warm_up(configuration))
    yield built
    built.stop()


def test_every_hook_that_is_overridden_is_called(
    algorithm: MarketPPO, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = algorithm.learner_group._learner
    hooks = [
        "before_gradient_based_update",
        "_create_iterator_if_necessary",
        "_uncompiled_update",
        "compute_loss_for_module",
        "_log_metrics",
        "_log_steps_trained_metrics",
        "after_gradient_based_update",
    ]
    called: dict[str, int] = {}
    for name in hooks:
        attribute = "_possibly_compiled_update" if name == "_uncompiled_update" else name
        real = getattr(learner, attribute)

        def counted(*args: object, real: object = real, name: str = name, **kwargs: object) -> object:
            called[name] = called.get(name, 0) + 1
            return real(*args, **kwargs)  # type: ignore[operator]

        monkeypatch.setattr(learner, attribute, counted)
    algorithm.train()
    steps = 2 * 3  # epochs x minibatches, the same number for every module
    assert called == dict(zip(hooks, [1, 1, steps, 3 * steps, steps, steps, 1], strict=True))


def test_the_critic_stays_with_the_learner(algorithm: MarketPPO) -> None:
    runner = algorithm.env_runner_group.local_env_runner
    assert set(runner.module.keys()) == {"creative", "bidding"}
    assert set(algorithm.learner_group._learner.module.keys()) == {
        "creative",
        "bidding",
        "orchestrator_critic",
    }
    assert algorithm.learner_group._learner.rl_module_required_apis() == []


def test_runners_act_with_the_weights_just_learned_and_new_markets_every_time(algorithm: MarketPPO) -> None:
    runner = algorithm.env_runner_group.local_env_runner
    before = runner.module["creative"].actor.output.weight.detach().clone()
    algorithm.train()
    seeds = runner.market.seeds.copy()
    algorithm.train()
    assert not set(seeds) & set(runner.market.seeds)
    learned = algorithm.learner_group._learner.module["creative"].unwrapped().actor.output.weight
    assert (runner.module["creative"].actor.output.weight == learned).all()
    assert not (before == learned).all()


def test_the_learning_rate_falls_with_the_runs_progress(algorithm: MarketPPO) -> None:
    rates = []
    for progress in (0.0, 0.5, 1.0):
        algorithm.progress = progress
        rates.append(algorithm.train()["learners"]["creative"]["learning_rate"])
    assert rates == pytest.approx([3e-3, 1.65e-3, 3e-4])


def test_an_observation_that_is_not_finite_stops_training_and_is_named(
    algorithm: MarketPPO, monkeypatch: pytest.MonkeyPatch
) -> None:
    market = algorithm.env_runner_group.local_env_runner.market
    reset = market.reset

    def faulty(seeds: np.ndarray) -> object:
        observations = reset(seeds)
        observations.creative[1, 0, SCHEMAS["creative"].slices["wear"].start] = np.inf
        return observations

    monkeypatch.setattr(market, "reset", faulty)
    with pytest.raises(InterludeError, match=r"creative_0.*'wear' is inf in interval 0 of market seed \d+"):
        algorithm.train()


def test_learning_that_diverged_is_told(algorithm: MarketPPO) -> None:
    critic = algorithm.learner_group._learner.module["orchestrator_critic"].unwrapped().critic
    critic.observable.network.output.bias.data.fill_(float("nan"))
    with pytest.raises(InterludeError, match=r"orchestrator_critic: value_loss.* not finite"):
        algorithm.train()


def test_runners_never_share_a_market(configuration: TrainingConfiguration) -> None:
    from training.runner import first_market

    starts = {first_market(flight, worker, 3, 4) for flight in range(5) for worker in (1, 2, 3)}
    assert sorted(starts) == list(range(0, 60, 4))
    assert first_market(2, 0, 0, 4) == 8


def test_shards_are_whole_markets() -> None:
    rollouts = [Rollout({"reward": np.full((5, 2, 1), i)}, {}, np.zeros(1)) for i in range(2)]
    parts = shards(rollouts, 2)
    assert [part[0].columns["reward"].shape for part in parts] == [(5, 2, 1)] * 2
    assert [part[0].columns["reward"].max() for part in parts] == [0, 1]


def test_roles_of_agents() -> None:
    assert (role_of("creative_2"), role_of("bidding_0")) == ("creative", "bidding")
