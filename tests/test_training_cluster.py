"""One configuration on one machine and on a cluster of two nodes, of which one is lost on the way."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from envs.errors import InterludeError
from envs.paths import ROOT
from tests.support.runs import a_scenario
from training import algorithm as module
from training.cluster import running_ray
from training.configuration import TrainingConfiguration, load_training
from training.run_directory import RunDirectory
from training.session import Session

ray = pytest.importorskip("ray")

TRAINING = """
name: tiny
scenario: SCENARIO
iterations: 3
networks: {creative_hidden: 8, bidding_hidden: 8, critic_hidden: 8}
ppo: {epochs: 1, minibatches: 2}
sampling: {markets: 4, num_env_runners: 2, timeout_seconds: 40}
development: {every: 0}
"""
NODE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TRAINING.replace("SCENARIO", str(a_scenario(tmp_path))))
    return path


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head and a second node, each with room for one runner."""
    from ray.cluster_utils import Cluster

    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    ray.shutdown()  # a Ray of this process would be taken instead
    made = Cluster(initialize_head=True, head_node_args=NODE)
    made.add_node(**NODE)
    made.wait_for_nodes()
    yield made
    ray.shutdown()
    made.shutdown()


def records(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "progress.jsonl").read_text().splitlines()]


def test_a_cluster_that_is_not_there_is_told() -> None:
    ray.shutdown()
    with (
        pytest.raises(InterludeError, match="cannot join a Ray cluster at nonsense"),
        running_ray(1, "nonsense"),
    ):
        pass
    assert not ray.is_initialized()


@pytest.mark.slow
def test_the_same_configuration_trains_on_a_cluster_and_too_small_a_one_is_told(
    cluster: Any, file: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "interlude", "train", "--config", str(file), "--json", "-"]
    command += ["--ray-address", cluster.address]
    run = tmp_path / "run"
    done = subprocess.run(
        [*command, "--run-dir", str(run)], cwd=ROOT, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["runners"] == {"asked": 2, "answered": 2, "lost_so_far": 0}
    assert [record["market_steps"] for record in records(run)] == [2 * 4 * 6 * n for n in (1, 2, 3)]
    large = [*command, "--run-dir", str(tmp_path / "large"), "--set", "sampling.num_env_runners=5"]
    refused = subprocess.run(large, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert refused.returncode == 1
    assert "has 2 CPUs, and this run wants 5" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.slow
def test_a_node_is_lost_and_the_run_goes_on_and_says_so(
    cluster: Any, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PROBE_EVERY_SECONDS", 0.0)
    configuration: TrainingConfiguration = load_training(file, ["iterations=30"])
    run, said = RunDirectory.create(tmp_path / "run", configuration), list[str]()
    second = cluster.worker_nodes.copy().pop()
    back_at: list[int] = []

    def report(record: dict[str, Any]) -> None:
        if record["iteration"] == 3:
            cluster.remove_node(second)
        if record["iteration"] == 8:
            assert record["runners"]["answered"] == 1  # for want of room, the lost one stays away
            cluster.add_node(**NODE)
        if record["iteration"] > 8 and not back_at:
            if record["runners"]["answered"] == 2:
                back_at.append(record["iteration"])
            else:
                time.sleep(2.0)

    last = Session(run, ray_address=cluster.address, report=report, say=said.append).train()
    run.close()
    answered = [record["runners"]["answered"] for record in records(run.path)]
    assert len(answered) == 30
    assert answered[:3] == [2, 2, 2]
    assert answered[3:8] == [1] * 5
    assert back_at and answered[back_at[0] - 1 :] == [2] * (31 - back_at[0])  # it went on elsewhere
    assert last["runners"] == {"asked": 2, "answered": 2, "lost_so_far": 1}
    warnings = [line for line in said if line.startswith("warning: env runner")]
    assert len(warnings) == 1
    assert warnings[0].endswith("in flight 3; the iteration has 1 of 2 runners")
    assert run.progress_file.parent.joinpath("policies").is_dir()
