"""The policy that docs/own_policy.md shows is short, and plays as the document says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from support.runs import a_run, a_scenario
from typer.testing import CliRunner

from interlude import HOME, app

TEXT = (HOME / "docs" / "own_policy.md").read_text(encoding="utf-8")
(CODE,) = re.findall(r"```python\n(.*?)```", TEXT, re.S)


def test_it_takes_less_than_thirty_lines() -> None:
    assert len(CODE.splitlines()) < 30


def test_it_drives_one_role_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = a_scenario(tmp_path)
    run = a_run(tmp_path / "run", scenario)
    (tmp_path / "my_module.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    team = f"{run}+bidding=my_module:EvenSpender"
    command = ["evaluate", team, "--scenario", str(scenario), "--split", "development", "--episodes", "2"]
    told = CliRunner().invoke(app, [*command, "--baseline", "pid", "--json", "found.json"])
    assert told.exit_code == 0, told.output
    found = json.loads((tmp_path / "found.json").read_text())
    (ours,) = (one for one in found["teams"] if one["team"] == "run+bidding=my_module:EvenSpender")
    assert not ours["incapacities"]
