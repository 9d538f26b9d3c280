"""Whole training runs on a market of a few intervals, with the real RLlib."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.flights import flight
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from envs.errors import ConfigurationError, InterludeError
from envs.market import VectorMarket
from envs.paths import ROOT
from evaluation.metrics import KPIS, OBJECTIVE
from evaluation.rollout import Course, play
from evaluation.sources import TeamSource
from policies.bundle import open_bundle
from policies.credited import CREDIT
from policies.critic_orchestrator import CriticOrchestrator
from policies.desk import CAMPAIGN_BELIEF
from policies.export import export
from policies.learned import LearnedBidding, load_run_policies
from policies.networks import BiddingActor, CreativeActor
from policies.policy import flight_of
from policies.team import Team
from policies.weights import load_actors, load_networks
from training import checkpoint, run_directory
from training.configuration import TrainingConfiguration, load_training
from training.run_directory import RunDirectory
from training.session import Session

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.usefixtures("one_ray")

SCENARIO = """
name: tiny
description: for tests
campaigns: 2
intervals: 6
intervals_per_day: 3
opportunities_per_interval: 24
listeners: {count: 32}
"""
TRAINING = """
name: tiny
scenario: SCENARIO
iterations: 4
checkpoint_every: 2
networks: {creative_hidden: 8, bidding_hidden: 8, critic_hidden: 8}
ppo: {epochs: 2, minibatches: 2}
sampling: {markets: 4}
development: {every: 4, markets: 3}
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("configs")
    (folder / "scenario.yaml").write_text(SCENARIO)
    path = folder / "tiny.yaml"
    path.write_text(TRAINING.replace("SCENARIO", str(folder / "scenario.yaml")))
    return path


def train(configuration: TrainingConfiguration, path: Path) -> Path:
    run = RunDirectory.create(path, configuration)
    try:
        Session(run).train()
    finally:
        run.close()
    return path


def resume(path: Path, *overrides: str) -> list[str]:
    said: list[str] = []
    run = RunDirectory.reopen(path, list(overrides))
    try:
        Session(run, say=said.append).train(resume=True)
    finally:
        run.close()
    return said


@pytest.fixture(scope="module")
def trained(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(load_training(config), tmp_path_factory.mktemp("runs") / "whole")


def lines(run: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run / "progress.jsonl").read_text().splitlines()]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load(run)[0].weights | checkpoint.load(run)[0].moments


def assert_same(a: Path, b: Path) -> None:
    one, two = weights(a), weights(b)
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, two[name]), name


def test_a_run_leaves_all_that_was_promised(trained: Path) -> None:
    records = lines(trained)
    assert [record["iteration"] for record in records] == [1, 2, 3, 4]
    assert records[-1]["progress"] == 1.0
    assert records[-1]["market_steps"] == 4 * 4 * 6
    assert "development" in records[-1]
    assert set(records[0]["kpis"]) == set(KPIS)
    manifest = json.loads((trained / "manifest.json").read_text())
    assert {"git_commit", "schema_hash", "versions", "seed"} <= manifest.keys()
    again = load_training(trained / "config.yaml")
    assert again.name == "tiny"
    assert {path.name for path in (trained / "policies").iterdir()} == {
        *("creative.safetensors", "bidding.safetensors", "critic.safetensors", "manifest.json")
    }
    assert not list(trained.rglob("*.pkl"))


def test_tensorboard_holds_the_kpis_and_how_learning_went(trained: Path) -> None:
    events = EventAccumulator(str(trained / "tensorboard"))
    events.Reload()
    tags = events.Tags()
    assert {tag for tag, kpi in KPIS.items() if not kpi.may_be_empty} <= set(tags["scalars"])
    wanted = {
        "learner/creative/kl",
        "learner/bidding/gradient_norm",
        "learner/orchestrator_critic/explained_variance",
        "learner/orchestrator_critic/explained_variance_segments",
        "learner/creative/learning_rate",
        "throughput/market_steps_per_second",
        "development/lift_fraction",
    }
    assert wanted <= set(tags["scalars"])
    assert {"auction/bid_usd", "creative/arm", "bidding/residual"} <= set(tags["histograms"])
    assert [event.step for event in events.Scalars(OBJECTIVE)] == [24, 48, 72, 96]


