import json
from pathlib import Path

import pytest

from envs.errors import ConfigurationError, UnknownNameError
from envs.observation import ROLES
from evaluation.sources import STAND_IN_TEAM, TeamSource, expand
from policies.registry import make_team, rule_names, team_names
from policies.watchdog.oracle import OracleMonitor


@pytest.mark.parametrize("name", [*team_names(), *rule_names()])
def test_a_scripted_team_by_its_name(name: str) -> None:
    entrant = TeamSource(name).resolve()
    assert entrant.name == entrant.argument == name
    assert set(entrant.team.policies) == set(ROLES) == set(entrant.team.stand_ins)
    assert not entrant.learned
    assert (entrant.knowledge == "privileged") is entrant.team.privileged is (name == "oracle")
    assert entrant.team.model_aware is (entrant.knowledge != "model-free")
    assert entrant.kind == entrant.knowledge


def test_stand_ins_are_honest_and_their_own() -> None:
    one, other = TeamSource(STAND_IN_TEAM).resolve().team, TeamSource("oracle").resolve().team
    assert not any(policy.privileged for policy in (*one.stand_ins.values(), *other.stand_ins.values()))
    assert not {id(p) for p in one.policies.values()} & {id(p) for p in one.stand_ins.values()}


def test_a_role_is_replaced_and_the_knowledge_follows() -> None:
    entrant = TeamSource("siloed+bidding=certainty-equivalent").resolve()
    assert entrant.name == entrant.argument
    assert entrant.team.policies["bidding"].name == "certainty-equivalent"
    assert entrant.team.policies["creative"].name == make_team("siloed").policies["creative"].name
    assert entrant.knowledge == "model-aware"
    assert TeamSource("certainty-equivalent+creative=pid+bidding=pid").resolve().knowledge == "model-free"
    assert TeamSource("siloed+audience=oracle").resolve().knowledge == "privileged"
    assert TeamSource("pid+bidding=online-lp").resolve().knowledge == "part model-aware"
    assert TeamSource("pid+creative=linucb").resolve().knowledge == "model-free"


def test_the_watchdog_that_knows_is_not_that_of_the_team_of_its_name() -> None:
    entrant = TeamSource("certainty-equivalent+monitor=oracle").resolve()
    assert isinstance(entrant.team.policies["monitor"], OracleMonitor)
    assert entrant.knowledge == "privileged"


def test_roles_of_one_source_share_its_desk() -> None:
    team = TeamSource("pid+creative=value-aware+bidding=value-aware").resolve().team
    assert team.policies["creative"].desk is team.policies["bidding"].desk  # type: ignore[attr-defined]


def test_all_scripted_teams_at_once_and_each_once() -> None:
    assert [source.argument for source in expand(["pid", "scripted", "pid"])] == [
        "pid",
        *(name for name in team_names() if name != "pid"),
    ]


def test_all_rules_at_once() -> None:
    assert [source.argument for source in expand(["pid", "rules"])] == ["pid", *rule_names()]


def test_a_source_is_made_anew_and_can_be_told_apart() -> None:
    assert TeamSource("pid") == TeamSource("pid") != TeamSource("pid", sample=True)
    assert TeamSource("pid")() is not TeamSource("pid")()


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("shadow-prize", r"unknown team 'shadow-prize': did you mean 'shadow-price'\?.*a run directory"),
        ("pid+biding=random", r"unknown role 'biding': did you mean 'bidding'\?"),
        ("pid+bidding=nobody", "unknown bidding policy or team 'nobody'.*adaptive-dual.*a run directory"),
        ("pid+creative=thomson", "did you mean 'thompson'"),
        ("no/such/run", "unknown team 'no/such/run'"),
    ],
)
def test_an_unknown_name_is_met_with_the_valid_ones(argument: str, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        TeamSource(argument).resolve()


def test_a_folder_that_holds_neither_run_nor_bundle(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"neither a run directory .* nor a bundle"):
        TeamSource(str(tmp_path)).resolve()


OWN = """
import numpy as np
class Own:
    name, privileged = "own", False
    def start(self, flight): self.shape = (flight.num_markets, flight.num_campaigns, 8)
    def act(self, observation): return np.zeros(self.shape)
class NotAPolicy: ...
class Demanding:
    def __init__(self, argument): ...
"""


def test_a_policy_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_policies.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    entrant = TeamSource("pid+bidding=own_policies:Own").resolve()
    assert entrant.team.policies["bidding"].name == "own"
    assert entrant.knowledge == "model-free"
    for name, message in {
        "own_policies:NotAPolicy": "it has no name, privileged, start, act",
        "own_policies:Demanding": "cannot be made",
        "own_policies:Absent": "cannot be made",
        "no_such_module:Own": "cannot be made: No module named 'no_such_module'",
    }.items():
        with pytest.raises(ConfigurationError, match=message):
            TeamSource(f"pid+bidding={name}").resolve()


def a_run(directory: Path, seed: int) -> Path:
    """What `sources` reads of a run directory."""
    directory.mkdir(parents=True)
    (directory / "config.yaml").write_text(f"seed: {seed}\nbase_team: siloed\nscenario: quick\n")
    (directory / "manifest.json").write_text('{"kind": "interlude-run", "configuration_hash": "abc"}')
    return directory


@pytest.fixture
def learned_bidding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs whose learned policy is a scripted one in disguise."""
    import policies.learned

    def load(directory: Path, *, sample: bool = False) -> dict[str, object]:
        return {"bidding": make_team("random" if sample else "value-aware").policies["bidding"]}

    monkeypatch.setattr(policies.learned, "load_run_policies", load)


@pytest.mark.usefixtures("learned_bidding")
def test_a_run_directory(tmp_path: Path) -> None:
    run, twin = a_run(tmp_path / "mine", 4), a_run(tmp_path / "twin", 5)
    entrant = TeamSource(str(run)).resolve()
    assert (entrant.name, entrant.learned_roles, entrant.training_seeds) == ("mine", ("bidding",), (4,))
    assert entrant.team.policies["bidding"].name == "value"
    assert entrant.team.policies["creative"].name == make_team("siloed").policies["creative"].name
    assert entrant.kind == "learned, model-aware"
    assert TeamSource(str(run), sample=True).resolve().team.policies["bidding"].name == "random"
    assert entrant.method == TeamSource(str(twin)).resolve().method == "abc"
    mixed = TeamSource(f"pid+bidding={run}").resolve()
    assert (mixed.name, mixed.training_seeds, mixed.method) == ("pid+bidding=mine", (4,), None)
    changed = TeamSource(f"{run}+bidding=pid").resolve()
    assert not changed.learned
    with pytest.raises(ConfigurationError, match=r"did not learn 'creative'; it learned bidding"):
        TeamSource(f"pid+creative={run}").resolve()


def test_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = {"kind": "interlude-bundle", "learned_roles": ["bidding"], "training_seed": 7}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.setattr("evaluation.sources.load_team", lambda directory: make_team("value-aware"))
    entrant = TeamSource(str(tmp_path)).resolve()
    assert entrant.name == tmp_path.name
    assert (entrant.learned_roles, entrant.training_seeds) == (("bidding",), (7,))
    with pytest.raises(ConfigurationError, match="a bundle takes the likeliest action"):
        TeamSource(str(tmp_path), sample=True).resolve()


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ConfigurationError, match=r"manifest.json: not valid JSON"):
        TeamSource(str(tmp_path)).resolve()
