"""An evaluation is named by all that it depends on, and kept whole or not at all."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from envs.scenario import load_scenario
from evaluation import study_unit
from evaluation.rollout import Course, play
from evaluation.study_unit import EvaluationUnit, digest
from policies.registry import make_team
from tests.support.runs import a_run, a_scenario


@pytest.fixture
def course(tmp_path: Path) -> Course:
    return Course(load_scenario(str(a_scenario(tmp_path))), "train", 0, 3)


def test_what_is_kept_is_what_was_played(course: Course, tmp_path: Path) -> None:
    unit = EvaluationUnit("certainty-equivalent+monitor=quiet", course)
    assert unit.load(tmp_path) is None
    played, kept = unit.play(tmp_path), unit.load(tmp_path)
    assert kept is not None
    assert kept.metrics.keys() == played.metrics.keys()
    for tag, values in played.metrics.items():  # NaN, where a KPI is empty, comes back as NaN
        np.testing.assert_array_equal(kept.metrics[tag], values)
    assert (kept.knowledge, kept.learned_roles, kept.incapacities) == ("model-aware", (), 0)
    team = make_team("certainty-equivalent")
    team.policies["monitor"] = make_team("random").policies["monitor"]
    direct = play(team, course).metrics["market/objective_usd"]
    np.testing.assert_array_equal(kept.metrics["market/objective_usd"], direct)


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"metrics": {}}'])
def test_a_damaged_file_counts_as_missing(damage: str, course: Course, tmp_path: Path) -> None:
    unit = EvaluationUnit("pid", course)
    (tmp_path / f"{unit.key}.json").write_text(damage)
    assert unit.load(tmp_path) is None


def test_results_of_other_markets_are_not_taken(course: Course, tmp_path: Path) -> None:
    unit, longer = EvaluationUnit("pid", course), EvaluationUnit("pid", replace(course, num_markets=4))
    unit.play(tmp_path)
    os.replace(tmp_path / f"{unit.key}.json", tmp_path / f"{longer.key}.json")
    assert longer.load(tmp_path) is None


def test_the_key_moves_with_everything_that_matters_and_nothing_else(course: Course) -> None:
    scenario = course.scenario
    base = EvaluationUnit("pid", course)
    others = [
        EvaluationUnit("siloed", course),
        EvaluationUnit("pid+monitor=quiet", course),
        EvaluationUnit("pid", course, sample=True),
        EvaluationUnit("pid", replace(course, seed=1)),
        EvaluationUnit("pid", replace(course, split="held_out")),
        EvaluationUnit("pid", replace(course, num_markets=4)),
        EvaluationUnit("pid", replace(course, scenario=scenario.model_copy(update={"campaigns": 1}))),
    ]
    assert len({unit.key for unit in (base, *others)}) == len(others) + 1
    described = scenario.model_copy(update={"description": "in other words"})
    same = EvaluationUnit("pid", replace(course, scenario=described, batch_size=2))
    assert same.key == base.key


def test_a_run_is_named_by_what_it_learned(course: Course, tmp_path: Path) -> None:
    run = a_run(tmp_path / "run", tmp_path / "scenario.yaml")
    before = EvaluationUnit(str(run), course).key
    (run / "progress.jsonl").write_text("more")
    assert EvaluationUnit(str(run), course).key == before
    moved = run.rename(tmp_path / "elsewhere")
    assert EvaluationUnit(str(moved), course).key == before
    (moved / "policies" / "bidding.safetensors").write_bytes(b"other")
    assert EvaluationUnit(str(moved), course).key != before


def test_the_code_that_plays_is_part_of_the_key(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    before = EvaluationUnit("pid", course).key
    monkeypatch.setattr(study_unit, "_code_digest", lambda: "other")
    assert EvaluationUnit("pid", course).key != before


def test_a_policy_of_ones_own_is_named_by_its_code(
    course: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_monitor_of_a_study.py").write_text("one = 1")
    unit = "pid+monitor=own_monitor_of_a_study:Mine"
    before = EvaluationUnit(unit, course).key
    (tmp_path / "own_monitor_of_a_study.py").write_text("two = 2")
    assert EvaluationUnit(unit, course).key != before


def test_digests_do_not_depend_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": (2, None)}) == digest({"b": [2, None], "a": 1}) != digest({"a": 1})
