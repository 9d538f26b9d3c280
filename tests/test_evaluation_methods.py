from pathlib import Path

import numpy as np
import pytest
from support.runs import a_run, a_scenario

from envs.errors import ConfigurationError, InterludeError
from envs.scenario import load_scenario
from evaluation.aggregates import interquartile_mean, optimality_gap
from evaluation.compare import compare
from evaluation.methods import methods_of, ungrouped
from evaluation.rollout import Course

QUICK = load_scenario("quick").model_copy(update={"intervals": 4})


def test_what_is_grouped_by_hand_and_what_is_not() -> None:
    single, groups = ungrouped(["pid", "mine=a,b,a", "pid+creative=random", "one=c+bidding=pid"])
    assert single == ["pid", "a", "b", "pid+creative=random", "c+bidding=pid"]
    assert groups == {"mine": ["a", "b"], "one": ["c+bidding=pid"]}


def test_a_folder_of_runs_is_a_method(tmp_path: Path) -> None:
    for name in ("s1", "s0"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "config.yaml").touch()
    (tmp_path / "runs" / "notes").mkdir()
    members = [str(tmp_path / "runs" / name) for name in ("s0", "s1")]
    for argument, name in ((str(tmp_path / "runs"), "runs"), (f"mine={tmp_path / 'runs'}", "mine")):
        assert ungrouped([argument]) == (members, {name: members})
    assert ungrouped([members[0]]) == (members[:1], {})  # a run is not a folder of runs
    with pytest.raises(InterludeError, match="two methods are called 'mine'"):
        ungrouped(["mine=a", "mine=b"])


def test_a_scripted_team_is_no_training_run() -> None:
    with pytest.raises(ConfigurationError, match="method 'mine': pid learned no role"):
        compare(["mine=pid,siloed"], Course(QUICK, num_markets=1))


def test_runs_given_as_one_method_stand_as_one(tmp_path: Path) -> None:
    scenario = a_scenario(tmp_path)
    runs = [a_run(tmp_path / "runs" / f"s{i}", scenario) for i in range(5)]
    for i, run in enumerate(runs):
        config = (run / "config.yaml").read_text().replace("seed: 3", f"seed: {i}")
        (run / "config.yaml").write_text(config)
    found = compare([str(tmp_path / "runs")], Course(QUICK, "train", num_markets=2))
    (method,) = found.methods.values()
    assert method.name == "runs" and sorted(method.runs) == ["s0", "s1", "s2", "s3", "s4"]
    assert method.figures is not None and method.figures.lift.count == 5


def test_figures_are_fractions_of_the_reference() -> None:
    scores = {f"r{i}": 100.0 + 10.0 * i for i in range(8)}
    method = methods_of({"mine": scores}, baseline=120.0, reference=150.0)["mine"]
    assert method.figures is not None
    values = np.array(list(scores.values()))
    assert method.figures.objective.estimate == pytest.approx(values.mean())
    assert method.figures.lift.estimate == pytest.approx(values.mean() / 120.0 - 1.0)
    assert method.figures.interquartile_mean.estimate == pytest.approx(interquartile_mean(values / 150.0))
    assert method.figures.optimality_gap.estimate == pytest.approx(optimality_gap(values / 150.0))
    assert method.figures.probability_of_improvement.estimate == (5 + 0.5) / 8
    lost = methods_of({"mine": scores}, baseline=120.0, reference=-1.0)["mine"]
    assert lost.figures is not None and np.isnan(lost.figures.optimality_gap.estimate)
    assert np.isnan(lost.figures.profile.share).all()


def test_only_methods_with_enough_runs_are_compared() -> None:
    runs = {name: {f"{name}{i}": 100.0 + i for i in range(n)} for name, n in (("a", 5), ("b", 6), ("c", 4))}
    found = methods_of(runs, baseline=100.0, reference=100.0)
    assert found["c"].figures is None and "got 4" in str(found["c"].refusal)
    assert found["a"].figures is not None and found["a"].figures.versus.keys() == {"b"}
