from pathlib import Path

import pytest
import torch
from support.scenario_files import TINY

from envs.seeds import market_seeds
from training.algorithm import build_algorithm
from training.benchmark import Plan, Speed, measure, steps_per_second
from training.checkpoint import Counters, capture
from training.configuration import TrainingConfiguration
from training.modules import actor_path
from training.plain import PlainTrainer
from training.stock import build_stock
from training.warm_up import warm_up

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def scenario(one_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenarios") / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.mark.parametrize("monolithic", [False, True])
def test_rllib_learns_what_the_plain_loop_learns(monolithic: bool, scenario: Path) -> None:
    """The native runner and the trimmed learner change the speed and nothing else."""
    configuration = TrainingConfiguration.model_validate(
        {
            "name": "tiny",
            "scenario": str(scenario),
            "sampling": {"markets": 4},
            "iterations": 5,
            "networks": {"monolithic": monolithic},
        }
    )
    start = warm_up(configuration)
    algorithm = build_algorithm(configuration, start)
    plain = PlainTrainer(configuration, start)
    weights = capture(algorithm, Counters(), start).weights
    networks = {"orchestrator_critic/critic.": plain.critic}
    for role, actor in (("creative", plain.creative), ("bidding", plain.bidding)):
        networks["{}/{}.".format(*actor_path(role, monolithic=monolithic))] = actor
    for inner, network in networks.items():
        network.load_state_dict({k.removeprefix(inner): v for k, v in weights.items() if k.startswith(inner)})
    try:
        for iteration in range(3):
            algorithm.train()
            rollout = plain.iteration(iteration, market_seeds("train", 0, iteration * 4, 4))
            for name, array in rollout.columns.items():
                assert (array == algorithm.rollouts[0].columns[name]).all(), (iteration, name)
        weights = capture(algorithm, Counters(), start).weights
        assert sum(len(network.state_dict()) for network in networks.values()) == len(weights)
        for inner, network in networks.items():
            for key, value in network.state_dict().items():
                torch.testing.assert_close(weights[inner + key], value, atol=1e-6, rtol=1e-5)
    finally:
        algorithm.stop()


def test_the_benchmark_runs(scenario: Path) -> None:
    said: list[str] = []
    plan = Plan((2,), (4,), (7,), (6,), seconds=0.0)
    speed = measure(plan, str(scenario), said.append)
    assert [set(speeds) for speeds in (speed.stock, speed.ours, speed.plain)] == [{2}, {4}, {4}]
    assert speed.ours_over_stock > 1
    assert [set(speeds) for speeds in (speed.ours_recurrent, speed.plain_recurrent)] == [{6}, {6}]
    assert set(speed.stock_recurrent) == {7}
    assert speed.recurrent_ours_over_stock > 1
    assert len(said) == 6


def test_ratios_are_of_the_best_sizes() -> None:
    speed = Speed(
        stock={1: 10.0, 8: 20.0},
        ours={1: 160.0, 2: 200.0},
        plain={1: 250.0, 2: 100.0},
        stock_recurrent={1: 5.0, 2: 4.0},
        ours_recurrent={1: 45.0},
        plain_recurrent={1: 50.0},
    )
    assert speed.ours_over_stock == 10.0
    assert speed.ours_over_plain == 0.8
    assert speed.recurrent_ours_over_stock == 9.0
    assert speed.recurrent_ours_over_plain == 0.9


def test_stock_recurrent_actors_take_a_memory_into_account(scenario: Path) -> None:
    """The same observation after another past is another action."""
    configuration = TrainingConfiguration.model_validate(
        {"name": "tiny", "scenario": str(scenario), "networks": {"memory": 8}}
    )
    algorithm = build_stock(configuration, 2, 2 * configuration.load_scenario().intervals)
    try:
        algorithm.train()
        for role in ("creative", "bidding"):
            module = algorithm.get_module(role)
            assert module.is_stateful()
            empty = {"memory": module.get_initial_state()["memory"][None]}
            seen = torch.randn(1, 3, module.observation_space.shape[0])
            whole = module._forward({"obs": seen, "state_in": empty})
            first = module._forward({"obs": seen[:, :2], "state_in": empty})
            last = module._forward({"obs": seen[:, 2:], "state_in": first["state_out"]})
            forgetful = module._forward({"obs": seen[:, 2:], "state_in": empty})
            key = "action_dist_inputs"
            torch.testing.assert_close(last[key][:, 0], whole[key][:, 2])
            assert not torch.allclose(forgetful[key], last[key])
    finally:
        algorithm.stop()


def test_the_first_iteration_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 2.0, 4.0])
    monkeypatch.setattr("training.benchmark.time.perf_counter", lambda: next(clock))
    counts = iter([1000, 6, 6])
    assert steps_per_second(lambda: next(counts), 3.0) == pytest.approx(12 / 4.0)
