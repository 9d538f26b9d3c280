"""A study trains and evaluates what is missing, whatever stopped it before, and nothing twice."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from envs.errors import ConfigurationError, InterludeError, UnknownNameError
from envs.paths import ROOT
from evaluation.metrics import OBJECTIVE
from evaluation.rollout import play
from evaluation.sources import TeamSource
from evaluation.study import Study, load_study
from policies.weights import load_actors
from tests.support.runs import a_scenario
from training.configuration import load_training
from training.run_directory import locked
from training.study import FINISHED, StudyRun, TrainingUnit

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.usefixtures("one_ray")

TRAINING = """
name: tiny
scenario: SCENARIO
iterations: 2
checkpoint_every: 1
networks: {creative_hidden: 8, bidding_hidden: 8, critic_hidden: 8}
ppo: {epochs: 1, minibatches: 2}
sampling: {markets: 4}
development: {every: 0}
"""
STUDY = """
name: tiny
baseline: scripted
scenarios: [SCENARIO]
split: development
markets: 4
variants:
  scripted: {team: certainty-equivalent}
  shared: {training: TRAINING}
  unwatched: {training: TRAINING, replace: {monitor: quiet}}
  alone: {training: TRAINING, overrides: {learned_roles: [bidding], critic: independent}}
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    scenario = a_scenario(folder)
    training, study = folder / "training.yaml", folder / "study.yaml"
    training.write_text(TRAINING.replace("SCENARIO", str(scenario)))
    study.write_text(STUDY.replace("SCENARIO", str(scenario)).replace("TRAINING", str(training)))
    return study


def variations(study: Study, **changes: object) -> Study:
    return Study.model_validate({**study.model_dump(), **changes})


def stamps(directory: Path) -> dict[str, int]:
    """When each unit's result was written."""
    files = [*directory.glob(f"runs/*/{FINISHED}"), *directory.glob("evaluations/*.json")]
    return {str(path.relative_to(directory)): path.stat().st_mtime_ns for path in files}


def states(run: StudyRun) -> list[str]:
    return [step.state for step in run.plan()]


