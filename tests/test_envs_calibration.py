"""The market against what is known of real ones: one test a row, and how the comparison is told."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from envs.calibration.findings import straightness
from envs.calibration.laboratory import Laboratory, scenario
from envs.calibration.page import amount, main, markdown, page, text
from envs.calibration.rows import NOT_EXPRESSED, ROWS, Row
from envs.calibration.simulate import EXPERIMENTS, Comparison, compare, compare_all
from envs.paths import ROOT
from interlude import app

FALLS_SHORT = {"frequency.linear_paced", "sold.spread"}
"""Known shortfalls, named on the page: one that heals leaves this set, a new one may not join unnoticed."""
FACT = Row("a.b", "a thing <&>", "fraction", "5 %", 0.04, 0.06, "somebody")


@pytest.mark.parametrize("row", ROWS, ids=[row.key for row in ROWS])
def test_the_market_agrees_with_the_source(row: Row) -> None:
    comparison = compare(row)
    assert np.isfinite(comparison.simulated)
    assert comparison.holds == (row.key not in FALLS_SHORT), (
        f"{row.quantity}: {comparison.simulated:g}, source {row.target}, allowed {row.low:g} to {row.high:g}"
    )


def test_every_figure_of_every_experiment_has_its_row() -> None:
    found = {
        f"{name}.{figure}" for name, experiment in EXPERIMENTS.items() for figure in experiment().figures
    }
    assert found == {row.key for row in ROWS} and len(ROWS) == len(found)
    assert all(row.low <= row.high and row.source and row.target for row in ROWS)
    assert FALLS_SHORT <= found
    assert all(NOT_EXPRESSED.values())


@pytest.mark.parametrize(
    ("simulated", "holds"), [(0.04, True), (0.06, True), (0.0399, False), (np.nan, False)]
)
def test_a_row_holds_within_its_interval(simulated: float, holds: bool) -> None:
    assert Comparison(FACT, simulated).holds == holds


def test_figures_are_told_with_their_unit() -> None:
    assert amount(0.00027, "fraction") == "0.027 %"
    assert amount(500_402.0, "") == "500,402"
    assert amount(20.04, "USD") == "20 USD"


def test_a_shortfall_is_named_with_its_figure_everywhere() -> None:
    short = [Comparison(FACT, 0.05), Comparison(FACT._replace(key="a.c", quantity="another"), 0.075)]
    shown = page(short, b"a picture")
    for told in (text(short), markdown(short), shown):
        assert "1 of 2 rows hold" in told and "another (7.5 %; source: 5 %)" in told
        assert "FALLS SHORT" in told
    assert "a thing &lt;&amp;&gt;" in shown and "data:image/png;base64,YSBwaWN0dXJl" in shown
    assert all(what in markdown(short) for what in NOT_EXPRESSED)


def test_the_committed_table_is_up_to_date() -> None:
    committed = (ROOT / "docs" / "calibration.md").read_text(encoding="utf-8")
    assert committed == markdown(compare_all()), "run `python -m envs.calibration.page docs`"
    assert (ROOT / "docs" / "calibration.png").read_bytes().startswith(b"\x89PNG")


def test_table_and_picture_are_written_into_an_existing_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"calibration.md", "calibration.png"}
    assert main([]) == 2 and "usage" in capsys.readouterr().err


def test_the_command_compares_and_exits_0_with_shortfalls_named(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("c.html", "c.png", "c.json")}
    arguments = ["--report", str(files["c.html"]), "--picture", str(files["c.png"])]
    run = CliRunner().invoke(app, ["calibrate", *arguments, "--json", str(files["c.json"])])
    assert run.exit_code == 0
    result = json.loads(files["c.json"].read_text())
    assert set(result["short"]) == FALLS_SHORT and len(result["rows"]) == len(ROWS)
    for row in result["rows"]:
        assert row["key"] in run.stdout and row["holds"] == (row["low"] <= row["simulated"] <= row["high"])
    assert files["c.png"].read_bytes().startswith(b"\x89PNG")
    shown = files["c.html"].read_text()
    assert "<table>" in shown and b64encode(files["c.png"].read_bytes()).decode() in shown


def test_a_line_is_straight_and_a_bend_is_not() -> None:
    assert straightness([1, 2, 3], [5, 3, 1]) == pytest.approx(1.0)
    assert straightness([1, 2, 3, 4], [0, 1, 1, 1]) < 0.7


def test_exposures_by_hand_reach_everybody_once() -> None:
    laboratory = Laboratory(scenario(campaigns=2, intervals=2, listeners={"count": 300}), 1)
    laboratory.expose()
    laboratory.expose()
    outcome = laboratory.play()
    assert (laboratory.state.exposures == 2.0).all()
    assert outcome.wins.sum() == 2 * 2 * 300 and outcome.spend_usd.sum() == 0.0
    assert laboratory.play().wins.sum() == 0.0
    with pytest.raises(ValueError, match="one market, got 2"):
        Laboratory(scenario(intervals=2), 2).expose()