def test_the_same_seed_gives_the_same_run_and_another_does_not(
    trained: Path, config: Path, tmp_path: Path
) -> None:
    assert_same(trained, train(load_training(config), tmp_path / "twin"))
    other = train(load_training(config, ["iterations=1"], seed=1), tmp_path / "other")
    assert lines(other)[0]["kpis"] != lines(trained)[0]["kpis"]


TAUGHT = (
    *("networks.memory=4", "networks.foretells=true"),
    *("teacher.imitation=1.0", "teacher.foretelling=0.1", "teacher.until=0.9"),
)


@pytest.mark.parametrize("overrides", [(), TAUGHT], ids=["feed-forward", "recurrent and taught"])
def test_a_resumed_run_equals_the_unbroken_one(
    overrides: tuple[str, ...], trained: Path, config: Path, tmp_path: Path
) -> None:
    if overrides:
        trained = train(load_training(config, overrides), tmp_path / "whole")
        assert lines(trained)[-1]["learner"]["creative"]["belief_error"] > 0  # type: ignore[index]
        assert any("memory" in name for name in weights(trained))
    broken = tmp_path / "broken"
    run = RunDirectory.create(broken, load_training(config, overrides))

    def interrupt(record: dict[str, object]) -> None:
        if record["iteration"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Session(run, report=interrupt).train()
    run.close()
    assert checkpoint.load(broken)[0].counters.iteration == 3
    resume(broken)
    assert_same(trained, broken)
    assert [record["kpis"] for record in lines(broken)] == [record["kpis"] for record in lines(trained)]


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(
    trained: Path, config: Path, tmp_path: Path
) -> None:
    run = train(load_training(config), tmp_path / "run")
    file = run / "checkpoint" / "weights.safetensors"
    data = bytearray(file.read_bytes())
    data[-2] ^= 1
    file.write_bytes(data)
    said = resume(run)
    assert any("weights.safetensors is damaged" in line for line in said)
    assert_same(trained, run)
    for folder in ("checkpoint", "checkpoint.previous"):  # the good one before is still there
        assert (run / folder / "optimizer.safetensors").stat().st_size > 0
        (run / folder / "optimizer.safetensors").write_bytes(b"")
    with pytest.raises(InterludeError, match=r"(?s)checkpoint/optimizer.*checkpoint\.previous/optimizer"):
        resume(run)


def test_a_full_disk_ends_the_run_which_goes_on_when_there_is_room(
    trained: Path, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, real, saves = RunDirectory.create(tmp_path / "run", load_training(config)), os.fsync, 0

    def full(descriptor: int) -> None:
        nonlocal saves
        saves += "checkpoint.new/optimizer" in os.readlink(f"/proc/self/fd/{descriptor}")
        if saves > 1:  # the second checkpoint, half written
            raise OSError(28, "No space left on device")
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(InterludeError, match=r"cannot write .*checkpoint: No space left on device"):
            Session(run).train()
    run.close()
    assert checkpoint.load(run.path)[0].counters.iteration == 2
    assert resume(run.path)[0].startswith("going on")
    assert_same(trained, run.path)
    assert [record["iteration"] for record in lines(run.path)] == [1, 2, 3, 4]


def test_a_longer_run_goes_on_from_a_finished_one(config: Path, tmp_path: Path) -> None:
    run = train(load_training(config, ["iterations=1"]), tmp_path / "run")
    resume(run, "iterations=2")
    assert [record["iteration"] for record in lines(run)] == [1, 2]
    assert load_training(run / "config.yaml").iterations == 2


def test_a_directory_is_not_shared_nor_overwritten(config: Path, tmp_path: Path, trained: Path) -> None:
    configuration = load_training(config)
    with pytest.raises(InterludeError, match="--resume"):
        RunDirectory.create(trained, configuration)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InterludeError, match="not empty"):
        RunDirectory.create(tmp_path, configuration)
    with pytest.raises(InterludeError, match="no run to resume"):
        RunDirectory.reopen(tmp_path, [])
    held = RunDirectory.create(tmp_path / "held", configuration)
    with pytest.raises(InterludeError, match="another process is training"):
        RunDirectory.reopen(tmp_path / "held", [])
    held.close()
    RunDirectory.reopen(tmp_path / "held", []).close()


def test_a_run_on_other_observations_is_refused(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from policies import weights as on_disk

    was = run_directory.schema_hash()
    monkeypatch.setattr(on_disk, "schema_hash", lambda: "0123456789abcdef")
    with pytest.raises(InterludeError, match=f"(?s){was}.*0123456789abcdef"):
        RunDirectory.reopen(trained, [])


def test_learned_policies_play_the_same_alone_and_in_a_batch(trained: Path, config: Path) -> None:
    from training.rollout import learning_team

    configuration = load_training(config)
    flights = []
    for seeds in (np.arange(5, 8, dtype=np.uint64), np.array([6], np.uint64)):
        policies = load_run_policies(trained, sample=True, sample_seed=3)
        team = learning_team(configuration, {}, sample=False)
        team = type(team)("learned", {**team.policies, **policies})
        market = VectorMarket(configuration.load_scenario(), len(seeds), split="held_out")
        observations = market.reset(seeds)
        team.start(flight_of(market))
        rewards = []
        for _ in range(6):
            step = market.step(team.act(observations))
            observations = step.observations
            rewards.append(step.rewards.team)
        flights.append(np.stack(rewards))
    np.testing.assert_allclose(flights[0][:, 1], flights[1][:, 0], rtol=1e-5)


@pytest.mark.parametrize("monolithic", [False, True])
def test_remote_runners_give_a_run_too(monolithic: bool, config: Path, tmp_path: Path) -> None:
    overrides = ["sampling.num_env_runners=2", "iterations=2", "development.every=0"]
    overrides += [f"networks.monolithic={json.dumps(monolithic)}"]
    run = train(load_training(config, overrides), tmp_path / "run")
    assert lines(run)[-1]["market_steps"] == 2 * 2 * 4 * 6


@pytest.fixture(scope="module")
def monolithic(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    configuration = load_training(config, ["networks.monolithic=true", "iterations=3"])
    return train(configuration, tmp_path_factory.mktemp("runs") / "monolithic")


def test_a_monolithic_run_leaves_two_plain_actors_with_the_same_first_layers(
    monolithic: Path, config: Path
) -> None:
    actors = load_actors(monolithic / "policies")
    assert actors.keys() == {"creative", "bidding"}
    creative, bidding = (actors[role].state_dict() for role in ("creative", "bidding"))
    for name in ("campaign.weight", "campaign.bias", "segment.weight"):
        assert torch.equal(creative[name], bidding[name])
    record = lines(monolithic)[-1]["learner"]
    assert isinstance(record, dict)
    assert {"creative", "bidding", "team", "orchestrator_critic"} == record.keys()
    assert record["team"]["learning_rate"] < 1e-3
    assert np.isfinite(
        [record["creative"]["kl"], record["bidding"]["kl"], record["team"]["gradient_norm"]]
    ).all()
    moments = [name for name in weights(monolithic) if name.startswith("team") and name.endswith("exp_avg")]
    assert len(moments) == len(creative) + len(bidding) - 3 - _buffers(actors)  # each layer is stepped once
    team = TeamSource(str(monolithic)).resolve()
    assert team.learned_roles == ("creative", "bidding")
    course = Course(load_training(config).load_scenario(), "development", 0, 2)
    assert np.isfinite(play(team.team, course).metrics[OBJECTIVE]).all()


def _buffers(actors: dict[str, CreativeActor | BiddingActor]) -> int:
    return sum(len(actor.state_dict()) - len(list(actor.parameters())) for actor in actors.values())


def test_a_resumed_monolithic_run_equals_the_unbroken_one(
    monolithic: Path, config: Path, tmp_path: Path
) -> None:
    configuration = load_training(config, ["networks.monolithic=true", "iterations=3"])
    run = RunDirectory.create(tmp_path / "broken", configuration)

    def interrupt(record: dict[str, object]) -> None:
        if record["iteration"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Session(run, report=interrupt).train()
    run.close()
    resume(tmp_path / "broken")
    assert_same(monolithic, tmp_path / "broken")


def test_a_monolithic_run_is_exported_like_any_other(monolithic: Path, tmp_path: Path) -> None:
    manifest = export(monolithic, tmp_path / "bundle")
    assert manifest["learned_roles"] == ["creative", "bidding"]


def test_a_run_may_ask_what_each_campaign_was_worth(config: Path, tmp_path: Path) -> None:
    overrides = ["ppo.own_reward=difference", "ppo.team_reward_fraction=0.0", "iterations=1"]
    run = train(load_training(config, overrides), tmp_path / "run")
    assert lines(run)[-1]["market_steps"] == 4 * 6  # what is played again is no experience


@pytest.mark.slow
@pytest.mark.parametrize("monolithic", [False, True])
@pytest.mark.parametrize("learners", [1, 2])
def test_remote_learners_give_a_run_too(
    learners: int, monolithic: bool, config: Path, tmp_path: Path
) -> None:
    overrides = [f"num_learners={learners}", "iterations=2", "development.every=0"]
    overrides += [f"networks.monolithic={json.dumps(monolithic)}"]
    run = train(load_training(config, overrides), tmp_path / "run")
    assert np.isfinite(lines(run)[-1]["learner"]["creative"]["kl"])
    resume(run, "iterations=3")


def test_a_runs_critic_may_direct_its_team(config: Path, tmp_path: Path) -> None:
    run = train(load_training(config, ["orchestrator=critic", "iterations=1"]), tmp_path / "run")
    told = lines(run)[-1]["development"]
    assert isinstance(told, dict) and np.isfinite(told["by_critic_objective_usd"])
    policies = load_run_policies(run)
    director, bidding = policies["orchestrator"], policies["bidding"]
    assert isinstance(director, CriticOrchestrator) and isinstance(bidding, LearnedBidding)
    assert director.desk is bidding.desk


@pytest.mark.parametrize("roles", [["creative"], ["bidding"], ["orchestrator"]])
@pytest.mark.parametrize("critic", ["unprivileged", "independent"])
def test_one_role_may_learn_alone_with_any_critic(
    roles: list[str], critic: str, config: Path, tmp_path: Path
) -> None:
    overrides = [
        f"learned_roles={json.dumps(roles)}",
        f"critic={critic}",
        "iterations=1",
        "development.every=0",
    ]
    overrides += ["networks.belief=false", "networks.creative_residual=false", "ppo.team_reward_fraction=0.5"]
    run = train(load_training(config, overrides), tmp_path / "run")
    assert set(load_run_policies(run)) == set(roles)


@pytest.mark.parametrize(
    ("sent", "code"), [pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow), (signal.SIGTERM, 143)]
)
def test_a_signal_saves_and_ends_with_its_code(
    sent: signal.Signals, code: int, config: Path, tmp_path: Path
) -> None:
    command = [
        sys.executable,
        "-m",
        "interlude",
        "train",
        "--config",
        str(config),
        "--set",
        "iterations=100000",
    ]
    with subprocess.Popen(
        [*command, "--run-dir", str(tmp_path / "run")], stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        deadline = time.monotonic() + 100
        while time.monotonic() < deadline and not (tmp_path / "run" / "progress.jsonl").exists():
            time.sleep(0.1)
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
        time.sleep(0.5)
        process.send_signal(sent)
        assert process.wait(timeout=60) == code
        assert process.stderr is not None
        told = process.stderr.read()
        assert "Traceback" not in told
        assert "is saved" in told
    found, faults = checkpoint.load(tmp_path / "run")
    assert not faults
    assert found.counters.iteration >= len(lines(tmp_path / "run")) - 1


def test_resume_wants_a_run_and_nothing_that_would_change_it(config: Path, tmp_path: Path) -> None:
    from training.commands import train as command

    with pytest.raises(ConfigurationError, match="--run-dir"):
        command(resume=True)
    with pytest.raises(ConfigurationError, match="--config"):
        command(config=str(config), run_dir=tmp_path, resume=True)


def test_the_policies_that_are_best_on_development_markets_are_kept(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look finds less than the one before: the run's actors stay, its critic learns on."""
    looks: list[float] = []

    def worse(team: Team, course: Course) -> SimpleNamespace:
        looks.append(100.0 - len(looks))
        return SimpleNamespace(metrics={OBJECTIVE: np.full(course.num_markets, looks[-1])})

    monkeypatch.setattr("training.session.play", worse)
    run = train(load_training(config, ["development.every=1"]), tmp_path / "spoiled")
    told = [record["development"] for record in lines(run)]
    assert all(record["objective_usd"] < record["best_objective_usd"] for record in told)
    assert {record["best_iteration"] for record in told} == {0}
    manifest = json.loads((run / "policies" / "manifest.json").read_text())
    assert (manifest["iteration"], manifest["best_iteration"]) == (4, 0)
    state = checkpoint.load(run)[0]
    latest, kept = checkpoint.networks_of(state, load_training(config)), load_networks(run / "policies")
    for name, same in (("creative", False), ("bidding", False), ("critic", True)):
        pairs = zip(latest[name].parameters(), kept[name].parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs) == same, name
    assert state.counters.best_objective_usd == told[0]["best_objective_usd"]


def test_resuming_a_run_that_is_over_says_how_it_could_go_on(trained: Path) -> None:
    before = lines(trained)
    said = resume(trained)
    assert lines(trained) == before
    assert "is over" in said[-1] and "raise them with --set" in said[-1] and "iterations=4" in said[-1]


CREDITED = (
    SCENARIO.replace("intervals: 6", "intervals: 14")
    + "journeys: {people: 16, conversions_per_purchase: 500}\n"
)
SEES_CREDIT = ["attribution=linear", "networks.credit=true", "iterations=2", "checkpoint_every=1"]


def test_a_team_with_attribution_is_trained_resumed_evaluated_and_exported(
    config: Path, tmp_path: Path
) -> None:
    path = tmp_path / "credited.yaml"
    (tmp_path / "scenario.yaml").write_text(CREDITED)
    path.write_text(TRAINING.replace("SCENARIO", str(tmp_path / "scenario.yaml")))
    run = train(load_training(path, SEES_CREDIT), tmp_path / "whole")
    broken = RunDirectory.create(tmp_path / "broken", load_training(path, SEES_CREDIT))

    def interrupt(record: dict[str, object]) -> None:
        if record["iteration"] == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Session(broken, report=interrupt).train()
    broken.close()
    resume(tmp_path / "broken")
    assert_same(run, tmp_path / "broken")

    manifest = export(run, tmp_path / "bundle")
    assert (manifest["attribution"], manifest["credit"], manifest["format"]) == ("linear", True, 3)
    teams = [TeamSource(str(part)).resolve().team for part in (run, tmp_path / "bundle")]
    scenario = load_training(path, SEES_CREDIT).load_scenario()
    told = []
    flights = zip(*(flight(team, scenario, 3) for team in teams), strict=True)
    for mine, theirs in flights:
        np.testing.assert_array_equal(mine.actions.creative, theirs.actions.creative)
        np.testing.assert_allclose(mine.actions.bidding, theirs.actions.bidding, atol=1e-5)
        told.append(mine.actions.credit)
        assert np.array_equal(told[-1].touches, theirs.actions.credit.touches)
    assert all(team.policies["attribution"].name == "linear" and not team.incapacities for team in teams)
    assert told[-1].touches.any() and not told[0].touches.any()
    seen = teams[0].policies["creative"].desk.campaign_belief  # type: ignore[attr-defined]
    assert seen[..., -CREDIT:].any() and seen.shape[-1] == CAMPAIGN_BELIEF + CREDIT
    bundle = open_bundle(tmp_path / "bundle", whole_flights=True)  # golden credit is heard again
    assert bundle.models["creative"].inputs["campaign_belief"][-1] == CAMPAIGN_BELIEF + CREDIT


def test_without_attribution_networks_are_as_they_were(trained: Path) -> None:
    """The reference, made before there was any, opens, and its golden flights go as they went."""
    actors = load_actors(trained / "policies")
    assert {actor.encoder.extra[0] for actor in actors.values()} == {CAMPAIGN_BELIEF}  # type: ignore[union-attr]
    reference = open_bundle(ROOT / "checkpoints" / "reference", whole_flights=True)
    assert not reference.manifest.credit and "attribution" not in reference.team().policies
    assert reference.models["bidding"].inputs["campaign_belief"][-1] == CAMPAIGN_BELIEF
