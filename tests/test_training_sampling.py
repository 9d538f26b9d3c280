"""Runners that die, hang, fail or are all gone: the others go on, the lost come back, waiting is bounded."""

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from envs.errors import InterludeError
from tests.support.runs import a_scenario
from training import algorithm as module
from training.algorithm import MarketPPO, build_algorithm
from training.configuration import TrainingConfiguration
from training.proximal import from_here
from training.run_directory import RunDirectory
from training.sampling import Answer, play
from training.session import Session
from training.warm_up import warm_up

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.usefixtures("one_ray")


def configured(folder: Path, **sampling: Any) -> TrainingConfiguration:
    return TrainingConfiguration.model_validate(
        {
            "name": "tiny",
            "scenario": str(a_scenario(folder)),
            "ppo": {"epochs": 1, "minibatches": 2},
            "networks": {"creative_hidden": 8, "bidding_hidden": 8, "critic_hidden": 8},
            "sampling": {"markets": 4, **sampling},
            "development": {"every": 0},
            "iterations": 3,
        }
    )


@pytest.fixture
def algorithm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MarketPPO]:
    """Two remote runners, of which a lost one is looked for at every iteration."""
    monkeypatch.setattr(module, "PROBE_EVERY_SECONDS", 0.0)
    configuration = configured(tmp_path, num_env_runners=2, timeout_seconds=30)
    built = build_algorithm(configuration, warm_up(configuration))
    yield built
    built.stop()


def processes(algorithm: MarketPPO) -> list[int]:
    return list(algorithm.env_runner_group.foreach_env_runner(lambda _: os.getpid(), local_env_runner=False))


