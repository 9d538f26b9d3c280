import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import envs.doctor
from envs.doctor import Check
from envs.scenario import scenario_names
from interlude import HOME, app


def interlude(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "interlude", *arguments], capture_output=True, text=True, check=False, cwd=HOME
    )


def test_scenarios_are_listed_for_people_and_machines(tmp_path: Path) -> None:
    table = CliRunner().invoke(app, ["scenarios", "--json", str(tmp_path / "scenarios.json")])
    assert table.exit_code == 0
    listing = json.loads((tmp_path / "scenarios.json").read_text())["scenarios"]
    assert [entry["name"] for entry in listing] == scenario_names()
    for entry in listing:
        assert entry["name"] in table.stdout
        assert entry["description"].partition(". ")[0].rstrip(".") in table.stdout


def test_json_on_standard_output_is_one_object() -> None:
    run = interlude("scenarios", "--json", "-")
    assert run.returncode == 0
    assert json.loads(run.stdout).keys() == {"scenarios"}


def test_an_unwritable_output_is_a_failure_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    run = interlude("scenarios", "--json", str(tmp_path / "file" / "scenarios.json"))
    assert run.returncode == 1
    assert run.stderr.startswith("error: cannot write ")
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(("status", "code"), [("ok", 0), ("warning", 0), ("broken", 1)])
def test_the_doctor_exits_by_what_it_found(monkeypatch: pytest.MonkeyPatch, status: str, code: int) -> None:
    monkeypatch.setattr(envs.doctor, "examine", lambda: [Check("python", status, "as it is")])  # type: ignore[arg-type]
    result = CliRunner().invoke(app, ["doctor", "--json", "-"])
    assert result.exit_code == code
    assert json.loads(result.stdout) == {
        "sound": code == 0,
        "checks": [{"name": "python", "status": status, "detail": "as it is"}],
    }
    assert CliRunner().invoke(app, ["doctor"]).exit_code == code


@pytest.mark.parametrize(
    "arguments",
    [
        ["scenarios", "--jsn", "-"],
        ["scenarois"],
        ["calibrate", "--price-log", "a", "extra"],
        [],
    ],
)
def test_misuse_exits_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == 2


def test_a_probability_beyond_one_is_misuse() -> None:
    arguments = ["calibrate", "--price-log", "a.csv", "--probability-within-table", "1.5"]
    assert CliRunner().invoke(app, arguments).exit_code == 2
