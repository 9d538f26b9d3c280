"""`interlude evaluate --bound`: scores as fractions of a bound or of the best play known."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import evaluation.bound_report as report
from envs.scenario import load_scenario
from evaluation.best_known import BestKnown
from interlude import app


def evaluated(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["evaluate", "pid", "--episodes", "2", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_shares_of_the_exact_bound_stand_under_the_table_and_in_the_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluation.report.image", lambda draw, alt: alt)  # figures have tests of their own
    file, page = tmp_path / "e.json", tmp_path / "e.html"
    short = load_scenario("linear").model_copy(update={"intervals": 12})
    (tmp_path / "linear.yaml").write_text(short.model_dump_json())
    text = evaluated(
        "--scenario",
        str(tmp_path / "linear.yaml"),
        "--bound",
        "exact",
        "--json",
        str(file),
        "--report",
        str(page),
    )
    assert "J against the clairvoyant bound (exact), duality gap 0.00" in text
    bound = json.loads(file.read_text())["bound"]
    assert bound["kind"] == "exact" and len(bound["usd_per_market"]) == 2
    for team in ("pid", "siloed", "shadow-price"):
        share = bound["teams"][team]["fraction"]
        assert 0.0 < share["low"] <= share["estimate"] <= share["high"] < 1.0
        assert f"<td>{team}</td><td>{100 * share['estimate']:.1f} % [" in page.read_text()


def test_the_best_known_play_is_called_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(course: object, progress: object = None) -> BestKnown:
        import numpy as np

        return BestKnown(np.array([1e5, 1e5]), np.array([9e4, 9e4]), 961)

    monkeypatch.setattr(report, "best_known", found)
    text = evaluated("--scenario", "quick", "--bound", "best-known")
    assert "best-known clairvoyant play (no bound)" in text
    assert "share of 100,000 USD" in text and "duality" not in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--scenario", "default", "--bound", "exact"], "has no clairvoyant bound"),
        (["--scenario", "reactive-rivals", "--bound", "exact"], "rivals react"),
        (["--scenario", "linear", "--bound", "tight"], "unknown bound 'tight'"),
    ],
)
def test_no_bound_is_said_before_anything_is_played(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(app, ["evaluate", "pid", *arguments])
    assert result.exit_code in (1, 2)
    assert words in result.stderr and "played" not in result.stderr