def until_all_play(algorithm: MarketPPO, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        algorithm.train()
        assert algorithm.rollouts
        if len(algorithm.rollouts) == 2:
            return
    raise TimeoutError("the lost runner did not come back")


def assert_runners_are_where_the_driver_is(algorithm: MarketPPO) -> None:
    states = algorithm.env_runner_group.foreach_env_runner("get_state", local_env_runner=False)
    local = algorithm.env_runner_group.local_env_runner.module["creative"].actor.state_dict()
    for state in states:
        assert state["flight"] == algorithm.flight
        for name, tensor in state["rl_module"]["creative"].items():
            told = torch.as_tensor(np.asarray(tensor))
            assert torch.equal(told, local[name.removeprefix("actor.")]), name


@pytest.mark.slow
def test_one_dies_and_the_other_goes_on_until_it_is_back(algorithm: MarketPPO) -> None:
    algorithm.train()
    assert algorithm.losses == []
    os.kill(processes(algorithm)[0], signal.SIGKILL)
    algorithm.train()
    assert [str(loss) for loss in algorithm.losses] == ["env runner 1 died in flight 1"]
    assert len(algorithm.rollouts) == 1
    until_all_play(algorithm)
    assert algorithm.losses == []
    algorithm.train()
    assert_runners_are_where_the_driver_is(algorithm)


@pytest.mark.slow
def test_all_die_and_the_iteration_is_played_again_with_the_weights_just_learned(
    algorithm: MarketPPO,
) -> None:
    algorithm.train()
    for process in processes(algorithm):
        os.kill(process, signal.SIGKILL)
    algorithm.train()
    assert [loss.worker for loss in algorithm.losses] == [1, 2]
    assert algorithm.rollouts
    assert algorithm.flight == 2
    until_all_play(algorithm)
    algorithm.train()
    assert_runners_are_where_the_driver_is(algorithm)


@pytest.mark.slow
def test_one_hangs_and_is_killed_and_started_again(algorithm: MarketPPO) -> None:
    algorithm.train()
    before = processes(algorithm)
    short = algorithm.training.sampling.model_copy(update={"timeout_seconds": 8.0})
    algorithm.training = algorithm.training.model_copy(update={"sampling": short})
    os.kill(before[1], signal.SIGSTOP)  # hangs as a process does that waits for a dead disk
    algorithm.train()
    told = "env runner 2 gave no answer in 8 s and was killed in flight 1"
    assert [str(loss) for loss in algorithm.losses] == [told]
    assert len(algorithm.rollouts) == 1
    until_all_play(algorithm)
    after = processes(algorithm)
    assert before[0] in after
    assert before[1] not in after


def test_runners_play_ahead_with_the_weights_of_before_the_update(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first two flights are those of the first weights, on the markets of any run of that seed."""
    alone = configured(tmp_path)
    overlapping = configured(tmp_path, num_env_runners=1, overlap=True)
    stay, ahead = (build_algorithm(each, warm_up(each)) for each in (alone, overlapping))
    weighted: list[str] = []

    def noted(role: str, *rest: Any) -> Any:
        weighted.append(role)
        return from_here(role, *rest)

    monkeypatch.setattr("training.learner.from_here", noted)
    try:
        untrained = [play(stay.env_runner_group.local_env_runner, flight) for flight in (0, 1)]
        played = []
        for _ in range(3):
            ahead.train()
            played += ahead.rollouts
        told = [answer.rollouts[0] for answer in untrained]
        for column, values in told[0].columns.items():
            np.testing.assert_array_equal(played[0].columns[column], values, err_msg=column)
            np.testing.assert_array_equal(played[1].columns[column], told[1].columns[column], err_msg=column)
        assert {*weighted} == {"creative", "bidding"}  # older weights' flights, and those alone
        weighted.clear()
        stay.train()
        assert not weighted
        next_weights = play(stay.env_runner_group.local_env_runner, 1).rollouts[0]
        assert not np.array_equal(played[1].columns["action"], next_weights.columns["action"])
    finally:
        stay.stop()
        ahead.stop()


@pytest.mark.slow
def test_a_runner_that_dies_while_it_plays_ahead_is_told_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PROBE_EVERY_SECONDS", 0.0)
    configuration = configured(tmp_path, num_env_runners=2, overlap=True, timeout_seconds=30)
    built = build_algorithm(configuration, warm_up(configuration))
    try:
        built.train()
        os.kill(processes(built)[0], signal.SIGKILL)
        built.train()
        assert len(built.rollouts) in (1, 2)  # its flight may have been over
        until_all_play(built)
        assert built._ahead is not None and built._ahead.flight == built.flight
    finally:
        built.stop()


@pytest.mark.slow
def test_all_hang_again_and_again_and_the_run_ends_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = configured(tmp_path, num_env_runners=1, max_failures=1, timeout_seconds=0.02)
    run = RunDirectory.create(tmp_path / "run", configuration)
    wanted = r"no env runner gave samples in 2 attempts at flight 0 \(env runner 1 gave no answer in 0.02 s"
    with pytest.raises(InterludeError, match=wanted):
        Session(run).train()
    run.close()
    assert not run.progress_file.exists()  # nothing is taken for progress


class NoGroup:
    """RLlib's group where nobody is alive and nobody comes back."""

    def __init__(self) -> None:
        self.probed: list[float] = []
        self._worker_manager = None

    def num_remote_workers(self) -> int:
        return 2

    def num_healthy_remote_workers(self) -> int:
        return 0

    def healthy_worker_ids(self) -> list[int]:
        return []

    def foreach_env_runner_async(self, *arguments: Any, **settings: Any) -> int:
        return 0

    def fetch_ready_async_reqs(self, **settings: Any) -> list[Any]:
        return []

    def probe_unhealthy_env_runners(self, timeout_seconds: float) -> list[int]:
        self.probed.append(timeout_seconds)
        return []


def test_restarts_are_bounded_and_then_the_run_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESTART_SECONDS", 0.05)
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.03)
    configuration = configured(tmp_path)
    built = build_algorithm(configuration, warm_up(configuration))
    real = built.env_runner_group
    try:
        group = built.env_runner_group = NoGroup()
        with pytest.raises(InterludeError, match=r"in 4 attempts at flight 0 \(none of them is alive\)"):
            built.training_step()
        assert 2 * 4 <= len(group.probed) <= 3 * 4  # it waits, and not for ever
        assert built.flight == 0
    finally:
        built.env_runner_group = real
        built.stop()


def test_a_lost_runner_is_waited_for_briefly_and_seldom_while_others_work(tmp_path: Path) -> None:
    configuration = configured(tmp_path)
    built = build_algorithm(configuration, warm_up(configuration))
    try:
        group = NoGroup()
        group.num_healthy_remote_workers = lambda: 1  # type: ignore[method-assign]
        for _ in range(5):
            assert built.restore_env_runners(group) == []
        assert group.probed == [module.BRIEF_PROBE_SECONDS]
    finally:
        built.stop()


def test_a_fault_that_a_restart_would_not_mend_comes_through_from_afar(tmp_path: Path) -> None:
    """An exception keeps its kind, its words, and the place where it was raised."""

    class Faulty:
        worker_index = 3

        def sample(self, flight: int) -> None:
            raise ZeroDivisionError("a market went wrong")

    afar = ray.get(ray.remote(lambda: play(Faulty(), 7)).remote())  # type: ignore[arg-type]
    assert isinstance(afar, Answer)
    assert isinstance(afar.fault, ZeroDivisionError)
    assert re.search(r"(?s)env runner 3, flight 7.*in sample", "\n".join(afar.fault.__notes__))
    configuration = configured(tmp_path)
    built = build_algorithm(configuration, warm_up(configuration))
    try:
        with pytest.raises(ZeroDivisionError, match="a market went wrong"):
            built._taken([afar])
    finally:
        built.stop()
