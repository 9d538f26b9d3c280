"""The command: from a log alone or from markets played for it, both alike."""

import json
from pathlib import Path

import pytest
from support.runs import a_scenario
from typer.testing import CliRunner

from interlude import app


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluation's event log, beside the file of its scenario; nobody may change it."""
    beside = tmp_path_factory.mktemp("evaluated")
    folder = beside / "log"
    code, _, errors = run(
        *("evaluate", "pid", "--scenario", a_scenario(beside), "--episodes", 3, "--event-log", folder)
    )
    assert code == 0, errors
    return folder


def test_a_log_and_markets_played_tell_the_same(log: Path, tmp_path: Path) -> None:
    whole = ["bid-landscape", "pid", "--campaign", 1, "--multipliers", "0.5,1,2", "--json", "-"]
    code, read, _ = run(*whole, "--event-log", log, "--report", tmp_path / "page.html")
    assert code == 0
    code, played, _ = run(*whole, "--scenario", log.parent / "scenario.yaml", "--markets", 3)
    assert code == 0
    found = json.loads(read)
    assert found == json.loads(played)
    assert [point["multiplier"] for point in found["points"]] == [0.5, 1.0, 2.0]
    assert (found["scenario"], found["campaign"], found["markets"]) == ("tiny", 1, 3)
    page = (tmp_path / "page.html").read_text()
    assert page.startswith("<!doctype html>") and "data:image/png" in page


def test_a_window_is_part_of_the_flight(log: Path) -> None:
    parts = [
        json.loads(run("bid-landscape", "pid", "--event-log", log, "--window", window, "--json", "-")[1])
        for window in ("0:6", "0:2", "2:6")
    ]
    whole, *halves = ({point["multiplier"]: point for point in part["points"]}[1.0] for part in parts)
    for name in ("bids", "wins", "spend_usd", "completions"):
        assert sum(half[name] for half in halves) == pytest.approx(whole[name])


def test_the_table_is_read_by_people(log: Path) -> None:
    code, text, _ = run("bid-landscape", "siloed", "--event-log", log)
    assert code == 0
    assert "multiplier" in text and "never won" in text


def test_a_log_starts_in_a_new_folder(log: Path) -> None:
    before = sorted(log.rglob("*"))
    code, _, errors = run(
        *("evaluate", "pid", "--scenario", log.parent / "scenario.yaml", "--episodes", 1, "--event-log", log)
    )
    assert code == 1 and "is not empty" in errors
    assert sorted(log.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name a TEAM"),
        (["nobody"], "unknown team 'nobody'"),
        (["pid", "--campaign", "9"], "campaign 9 does not exist"),
        (["pid", "--split", "test"], "unknown split"),
        (["pid", "--multipliers", "a"], "--multipliers takes numbers"),
        (["pid", "--window", "3"], "--window takes numbers"),
        (["--event-log", "LOG"], "several runs: name one of pid, shadow-price, siloed"),
        (["pip", "--event-log", "LOG"], "did you mean 'pid'"),
        (["pid", "--event-log", "LOG", "--campaign", "2"], "campaign 2 does not exist"),
        (["pid", "--event-log", "LOG", "--window", "9:12"], "outside the 6 intervals"),
        (["pid", "--event-log", "LOG", "--scenario", "quick"], "--scenario would change nothing"),
        (["pid", "--event-log", "LOG", "--split", "train"], "--split would change nothing"),
        (["pid", "--event-log", "LOG", "--seed", "0"], "--seed would change nothing"),
        (["pid", "--event-log", "LOG", "--markets", "64", "--seed", "1"], "--markets, --seed would change"),
        (["pid", "--event-log", "EMPTY"], "holds no event log"),
    ],
)
def test_misuse_is_told(arguments: list[str], words: str, log: Path, tmp_path: Path) -> None:
    places = {"LOG": str(log), "EMPTY": str(tmp_path / "nothing")}
    code, _, errors = run("bid-landscape", *(places.get(word, word) for word in arguments))
    assert code == 2
    assert words in errors


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--window", "9:12"], "the window 9:12 is empty or outside the 6 intervals"),
        (["--window", "2:2"], "the window 2:2 is empty"),
        (["--multipliers", "1,-1"], "multipliers must be numbers of at least 0"),
        (["--multipliers", "1,inf"], "multipliers must be numbers of at least 0"),
        (["--campaign", "7"], "campaign 7 does not exist"),
    ],
)
def test_misuse_is_told_before_a_market_is_played(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def played(*_: object) -> None:
        raise AssertionError("a market was played")

    monkeypatch.setattr("evaluation.bid_landscape.play", played)
    code, _, errors = run("bid-landscape", "pid", "--scenario", a_scenario(tmp_path), *arguments)
    assert code == 2 and words in errors
