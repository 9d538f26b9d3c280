"""Scenarios fitted to a user's own data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from envs.calibration.fit import ListenerSpread, fitted_scenario, write_scenario
from envs.errors import UnknownNameError
from envs.price_landscape import load_price_landscape
from envs.price_log import derive
from envs.scenario import Scenario, load_scenario
from interlude import app

LOG = "won,bid,price\n1,5,2\n0,2,\n0,2,\n0,9,\n1,5,4\n"


def a_log(folder: Path) -> Path:
    path = folder / "log.csv"
    path.write_text(LOG)
    return path


def test_a_fitted_scenario_is_one_and_keeps_the_rest(tmp_path: Path) -> None:
    out = tmp_path / "mine.yaml"
    write_scenario(out, "first-price", derive(a_log(tmp_path)).landscape, ListenerSpread(0.9, 0.6))
    fitted, base = load_scenario(str(out)), load_scenario("first-price")
    table = load_price_landscape(tmp_path / "mine.prices.json")
    for held_out in (False, True):
        for landscape in fitted.landscapes(held_out):
            assert np.array_equal(landscape.quantile, table.quantile)
    assert fitted.auction.probability_within_table == pytest.approx((0.6,) * 3)
    assert (fitted.listeners.activity_sd, fitted.listeners.taste_sd) == (0.9, 0.6)
    changed = {"price_landscape", "probability_within_table"}
    assert fitted.auction.model_dump(exclude=changed) == base.auction.model_dump(exclude=changed)
    assert fitted.name == "mine" and "first-price" in fitted.description


def test_what_is_not_fitted_stays() -> None:
    settings = fitted_scenario("mine", "default", spread=ListenerSpread(0.9, 0.6))
    fitted = Scenario.model_validate(settings)
    assert fitted.auction == load_scenario("default").auction
    with pytest.raises(UnknownNameError, match="default"):
        fitted_scenario("mine", "defualt", spread=ListenerSpread(0.9, 0.6))


def test_the_command_writes_a_scenario_and_its_table(tmp_path: Path) -> None:
    out, landscape = tmp_path / "mine.yaml", tmp_path / "landscape.json"
    arguments = ["--price-log", str(a_log(tmp_path)), "--scenario-out", str(out), "--json", str(landscape)]
    run = CliRunner().invoke(app, ["calibrate", *arguments])
    assert run.exit_code == 0 and "2 won, 3 lost" in run.stdout and str(out) in run.stdout
    assert load_price_landscape(landscape).probability_within_table == pytest.approx(0.6)
    assert load_scenario(str(out)).listeners == load_scenario("default").listeners


@pytest.mark.parametrize(
    "arguments",
    [
        ["--scenario-out", "a.yaml"],
        ["--probability-within-table", "0.5"],
        ["--price-log", "a.csv", "--picture", "a.png"],
        ["--price-log", "a.csv", "--scenario-out", "a.yaml", "--scenario", "none"],
    ],
)
def test_misuse_writes_nothing(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    log = a_log(tmp_path).rename(tmp_path / "a.csv")
    assert CliRunner().invoke(app, ["calibrate", *arguments]).exit_code == 2
    assert list(tmp_path.iterdir()) == [log]


def test_real_data_make_a_scenario(data_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "real.yaml"
    arguments = [
        *("--price-log", str(data_dir / "ipinyou" / "winning_price_counts_by_campaign.csv")),
        *("--listening-history", str(data_dir / "lastfm-hetrec2011")),
        *("--scenario-out", str(out), "--report", str(tmp_path / "real.html"), "--json", "-"),
    ]
    run = CliRunner().invoke(app, ["calibrate", *arguments])
    assert run.exit_code == 0
    told = json.loads(run.stdout)["derivation"]["listening_history"]
    assert (told["listeners"], told["pairs"]) == (1892, 92834)
    fitted = load_scenario(str(out))
    assert 1.0 < fitted.listeners.activity_sd < 2.0 and 1.0 < fitted.listeners.taste_sd < 2.5
    assert fitted.auction.probability_within_table == (0.213,) * 3
