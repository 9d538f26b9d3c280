from pathlib import Path

import numpy as np
import pytest

from envs.scenario import load_scenario
from evaluation.coverage import (
    AGGREGATES,
    MARKETS,
    PAIRS,
    POPULATIONS,
    RUNS,
    TASKS,
    detection,
    main,
    market_coverage,
    run_coverage,
)
from evaluation.intervals import MEASURED_COVERAGE


def test_few_runs_cover_less_than_they_say_and_many_nearly_as_much() -> None:
    found = run_coverage(repetitions=150, resamples=200)
    assert len(found) == len(POPULATIONS) * len(AGGREGATES) * len(TASKS) * len(RUNS)
    by_runs = {
        one.runs: one.coverage
        for one in found
        if (one.population, one.aggregate, one.tasks) == ("normal", "mean", 1)
    }
    assert by_runs[3] < 0.87 < by_runs[20]
    for runs, coverage in MEASURED_COVERAGE.items():
        assert by_runs[runs] == pytest.approx(coverage, abs=0.1)


def test_intervals_over_markets_cover_what_they_say() -> None:
    rng = np.random.default_rng(0)
    market = rng.lognormal(7.0, 0.5, 2000)
    objective = {
        name: market * (1.0 + 0.05 * rng.normal(size=2000)) for name in sorted({*PAIRS[0], *PAIRS[1]})
    }
    objective[PAIRS[0][0]] *= 1.1
    found = market_coverage(objective, repetitions=200, resamples=300)
    assert [(one.pair, one.markets) for one in found] == [(pair, n) for pair in PAIRS for n in MARKETS]
    for one in found:
        if one.markets >= 64:
            assert 0.89 <= one.mean <= 0.99 and 0.89 <= one.lifts <= 0.99
    assert all(one.detected > 0.95 for one in found[:3])
    assert found[5].detected < 0.5  # hardly a difference: noise of the made-up pair


def test_a_handicap_is_detected_by_as_many_markets_as_said() -> None:
    rng = np.random.default_rng(1)
    whole = rng.lognormal(7.0, 0.5, 3000)
    lost = whole * (0.99 + 0.05 * rng.normal(size=3000))
    (found,) = detection(whole, {0.01: lost}, repetitions=150, resamples=300)
    assert found.lift == pytest.approx(-0.01, abs=0.004)
    assert 0.7 <= found.detected <= 0.92


def test_the_document_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = load_scenario("quick").model_copy(update={"intervals": 12})
    (tmp_path / "quick.yaml").write_text(short.model_dump_json())
    small = ["--scenario", str(tmp_path / "quick.yaml"), "--markets", "24"]
    small += ["--repetitions", "4", "--resamples", "20"]
    assert main([str(tmp_path), *small]) == 0
    text = (tmp_path / "coverage.md").read_text(encoding="utf-8")
    assert (
        f"J of 24 held-out markets of scenario {tmp_path / 'quick.yaml'}" in text
        and "4 repetitions of 20 resamples" in text
    )
    assert main([str(tmp_path / "nowhere"), *small]) != 0 and "is not a folder" in capsys.readouterr().err
