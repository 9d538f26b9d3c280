"""The specification of a study: what it accepts, and what it refuses with a reason."""

from pathlib import Path
from typing import get_args

import pytest

from envs.errors import ConfigurationError, UnknownNameError
from envs.observation import ROLES
from envs.paths import configs_directory
from evaluation.study import Role, load_study

STUDY = """
name: mine
baseline: plain
scenarios: [quick]
variants:
  plain: {team: siloed}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "study.yaml"
    path.write_text(text)
    return path


def test_roles_are_the_markets() -> None:
    assert get_args(Role) == tuple(ROLES)


@pytest.mark.parametrize("name", sorted(path.stem for path in (configs_directory() / "studies").glob("*")))
def test_studies_that_come_with_the_project_are_valid(name: str) -> None:
    study = load_study(name)
    assert study.name == name
    assert study.description


def test_a_variant_becomes_the_argument_and_the_overrides_that_commands_take(tmp_path: Path) -> None:
    more = """
  learned:
    training: quick
    overrides: {critic: independent, ppo.gamma: 0.9, learned_roles: [bidding]}
    replace: {monitor: quiet, creative: rotate}
"""
    study = load_study(write(tmp_path, STUDY + more))
    variant = study.variants["learned"]
    assert variant.settings() == ['critic="independent"', "ppo.gamma=0.9", 'learned_roles=["bidding"]']
    assert variant.replaced("RUN") == "RUN+monitor=quiet+creative=rotate"
    assert variant.is_method
    assert not study.variants["plain"].is_method


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("  two: {team: pid, training: quick}\n", "variants.two: a variant has exactly one of"),
        ("  none: {description: nothing}\n", "exactly one of team, runs, training, compose"),
        ("  both: {training: quick, compose: {creative: plain}}\n", "exactly one of"),
        ("  mix: {compose: {creative: plain}}\n", "variants.mix: unknown trained variant 'plain'"),
        ("  mix: {compose: {monitor: plain}}\n", "compose.monitor"),
        ("  set: {team: pid, overrides: {seed: 1}}\n", "overrides belong to a variant with training"),
        ("  typo: {taem: pid}\n", "did you mean 'team'"),
        ("  role: {team: pid, replace: {creator: rotate}}\n", "replace.creator"),
        ("seeds: [1, 1]\n", "seeds must differ"),
        ("scenarios: []\n", "scenarios is set twice"),
        ("markets: 1\n", "markets"),
        ("split: test\n", "split"),
    ],
)
def test_a_fault_is_named_with_its_place(more: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=told) as caught:
        load_study(write(tmp_path, STUDY + more))
    assert "study.yaml:" in str(caught.value)


def test_the_baseline_is_a_variant(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'plain'"):
        load_study(write(tmp_path, STUDY.replace("baseline: plain", "baseline: plian")))
    with pytest.raises(UnknownNameError, match="role-ablations"):
        load_study("role-ablation")


def test_a_composed_variant_stands_for_runs(tmp_path: Path) -> None:
    more = """
  one: {training: quick, overrides: {learned_roles: [creative]}}
  two: {training: quick, overrides: {iterations: 5}}
  mix: {compose: {creative: one, bidding: two}}
overrides: {iterations: 3, ppo.gamma: 0.9}
"""
    study = load_study(write(tmp_path, STUDY + more))
    assert study.variants["mix"].is_method
    assert dict(study.variants["mix"].compose) == {"creative": "one", "bidding": "two"}
    assert study.settings(study.variants["two"]) == ["iterations=5", "ppo.gamma=0.9"]


def test_settings_of_a_study_are_overridden_by_key(tmp_path: Path) -> None:
    study = load_study(write(tmp_path, STUDY), ["seeds=[3, 4]", "overrides.iterations=2"])
    assert (study.seeds, study.overrides) == ((3, 4), {"iterations": 2})
    with pytest.raises(ConfigurationError, match="--set seed=3"):
        load_study(write(tmp_path, STUDY), ["seed=3"])