class Stopper:
    """Interrupts at a line of progress that begins with some words, once."""

    def __init__(self, words: str) -> None:
        self.words, self.told = words, list[str]()

    def __call__(self, line: str) -> None:
        self.told.append(line)
        if self.words and line.startswith(self.words):
            self.words = ""
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def finished(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A study that was stopped thrice: in a training run, between two, and between evaluations."""
    study, directory = load_study(file), tmp_path_factory.mktemp("directory")

    def in_the_first(record: dict[str, object]) -> None:
        raise KeyboardInterrupt

    first = StudyRun(study, directory, report=in_the_first)
    assert states(first) == ["missing"] * 6  # shared and unwatched are trained once
    with pytest.raises(KeyboardInterrupt):
        first.run()
    assert states(first)[:2] == ["begun", "missing"]

    say = Stopper("[training 2 of 2]")
    with pytest.raises(KeyboardInterrupt):
        StudyRun(study, directory, say).run()
    assert any(line.startswith("going on with tiny") for line in say.told)
    assert states(first) == ["finished", *["missing"] * 5]
    kept = stamps(directory)

    say = Stopper("[evaluation] " + str(study.scenarios[0]) + ": unwatched")
    with pytest.raises(KeyboardInterrupt):
        StudyRun(study, directory, say).run()
    assert [line for line in say.told if line.startswith("[training")] == ["[training 1 of 1] alone, seed 0"]
    assert states(first) == ["finished"] * 4 + ["missing"] * 2
    assert kept.items() <= stamps(directory).items()
    kept = stamps(directory)

    say = Stopper("")
    StudyRun(study, directory, say).run()
    assert [line.rpartition(": ")[2] for line in say.told] == ["unwatched, seed 0", "alone, seed 0"]
    assert kept.items() <= stamps(directory).items()
    yield directory


def test_what_was_stopped_is_finished_and_nothing_done_twice(finished: Path, file: Path) -> None:
    say, before = Stopper(""), stamps(finished)
    run = StudyRun(load_study(file), finished, say)
    assert states(run) == ["finished"] * 6
    table = run.run()
    assert say.told == []
    assert stamps(finished) == before
    assert [row.variant for row in next(iter(table.rows.values()))] == list(run.study.variants)
    shown = json.loads((finished / "table.json").read_text())
    refused = {row["variant"]: row["over_runs"] for row in shown["scenarios"][0]["variants"]}
    assert refused["scripted"] is None
    assert "at least 5 runs" in refused["shared"]["refused"]
    assert (finished / "table.md").read_text() == table.markdown()


def test_a_changed_study_redoes_what_changed(finished: Path, file: Path) -> None:
    study = load_study(file)
    fewer = {name: variant for name, variant in study.variants.items() if name != "shared"}
    assert states(StudyRun(variations(study, variants=fewer), finished)) == ["finished"] * 5
    again = StudyRun(variations(study, seeds=(0, 1)), finished).plan()
    assert [step.state for step in again if step.run == "seed 1"] == ["missing"] * 5
    assert {step.state for step in again if step.run != "seed 1"} == {"finished"}
    markets = StudyRun(variations(study, markets=5), finished)
    assert states(markets) == ["finished"] * 2 + ["missing"] * 4
    lower = {**study.model_dump()["variants"]["shared"], "overrides": {"ppo.gamma": 0.9}}
    changed = StudyRun(
        variations(study, variants={**study.model_dump()["variants"], "shared": lower}), finished
    )
    assert {step.variants for step in changed.plan() if step.state == "missing"} == {"shared"}


def test_roles_that_were_trained_apart_play_together(finished: Path, file: Path, tmp_path: Path) -> None:
    directory = shutil.copytree(finished, tmp_path / "copy")
    study = load_study(file)
    apart = {"compose": {"creative": "shared", "bidding": "alone"}, "replace": {"monitor": "quiet"}}
    say = Stopper("")
    run = StudyRun(
        variations(study, variants={**study.model_dump()["variants"], "apart": apart}), directory, say
    )
    steps = {step.variants: step for step in run.plan() if step.kind == "train"}
    assert steps.keys() == {"shared, unwatched, apart", "alone, apart"}  # nothing is trained for it
    assert states(run).count("missing") == 1
    table = run.run()
    assert say.told == [f"[evaluation] {study.scenarios[0]}: apart, seed 0"]
    runs = {name: str(directory / "runs" / step.key) for name, step in steps.items()}
    team = f"{runs['shared, unwatched, apart']}+bidding={runs['alone, apart']}+monitor=quiet"
    assert run.members[-1].argument == team
    bidders = [
        load_actors(Path(path) / "policies")["bidding"].state_dict()["output.weight"]
        for path in runs.values()
    ]
    assert not torch.equal(*bidders)  # or the mix would be no mix
    expected = play(TeamSource(team)(), run.courses[study.scenarios[0]]).metrics[OBJECTIVE].mean()
    found = {row.variant: row.objective.estimate for row in table.rows[study.scenarios[0]]}
    assert found["apart"] == pytest.approx(expected, rel=1e-12)
    costs = {name: by_run["seed 0"] for name, by_run in table.costs.items()}
    assert costs.keys() == {"shared", "unwatched", "alone", "apart"}
    assert costs["shared"][:2] == costs["alone"][:2] == (2, 2 * 4 * 6)
    assert costs["shared"].seconds > 0.0
    both = tuple(map(sum, zip(costs["shared"], costs["alone"], strict=True)))
    assert costs["apart"] == pytest.approx(both)
    assert "creative of `shared`, bidding of `alone`, `+monitor=quiet`" in table.markdown()


def test_a_composed_team_waits_for_all_of_its_runs(file: Path, tmp_path: Path) -> None:
    study = load_study(file)
    apart = {"compose": {"creative": "shared", "bidding": "alone"}}
    variants = {name: study.model_dump()["variants"][name] for name in ("scripted", "shared", "alone")}
    plan = StudyRun(variations(study, variants={**variants, "apart": apart}), tmp_path).plan()
    waiting = next(step for step in plan if step.variants == "apart")
    assert (waiting.kind, waiting.key, waiting.state) == ("evaluate", "", "missing")


def test_settings_of_a_study_reach_every_run_and_a_variants_own_go_before(file: Path, tmp_path: Path) -> None:
    study = variations(load_study(file), overrides={"iterations": 7, "critic": "unprivileged"})
    found = {
        member.variant: unit.configuration
        for member in StudyRun(study, tmp_path).members
        for unit in member.trainings
    }
    assert {configuration.iterations for configuration in found.values()} == {7}
    assert (found["shared"].critic, found["alone"].critic) == ("unprivileged", "independent")


def test_a_run_may_end_by_iterations_or_by_time(file: Path, tmp_path: Path) -> None:
    timed = {"iterations": 100_000, "time_budget_seconds": 0.01}
    study = load_study(file)
    variants = {
        "scripted": study.variants["scripted"],
        "brief": {"training": str(file.parent / "training.yaml")},
    }
    table = StudyRun(variations(study, variants=variants, overrides=timed), tmp_path).run()
    (cost,) = table.costs["brief"].values()
    assert (cost.iterations, cost.market_steps) == (1, 4 * 6)
    assert cost.seconds > 0.01


def test_half_made_things_are_made_again(finished: Path, file: Path, tmp_path: Path) -> None:
    study = load_study(file)
    only = variations(
        study, variants={"scripted": study.variants["scripted"], "alone": study.variants["alone"]}
    )
    run = StudyRun(only, tmp_path)
    training = next(step for step in run.plan() if step.kind == "train")
    half = tmp_path / "runs" / training.key
    half.mkdir(parents=True)
    (half / "config.yaml").write_text("name: hal")  # killed between two writes
    assert states(run)[0] == "begun"
    run.run()
    assert states(run) == ["finished"] * 3
    assert load_training(half / "config.yaml").learned_roles == ("bidding",)
    twin = finished / "runs" / training.key  # the same unit, in another study's directory
    files = [path / "policies" / "bidding.safetensors" for path in (half, twin)]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.slow
def test_a_killed_process_leaves_whole_units_and_no_lock(finished: Path, file: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "interlude", "study", str(file), "--directory", str(tmp_path)]
    # Sets of names have another order in that process than in this one; what is learned has not.
    other = "1" if next(iter({"creative", "bidding"})) == "creative" else "6"
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": other},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ) as process:
        deadline = time.monotonic() + 100
        while time.monotonic() < deadline and not list(tmp_path.glob(f"runs/*/{FINISHED}")):
            time.sleep(0.02)
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    before = stamps(tmp_path)
    assert before
    run = StudyRun(load_study(file), tmp_path)
    assert "missing" in states(run)
    assert run.run().markdown() == StudyRun(load_study(file), finished).run().markdown()
    assert before.items() <= stamps(tmp_path).items()


def test_a_training_units_key_is_what_it_learns(file: Path) -> None:
    path = file.parent / "training.yaml"
    base = TrainingUnit(load_training(path)).key
    assert TrainingUnit(load_training(path, ["name=other", "description=more"])).key == base
    changes = ["seed=1", "critic=independent", "iterations=3", "base_team=siloed", "scenario=quick"]
    keys = [TrainingUnit(load_training(path, [change])).key for change in changes]
    assert len({base, *keys}) == len(keys) + 1


@pytest.mark.parametrize(
    ("variant", "error", "told"),
    [
        ({"team": "nobody"}, UnknownNameError, "nobody"),
        ({"team": "pid", "replace": {"monitor": "nobody"}}, UnknownNameError, "nobody"),
        ({"runs": ["no/such/run"]}, UnknownNameError, "no/such/run"),
        ({"training": "nothing"}, UnknownNameError, "training configuration"),
        (
            {"training": "quick", "overrides": {"critics": "shared"}},
            ConfigurationError,
            "did you mean 'critic'",
        ),
        ({"training": "quick", "replace": {"creative": "rotation"}}, UnknownNameError, "rotation"),
        (
            {"compose": {"creative": "bidder", "bidding": "bidder"}},
            ConfigurationError,
            r"variants.x.compose.creative: 'bidder' does not learn creative; it learns bidding",
        ),
        ({"compose": {"creative": "bidder"}, "replace": {"monitor": "nobody"}}, UnknownNameError, "nobody"),
    ],
)
def test_faults_show_before_anything_is_run(
    variant: dict[str, object], error: type[InterludeError], told: str, file: Path, tmp_path: Path
) -> None:
    study = load_study(file)
    with pytest.raises(error, match=told):
        others = {
            "scripted": study.variants["scripted"],
            "bidder": {"training": "quick", "overrides": {"learned_roles": ["bidding"]}},
        }
        StudyRun(variations(study, variants={**others, "x": variant}), tmp_path)
    assert not list(tmp_path.iterdir())


def test_two_processes_do_not_share_a_directory(file: Path, tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(InterludeError, match="another process"):
        StudyRun(load_study(file), tmp_path).run()


def test_the_command_lists_without_running_and_hands_out_the_table(
    finished: Path, file: Path, tmp_path: Path
) -> None:
    from typer.testing import CliRunner

    from interlude import app

    where = ["study", str(file), "--directory"]
    listed = CliRunner().invoke(app, [*where, str(tmp_path / "new"), "--dry-run"])
    assert listed.exit_code == 0, listed.output
    assert "6 of 6 units are to be run." in listed.output
    assert not (tmp_path / "new").exists()
    report = tmp_path / "report.md"
    shown = CliRunner().invoke(app, [*where, str(finished), "--report", str(report), "--json", "-"])
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)["study"]["name"] == "tiny"
    assert report.read_text() == (finished / "table.md").read_text()
