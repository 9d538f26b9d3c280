"""A study's aggregate over scenarios, on figures whose answers are known."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from envs.output import plain
from evaluation.metrics import KPIS, OBJECTIVE
from evaluation.study import Study
from evaluation.study_aggregate import StudyAggregate, study_aggregate
from evaluation.study_table import study_table
from evaluation.study_unit import Played, Results

MARKETS = 30


def a_study(runs: int, **changes: Any) -> Study:
    seeds = list(range(runs))
    variants = {"plain": {"team": "siloed"}, "learned": {"training": "quick"}}
    fields = {"name": "known", "baseline": "plain", "scenarios": ["poor", "rich"], "seeds": seeds}
    return Study.model_validate(fields | {"variants": variants} | changes)


def played(objective: Any) -> Played:
    metrics = dict.fromkeys(KPIS, np.full(MARKETS, 0.5)) | {OBJECTIVE: np.asarray(objective)}
    return Played(metrics, "model-aware", (), 0)


def results(gains: dict[str, list[float]], level: tuple[float, float] = (10.0, 1000.0)) -> Results:
    """Gains of every run over the baseline by scenario; one scenario's J is a hundred times the other's."""
    base = np.random.default_rng(0).uniform(0.5, 1.5, MARKETS)
    return {
        scenario: {
            "plain": {"siloed": played(usd * base)},
            "learned": {f"seed {n}": played(usd * base * (1 + gain)) for n, gain in enumerate(own)},
        }
        for (scenario, own), usd in zip(gains.items(), level, strict=True)
    }


def aggregate(study: Study, found: Results) -> StudyAggregate:
    made = study_aggregate(study, found)
    assert made is not None
    return made


def test_scenarios_weigh_alike_however_much_money_is_in_them() -> None:
    gains = {"poor": [0.1 + 0.1 * n for n in range(5)], "rich": [0.0] * 5}
    plain_row, learned = aggregate(a_study(5), results(gains)).rows
    assert plain_row.lift is None and plain_row.over_runs is None and plain_row.refusal is None
    assert learned.lift is not None and learned.over_runs is not None
    assert learned.lift.kind == "over_markets" and learned.lift.count == MARKETS
    # every market of a scenario gains alike, so that no resample of markets differs
    assert (learned.lift.estimate, learned.lift.low, learned.lift.high) == pytest.approx((0.15,) * 3)
    over = learned.over_runs
    assert over.lift is not None and over.lift.estimate == pytest.approx(0.15)
    assert (over.lift.kind, over.lift.count) == ("over_runs", 5)
    assert 0.05 < over.lift.low < 0.15 < over.lift.high < 0.25
    # ten fractions 1, 1, 1, 1, 1, 1.1 … 1.5: the middle six
    assert over.interquartile_mean.estimate == pytest.approx((3 + 1.1 + 1.2 + 1.3) / 6)
    assert over.optimality_gap.estimate == 0.0


def test_runs_are_drawn_within_scenarios_or_whole() -> None:
    """A run's luck that is the same in both scenarios averages out only where draws are made apart."""
    luck = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    (_, same) = aggregate(a_study(6), results({"poor": luck, "rich": luck})).rows
    (_, opposite) = aggregate(a_study(6), results({"poor": luck, "rich": luck[::-1]})).rows

    def widths(row: Any) -> tuple[float, float]:
        lifts = row.over_runs.lift, row.over_runs.lift_whole
        assert [lift.estimate for lift in lifts] == pytest.approx([0.25, 0.25])
        return tuple(lift.high - lift.low for lift in lifts)  # type: ignore[return-value]

    apart, whole = widths(same)
    assert whole == pytest.approx(apart * np.sqrt(2), rel=0.1)
    apart, whole = widths(opposite)
    assert apart > 0.1 and whole == pytest.approx(0.0, abs=1e-9)


def test_under_five_runs_nothing_is_said_of_the_method_but_markets_are_there() -> None:
    study, found = a_study(4), results({"poor": [0.1] * 4, "rich": [0.2] * 4})
    made = aggregate(study, found)
    row = made.rows[1]
    assert row.over_runs is None and row.refusal is not None and "at least 5 runs" in row.refusal
    assert row.lift is not None and row.lift.estimate == pytest.approx(0.15)
    assert "Over runs" in made.heading()
    head, cells = made.table()
    assert len(head) == len(cells[1]) and cells[1].count("refused") == 4 and cells[0][1] == "baseline"
    text = study_table(study, found, {}).markdown()
    assert "| `learned` | +15.0 %" in text.split("## Over all scenarios")[1].split("\n## ")[0]
    written = json.loads(json.dumps(plain(made.as_json()), allow_nan=False))["variants"]
    assert written[0] == {"variant": "plain", "lift_fraction": None, "over_runs": None}
    assert "at least 5" in written[1]["over_runs"]["refused"]
    assert written[1]["over_runs"]["lift_fraction"] is None


def test_a_baseline_that_was_trained_is_drawn_again_where_it_has_runs_enough() -> None:
    luck = [0.0, 0.1, 0.2, 0.3, 0.4]
    found = results({"poor": luck, "rich": luck})
    widths = []
    for count in (5, 1):
        fixed = {}
        for scenario, by_variant in found.items():
            runs = by_variant["learned"]
            fixed[scenario] = {"plain": runs if count == 5 else {"seed 2": runs["seed 2"]}, "learned": runs}
        study = a_study(5, variants={"plain": {"runs": ["x"]}, "learned": {"training": "quick"}})
        base, learned = aggregate(study, fixed).rows
        assert learned.over_runs is not None and learned.over_runs.lift is not None
        assert learned.over_runs.lift.estimate == pytest.approx(0.0, abs=1e-9)
        assert (base.refusal is None) == (count == 5)
        if base.over_runs is not None:
            assert base.over_runs.lift is None and base.over_runs.lift_whole is None
        widths.append(learned.over_runs.lift.high - learned.over_runs.lift.low)
    assert widths[0] > 1.2 * widths[1]


def test_where_nothing_was_trained_nothing_is_said_of_runs() -> None:
    found = results({"poor": [0.1], "rich": [0.3]})
    study = a_study(1, variants={"plain": {"team": "siloed"}, "learned": {"team": "pid"}})
    made = aggregate(study, found)
    assert made.table() == (
        ["variant", "over the baseline, over markets"],
        [["`plain`", "baseline"], ["`learned`", "+20.0 % [+20.0, +20.0]"]],
    )
    assert "Over runs" not in made.heading()


def test_a_fraction_of_a_loss_is_refused() -> None:
    found = results({"poor": [0.1] * 5, "rich": [0.1] * 5}, level=(-1.0, 10.0))
    made = aggregate(a_study(5), found)
    assert made.rows == () and made.losing == ("poor",)
    text = study_table(a_study(5), found, {}).markdown()
    assert "`plain` loses money in poor, and a fraction of a loss" in text


def test_one_scenario_has_nothing_over_scenarios() -> None:
    found = results({"poor": [0.1] * 5, "rich": [0.1] * 5})
    assert study_aggregate(a_study(5, scenarios=["poor"]), {"poor": found["poor"]}) is None
