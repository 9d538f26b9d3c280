"""Sweeps on Ray Tune, every trial a real training run on a market of a few intervals."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from envs.errors import ConfigurationError, InterludeError
from interlude import app
from policies.learned import load_run_policies
from tests.support.runs import a_scenario
from tests.support.small_ray import start_ray
from training import checkpoint
from training.configuration import TrainingConfiguration, load_training
from training.run_directory import locked
from training.sweep import BEST, RESULTS, Sweep, SweepTable, TrialResult
from training.sweep_space import parse_parameters
from training.trial import TrialSettings

ray = pytest.importorskip("ray")

TRAINING = """
name: tiny
scenario: SCENARIO
iterations: 4
time_budget_seconds: 1000
networks: {creative_hidden: 8, bidding_hidden: 8, critic_hidden: 8}
ppo: {epochs: 1, minibatches: 2, final_learning_rate_fraction: 1.0}
sampling: {markets: 4}
development: {every: 1, markets: 3}
"""
RATES = "ppo.creative_learning_rate=1e-4,1e-2"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("configs")
    path = folder / "tiny.yaml"
    path.write_text(TRAINING.replace("SCENARIO", str(a_scenario(folder))))
    return path


@pytest.fixture(scope="module")
def configuration(file: Path) -> TrainingConfiguration:
    return load_training(file)


def readings(run: Path) -> list[int]:
    return [json.loads(line)["iteration"] for line in (run / "progress.jsonl").read_text().splitlines()]


def test_faults_show_before_anything_is_run(configuration: TrainingConfiguration, tmp_path: Path) -> None:
    def swept(parameter: str, **changes: object) -> Sweep:
        changed = configuration.model_copy(update=changes)
        return Sweep(changed, parse_parameters([parameter]), None, "none", tmp_path)

    with pytest.raises(ConfigurationError, match="did you mean 'gamma'"):
        swept("ppo.gama=0.9,0.99")
    with pytest.raises(ConfigurationError, match=r"ppo\.gamma"):
        swept("ppo.gamma=0.9,1.5")
    nothing = configuration.development.model_copy(update={"every": 0})
    with pytest.raises(ConfigurationError, match=r"development\.every must not be 0"):
        swept("ppo.gamma=0.9", development=nothing)
    with pytest.raises(ConfigurationError, match=r"ppo\.gamma"):
        Sweep(configuration, parse_parameters(["ppo.gamma=0.9..1.5"]), 2, "pbt", tmp_path)
    assert not list(tmp_path.iterdir())
    sweep = Sweep(configuration, parse_parameters([RATES]), None, "none", tmp_path)
    with locked(tmp_path), pytest.raises(InterludeError, match="another process"):
        sweep.run()


def test_a_trial_is_kept_by_what_it_learns(configuration: TrainingConfiguration, tmp_path: Path) -> None:
    base = configuration.model_dump(mode="json")
    settings = TrialSettings(base, ("ppo.gamma",), tmp_path, False)
    one, other = (settings.path(name, {"ppo.gamma": "0.9"}) for name in ("a", "b"))
    assert one == other != settings.path("a", {"ppo.gamma": "0.8"})
    population = TrialSettings(base, ("ppo.gamma",), tmp_path, True)
    assert population.path("a", {"ppo.gamma": "0.9"}) == population.path("a", {"ppo.gamma": "0.8"})


def test_the_table_ranks_and_what_failed_comes_last(configuration: TrainingConfiguration) -> None:
    trials = [
        TrialResult(0, {"ppo.gamma": 0.98765}, Path("b"), "finished", 4, 12.0, 0.1),
        TrialResult(1, {"ppo.gamma": 0.9}, Path("a"), "failed: it broke"),
    ]
    lines = SweepTable(trials, configuration).text().splitlines()
    assert lines[2].split() == ["0", "0.9877", "12", "+10.00", "%", "4", "finished"]
    assert lines[3].split() == ["1", "0.9", "-", "-", "0", "failed:", "it", "broke"]
    shown = SweepTable(trials, configuration).as_json()
    assert [trial.number for trial in shown["trials"]] == [0, 1]


@pytest.mark.slow
@pytest.mark.usefixtures("one_ray")
def test_a_sweep_trains_ranks_and_is_not_done_twice(file: Path, tmp_path: Path) -> None:
    command = ["sweep", "--config", str(file), "--parameter", RATES, "--scheduler", "none", "--workers", "2"]
    command += ["--directory", str(tmp_path / "sweep"), "--json", "-"]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0, shown.output
    result = json.loads(shown.stdout)
    assert [trial["state"] for trial in result["trials"]] == ["finished"] * 2
    objectives = [trial["objective_usd"] for trial in result["trials"]]
    assert objectives == sorted(objectives, reverse=True)
    for trial in result["trials"]:
        run = Path(trial["run_directory"])
        assert readings(run) == [1, 2, 3, 4]
        assert [reading["iteration"] for reading in trial["history"]] == [1, 2, 3, 4]
        assert set(load_run_policies(run)) == {"creative", "bidding"}
        kept = load_training(run / "config.yaml")
        assert kept.ppo.creative_learning_rate == float(trial["parameters"]["ppo.creative_learning_rate"])
        assert kept.time_budget_seconds is None
    best = load_training(tmp_path / "sweep" / BEST)
    assert best.ppo.creative_learning_rate == float(
        result["trials"][0]["parameters"]["ppo.creative_learning_rate"]
    )
    assert f"J {objectives[0]:.0f} USD" in best.description
    assert json.loads((tmp_path / "sweep" / RESULTS).read_text())["best"]["name"] == "tiny-best"
    assert not (tmp_path / "sweep" / ".tune").exists()
    assert not [path for path in tmp_path.rglob("*") if path.suffix in {".pkl", ".pickle"}]

    saved = {path: path.stat().st_mtime_ns for path in tmp_path.glob("sweep/trials/*/progress.jsonl")}
    logs = {path: path.read_text() for path in saved}
    again = CliRunner().invoke(app, command)
    assert json.loads(again.stdout)["trials"] == result["trials"]
    assert {path: path.read_text() for path in saved} == logs  # read, and not trained again


@pytest.mark.slow
@pytest.mark.usefixtures("one_ray")
def test_a_sweep_that_was_stopped_goes_on(configuration: TrainingConfiguration, tmp_path: Path) -> None:
    def stop(text: str) -> None:
        raise KeyboardInterrupt

    parameters = parse_parameters([RATES])
    with pytest.raises(KeyboardInterrupt):
        Sweep(configuration, parameters, None, "none", tmp_path / "one", 1, stop).run()
    ray.shutdown()  # as at the end of the command
    start_ray()
    assert not (tmp_path / "one" / RESULTS).exists()
    runs = list((tmp_path / "one" / "trials").iterdir())
    assert len(runs) == 1
    assert checkpoint.load(runs[0])[1] == []
    stopped = Sweep(configuration, parameters, None, "none", tmp_path / "one", 1).run()
    unbroken = Sweep(configuration, parameters, None, "none", tmp_path / "two", 1).run()
    assert [trial.history for trial in stopped.trials] == [trial.history for trial in unbroken.trials]


@pytest.mark.slow
@pytest.mark.usefixtures("one_ray")
def test_asha_stops_the_worse_trials_early(configuration: TrainingConfiguration, tmp_path: Path) -> None:
    longer = configuration.model_copy(update={"iterations": 9})
    parameters = parse_parameters(["ppo.creative_learning_rate=1e-5..1e-1"])
    table = Sweep(longer, parameters, 6, "asha", tmp_path, 2).run()
    states = [trial.state for trial in table.trials]
    assert "finished" in states
    assert "stopped early" in states
    for trial in table.trials:
        found, faults = checkpoint.load(trial.run_directory)
        assert faults == []
        assert found.counters.iteration >= trial.iteration


@pytest.mark.slow
@pytest.mark.usefixtures("one_ray")
@pytest.mark.timeout(600)
def test_a_population_takes_over_networks_and_learning_rates_at_once(
    configuration: TrainingConfiguration, tmp_path: Path
) -> None:
    every = configuration.development.model_copy(update={"every": 2})
    longer = configuration.model_copy(update={"iterations": 6, "development": every})
    parameters = parse_parameters(["ppo.creative_learning_rate=1e-5..1e-1"])
    table = Sweep(longer, parameters, 4, "pbt", tmp_path, 2).run()
    assert [trial.state for trial in table.trials] == ["finished"] * 4
    assert len({trial.run_directory for trial in table.trials}) == 4
    assert sorted(trial.number for trial in table.trials) == [0, 1, 2, 3]
    changed = 0
    for trial in table.trials:
        rates = [reading["parameters"]["ppo.creative_learning_rate"] for reading in trial.history]
        changed += len(set(rates)) > 1
        assert all(1e-5 <= rate <= 1e-1 for rate in rates)
        last = json.loads((trial.run_directory / "progress.jsonl").read_text().splitlines()[-1])
        assert last["iteration"] == 6
        if not last.get("taken_over"):
            learned_with = last["learner"]["creative"]["learning_rate"]
            assert learned_with == pytest.approx(rates[-1])  # and not the donor's
    assert changed
    with pytest.raises(InterludeError, match="holds a population"):
        Sweep(longer, parameters, 4, "pbt", tmp_path, 2).run()


@pytest.mark.slow
@pytest.mark.usefixtures("one_ray")
def test_a_trial_that_fails_is_named_and_the_others_go_on(
    configuration: TrainingConfiguration, tmp_path: Path
) -> None:
    sweep = Sweep(configuration, parse_parameters([RATES]), None, "none", tmp_path, 1)
    blocked = sweep.found[0].run_directory
    blocked.parent.mkdir(parents=True)
    blocked.write_text("a file stands where the run directory should be")
    table = sweep.run()
    assert table.trials[0].state == "finished"
    assert table.trials[1].state.startswith("failed: ")
    assert "cannot write" in table.trials[1].state
