"""The table of a study, on figures whose answers are known."""

import json

import numpy as np
import pytest

from envs.output import plain
from evaluation.metrics import KPIS, OBJECTIVE
from evaluation.study import Study
from evaluation.study_table import StudyTable, TrainingCost, study_table
from evaluation.study_unit import Played, Results

MARKETS = 40


def a_study(runs: int) -> Study:
    return Study.model_validate(
        {
            "name": "known",
            "baseline": "plain",
            "scenarios": ["a", "b"],
            "seeds": list(range(runs)),
            "variants": {
                "plain": {"team": "siloed"},
                "twin": {"team": "pid"},
                "learned": {"training": "quick", "overrides": {"critic": "shared"}},
            },
        }
    )


def played(objective: np.ndarray, incapacities: int = 0) -> Played:
    metrics = dict.fromkeys(KPIS, np.full(MARKETS, 0.5)) | {OBJECTIVE: objective}
    return Played(metrics, "model-aware", (), incapacities)


def results(runs: int) -> Results:
    base = np.random.default_rng(0).uniform(50, 150, MARKETS)
    learned = {f"seed {s}": played(base * (1.1 + 0.01 * s)) for s in range(runs)}
    by_variant = {"plain": {"siloed": played(base)}, "twin": {"pid": played(base.copy())}, "learned": learned}
    return {"a": by_variant, "b": by_variant}


def the_table(runs: int) -> StudyTable:
    return study_table(a_study(runs), results(runs), {"learned": ["abc"]})


def test_differences_are_paired_and_a_markets_figure_is_the_mean_of_its_runs() -> None:
    plain_row, twin, learned = the_table(3).rows["a"]
    assert plain_row.versus is None
    assert twin.versus is not None
    assert twin.versus.verdict == "the same"
    assert twin.versus.probability_of_improvement.estimate == 0.5
    assert learned.versus is not None
    lift = learned.versus.lift  # each market is 11 % up, so every resample of the pairs is
    assert (lift.estimate, lift.low, lift.high) == pytest.approx((0.11, 0.11, 0.11))
    assert lift.kind == "over_markets"
    assert learned.versus.probability_of_improvement.estimate == 1.0
    assert learned.runs.keys() == {"seed 0", "seed 1", "seed 2"}


def test_an_interval_over_runs_wants_five_of_them() -> None:
    few, enough = the_table(4), the_table(5)
    row = few.rows["a"][2]
    assert row.method is not None
    assert row.method.figures is None
    assert row.lift_over_runs is None
    assert "at least 5 runs" in few.markdown()
    assert "refused" in few.markdown()
    row = enough.rows["a"][2]
    assert row.lift_over_runs is not None
    assert row.lift_over_runs.kind == "over_runs"
    assert row.lift_over_runs.estimate == pytest.approx(0.12)
    assert 0.10 <= row.lift_over_runs.low < 0.12 < row.lift_over_runs.high <= 0.14
    assert "refused" not in enough.markdown()
    assert enough.rows["a"][0].method is None


def test_the_table_says_what_each_variant_is_and_is_whole_as_json() -> None:
    table = the_table(5)
    text = table.markdown()
    for words in (
        "trained: `quick`",
        '`critic="shared"`',
        "## a",
        "## b",
        "| `learned` | +12.0 %",
        "baseline",
    ):
        assert words in text
    found = json.loads(json.dumps(plain(table.as_json()), allow_nan=False))
    assert [entry["scenario"] for entry in found["scenarios"]] == ["a", "b"]
    rows = {row["variant"]: row for row in found["scenarios"][0]["variants"]}
    assert rows["plain"]["versus_baseline"] is None
    assert rows["plain"]["over_runs"] is None
    assert rows["learned"]["over_runs"]["refused"] is None
    assert rows["learned"]["over_runs"]["lift_fraction"]["count"] == 5
    assert set(rows["learned"]["kpis"]) == set(KPIS)
    assert found["trained_at_commits"] == {"learned": ["abc"]}
    assert text.index("## J over the baseline") < text.index("## Over all scenarios") < text.index("## a\n")
    assert found["over_scenarios"]["scenarios"] == ["a", "b"]


def test_what_training_took_stands_beside_what_it_brought() -> None:
    costs = {"learned": {"seed 0": TrainingCost(10, 4_000, 60.0), "seed 1": TrainingCost(10, 4_000, 80.0)}}
    table = study_table(a_study(5), results(5), {"learned": ["abc"]}, costs)
    assert "| `learned` | 2 | 10 | 4,000 | 70 |" in table.markdown()
    told = table.as_json()["training_costs"]["learned"]["seed 1"]
    assert told == {"iterations": 10, "market_steps": 4_000, "seconds": 80.0}
    assert "training seconds" not in the_table(5).markdown()


def test_what_a_reader_should_know_is_noted() -> None:
    by_scenario = results(5)
    failed = {**by_scenario["a"], "twin": {"pid": played(np.ones(MARKETS), incapacities=1)}}
    table = study_table(a_study(5), {"a": failed}, {"learned": ["abc", "def"]})
    assert "trained at 2 commits: abc, def" in table.markdown()
    assert "stand-in took over in: twin" in table.markdown()
    assert "commits" not in the_table(5).markdown()
    assert table.aggregate is None and "Over all scenarios" not in table.markdown()
    assert table.as_json()["over_scenarios"] is None
