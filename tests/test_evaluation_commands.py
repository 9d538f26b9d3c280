import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import evaluation.tuning as tuning
from interlude import HOME, app

SHORT = "name: short\ndescription: short\ncampaigns: 2\nintervals: 4\n"


@pytest.fixture
def short(tmp_path: Path) -> str:
    """A scenario file that is quickly played."""
    path = tmp_path / "short.yaml"
    path.write_text(SHORT)
    return str(path)


def test_evaluate_writes_table_json_report_and_runs(
    tmp_path: Path, short: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluation.tensorboard_runs.png", lambda draw: bytes(24))  # the report draws them
    arguments = ["evaluate", "pid", "--scenario", short, "--split", "development", "--episodes", "3"]
    outputs = ["--json", str(tmp_path / "e.json"), "--report", str(tmp_path / "e.html")]
    outputs += ["--tensorboard", str(tmp_path / "runs"), "--marl-eval", str(tmp_path / "m.json")]
    outputs += ["--absolute", "--kpis"]
    result = CliRunner().invoke(app, [*arguments, *outputs])
    assert result.exit_code == 0, result.output
    assert "3 development markets of scenario short" in result.stdout
    assert "pid: played 3 markets" in result.stderr
    assert "(absolute): played 30 markets" in result.stderr
    assert "Absolute metric" in result.stdout and "listeners/churn" in result.stdout
    found = json.loads((tmp_path / "e.json").read_text())
    assert {team["team"] for team in found["teams"]} == {"pid", "siloed", "shadow-price"}
    assert found["absolute"]["markets"] == 30
    assert json.loads((tmp_path / "m.json").read_text())["interlude"]["short_development"].keys() == {
        *("pid", "siloed", "shadow-price")
    }
    assert (tmp_path / "e.html").read_text().startswith("<!doctype html>")
    assert len(list((tmp_path / "runs").iterdir())) == 3


def test_json_on_standard_output_is_one_object(short: str) -> None:
    arguments = ["evaluate", "pid", "--scenario", short, "--episodes", "1", "--baseline", "pid"]
    result = CliRunner().invoke(app, [*arguments, "--json", "-"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["baseline"] == "pid"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["evaluate", "nobody"], "unknown team 'nobody'"),
        (["evaluate", "pid", "--scenario", "nowhere"], "unknown scenario 'nowhere'"),
        (["evaluate", "pid", "--split", "test"], "unknown split 'test'"),
        (["evaluate", "pid", "--baseline", "nobody"], "unknown team 'nobody'"),
        (["evaluate", "pid", "--episodes", "0"], "--episodes"),
        (["evaluate"], "TEAM"),
        (["tune-baselines", "nobody"], "unknown team 'nobody'"),
        (["tune-baselines", "random"], "no knobs"),
    ],
)
def test_misuse_ends_with_2(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2, result.output
    assert words in result.stderr


def test_an_unwritable_output_fails_before_anything_is_played(tmp_path: Path, short: str) -> None:
    (tmp_path / "file").touch()
    for option, name in (
        *(("--json", "x.json"), ("--report", "x.html")),
        *(("--tensorboard", "runs"), ("--marl-eval", "m.json")),
    ):
        result = CliRunner().invoke(
            app, ["evaluate", "pid", "--scenario", short, option, str(tmp_path / "file" / name)]
        )
        assert result.exit_code == 1
        assert "cannot write" in result.stderr and "played" not in result.stderr


def test_tune_baselines_stores_what_it_found(
    tmp_path: Path, short: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "configs_directory", lambda: tmp_path / "configs")
    arguments = ["tune-baselines", "pid", "--scenario", short, "--markets", "1", "--trials", "32"]
    places = ["--state", str(tmp_path / "state"), "--json", str(tmp_path / "t.json")]
    dry = CliRunner().invoke(app, [*arguments, *places, "--dry-run"])
    assert dry.exit_code == 0, dry.output
    assert not (tmp_path / "configs").exists()
    wet = CliRunner().invoke(app, [*arguments, *places])
    assert wet.exit_code == 0, wet.output
    stored = json.loads((tmp_path / "configs" / "baselines" / "pid.json").read_text())
    assert json.loads((tmp_path / "t.json").read_text())["tuned"] == [stored]
    assert "last doubling gained" in wet.stdout


def test_importing_evaluation_is_light() -> None:
    heavy = {"numba", "matplotlib", "torch", "tensorboard"}
    code = f"import sys, evaluation.commands; print(sorted({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=HOME)
    assert run.stdout.strip() == "[]"
