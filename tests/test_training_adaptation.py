"""Learners of the adaptation curves: what needs no run, and finished runs of a study."""

from __future__ import annotations

from pathlib import Path

import pytest

from envs.output import write_json
from envs.scenario import load_scenario, with_all_verticals
from evaluation.adaptation import Adaptation
from evaluation.rollout import Course
from evaluation.study import Study, load_study
from tests.support.runs import a_run, a_scenario
from training.adaptation import FILTER, NOTHING, ORACLE, adaptation, main, trained
from training.configuration import load_training
from training.study import FINISHED, StudyRun


@pytest.fixture(scope="module")
def found() -> Adaptation:
    return adaptation(Course(load_scenario("default"), num_markets=24), prior_markets=256)


def test_who_infers_beats_who_does_not_and_the_oracle_all(found: Adaptation) -> None:
    for kind in range(2):
        assert found.lift(FILTER, kind, NOTHING).low > 0.0
        best = max(found.share_of_oracle(learner.name, kind).estimate for learner in found.learners)
        assert best == found.share_of_oracle(ORACLE, kind).estimate == 1.0


def test_a_prior_of_seen_verticals_helps_them_before_the_flight(found: Adaptation) -> None:
    assert found.lift("prior alone", 0, NOTHING).low > 0.0


def test_only_those_that_know_too_much_are_no_contestants(found: Adaptation) -> None:
    marked = [one.name for one in found.learners if not one.contestant]
    assert marked == ["filter + prior of all", "listener-aware + prior of all", ORACLE]
    assert [twins for twins in found.twins] == [
        ("filter + prior", "filter + prior of all"),
        ("listener-aware + prior", "listener-aware + prior of all"),
    ]


def test_all_verticals_are_an_option_and_no_default() -> None:
    scenario = load_scenario("default")
    assert load_training("default").load_scenario().verticals == scenario.verticals
    everything = load_training("default", ["verticals=all"]).load_scenario()
    assert set(everything.verticals) == set(scenario.held_out.verticals) > set(scenario.verticals)
    assert everything == with_all_verticals(scenario)


def test_the_shipped_study_pairs_every_run_with_one_that_saw_all() -> None:
    study = load_study("unseen-verticals")
    settings = [v.overrides.get("verticals") for v in study.variants.values() if v.training]
    assert settings.count("all") == settings.count(None) == 4


def _study(tmp_path: Path) -> StudyRun:
    path = a_scenario(tmp_path)
    study = Study.model_validate(
        {
            "name": "tiny",
            "baseline": "short",
            "scenarios": [str(path)],
            "overrides": {"scenario": str(path), "ppo.minibatches": 1},
            "variants": {
                "short": {"training": "default"},
                "long": {"training": "default", "overrides": {"verticals": "all"}},
                "never": {"training": "default", "overrides": {"ppo.gamma": 0.9}},
            },
        }
    )
    return StudyRun(study, tmp_path / "study")


def test_finished_runs_of_a_study_join_and_find_their_twins(tmp_path: Path) -> None:
    run = _study(tmp_path)
    assert list(trained(run)) == []
    scenario = tmp_path / "scenario.yaml"
    for member in run.members[:2]:
        (unit,) = member.trainings
        a_run(unit.path(run.directory), scenario)
        write_json(unit.path(run.directory) / FINISHED, {"key": unit.key, "git_commit": "x"})
    short, long = trained(run)
    assert (short.name, short.sees_all, short.twin) == ("short", False, None)
    assert (long.name, long.sees_all, long.twin) == ("long", True, "short")


def test_it_writes_table_picture_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "adaptation.md"
    main("quick", 12, directory=tmp_path / "study", report=report)
    assert "Not trained yet" in capsys.readouterr().out
    assert report.read_text().startswith("<!-- written by")
    assert (tmp_path / "adaptation.png").stat().st_size > 1000
    assert '"share_of_the_gain_kept"' in (tmp_path / "adaptation.json").read_text()
