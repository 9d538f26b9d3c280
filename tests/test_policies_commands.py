import json
import shutil
from pathlib import Path

import pytest
from support.runs import exported
from typer.testing import CliRunner

from envs.observation import ROLES
from envs.protocol import ATTRIBUTION
from interlude import app
from policies.attribution.agent import ATTRIBUTION_NAMES, TRUTH
from policies.registry import policy_names
from policies.rules import RULES
from policies.teams import TEAMS


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.getbasetemp())[0]


OF_NO_TEAM = {
    *("collaborative", "sequence", "noisy", "learned-segments"),
    *("oracle", "none", "critic", "equal-margins", "arbitrating"),
}


def test_teams_and_policies_are_listed_for_people_and_machines(tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["policies", "--json", str(tmp_path / "policies.json")])
    assert told.exit_code == 0
    listing = json.loads((tmp_path / "policies.json").read_text())
    assert [team["name"] for team in listing["teams"]] == [*TEAMS, *RULES]
    found = {(policy["role"], policy["name"]) for policy in listing["policies"]}
    scripted = {(role, name) for role in ROLES for name in policy_names(role)}
    assert found == scripted | {(ATTRIBUTION, name) for name in ATTRIBUTION_NAMES}
    for policy in listing["policies"]:
        assert policy["description"]
        no_team = policy["role"] == ATTRIBUTION or policy["name"].partition(":")[0] in OF_NO_TEAM
        assert policy["teams"] or no_team
        assert policy["name"] in told.stdout
        peeps = policy["name"].startswith(("oracle", "noisy")) or policy["name"] == TRUTH
        assert (policy["knowledge"] == "privileged") is peeps


def test_json_on_standard_output_is_one_object() -> None:
    told = CliRunner().invoke(app, ["policies", "--json", "-"])
    assert json.loads(told.stdout).keys() == {"teams", "policies"}


def test_export_tells_what_it_proved(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundle is made by the API's own tests; here the command hands over and tells."""
    import policies.export

    bundle = run.parent / "bundle"

    def copy(source: Path, output: Path, evaluation: Path | None, *, layout: str) -> dict[str, object]:
        assert (source, evaluation, layout) == (run, None, "plain")
        shutil.copytree(bundle, output)
        found: dict[str, object] = json.loads((output / "manifest.json").read_text())
        return found

    monkeypatch.setattr(policies.export, "export", copy)
    arguments = [
        "export",
        str(run),
        "--output",
        str(tmp_path / "bundle"),
        "--json",
        str(tmp_path / "told.json"),
    ]
    told = CliRunner().invoke(app, arguments)
    assert told.exit_code == 0
    assert "log_multiplier" in told.stdout
    assert "1008 observations of development flights, 1e-05 allowed" in told.stdout
    listed = json.loads((tmp_path / "told.json").read_text())
    assert listed["bundle"] == str(tmp_path / "bundle")
    assert listed["parity"]["creative_disagreements"] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["export", "{run}", "--output", "{taken}"], 1, "exists already"),
        (["export", "{taken}", "--output", "{new}"], 1, "holds no run to export"),
        (["export", "{run}", "--output", "{new}", "--evaluation", "{new}.json"], 1, "missing or damaged"),
        (["export", "{run}"], 2, "--output"),
    ],
)
def test_what_cannot_be_exported(
    run: Path, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "file").touch()
    names = {"run": run, "taken": taken, "new": tmp_path / "new"}
    told = CliRunner().invoke(app, [argument.format(**names) for argument in arguments])
    assert told.exit_code == code
    assert message in told.stderr
    assert not (tmp_path / "new").exists()


def test_a_damaged_bundle_ends_an_evaluation_with_its_file_named(run: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(run.parent / "bundle", tmp_path / "bundle"))
    (bundle / "creative" / "model.onnx").write_bytes(b"")
    told = CliRunner().invoke(app, ["evaluate", str(bundle), "--scenario", "quick", "--episodes", "1"])
    assert told.exit_code == 1
    assert told.stderr.startswith("error: ")
    assert "creative/model.onnx is damaged" in told.stderr
