from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from envs.configuration import apply_overrides, load_yaml, resolve_named, validate
from envs.errors import ConfigurationError, UnknownNameError


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Optimiser(Part):
    learning_rate: Annotated[float, Field(gt=0)] = 3e-4
    minibatch: int = 512
    clip: bool = True


class Role(Part):
    name: str
    kind: Literal["learned", "scripted"] = "scripted"


class Training(Part):
    seed: int = 0
    optimiser: Optimiser = Optimiser()
    fallback: Optimiser | None = None
    roles: tuple[Role, ...] = ()
    hidden: tuple[int, int] = (64, 64)
    extras: dict[str, Optimiser] = {}


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "case.yaml"
    path.write_text(text)
    return path


def load(tmp_path: Path, text: str) -> Training:
    path = write(tmp_path, text)
    return validate(Training, load_yaml(path), path)


def fault(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_a_sound_file_becomes_the_model(tmp_path: Path) -> None:
    text = "seed: 7\noptimiser: {learning_rate: 1e-4}\nhidden: [32, 32]\n"
    text += "roles: [{name: bidding, kind: learned}]\n"
    training = load(tmp_path, text)
    assert training.seed == 7
    assert training.optimiser.learning_rate == 1e-4
    assert training.hidden == (32, 32)
    assert training.roles == (Role(name="bidding", kind="learned"),)


def test_whole_numbers_fill_floats(tmp_path: Path) -> None:
    assert load(tmp_path, "optimiser: {learning_rate: 1}\n").optimiser.learning_rate == 1.0


@pytest.mark.parametrize(
    ("text", "line"),
    [("seed: 1\nseed: 2\n", 2), ("optimiser:\n  clip: true\n  minibatch: 8\n  clip: false\n", 4)],
)
def test_a_key_set_twice_names_both_lines(tmp_path: Path, text: str, line: int) -> None:
    message = fault(tmp_path, text)
    assert f"case.yaml:{line}:" in message
    assert "set twice" in message
    assert f"first on line {line - 1 if line == 2 else line - 2}" in message


@pytest.mark.parametrize("text", ["", "\n# nothing but a comment\n", "---\n"])
def test_an_empty_file_is_refused(tmp_path: Path, text: str) -> None:
    message = fault(tmp_path, text)
    assert "case.yaml" in message
    assert "empty" in message or "expected keys" in message


@pytest.mark.parametrize("text", ["- 1\n- 2\n", "42\n"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    assert "expected keys" in fault(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        "a: [1\n",
        "a: b: c\n",
        "!!python/object/apply:os.system ['true']\n",
        "a: !!python/name:os.system\n",
        "a: 1\n---\nb: 2\n",
        "? [a, b]\n: 1\n",
        "a: &x [*x]\n",
        "a: *nowhere\n",
        "a: !!int twelve\n",
    ],
)
def test_what_is_not_plain_yaml_is_refused(tmp_path: Path, text: str) -> None:
    assert "case.yaml" in fault(tmp_path, text)


def test_bytes_that_are_not_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "case.yaml"
    path.write_bytes(b"seed: \xff\xfe\n")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_yaml(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.yaml: no such file"):
        load_yaml(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("text", "line", "key", "hint", "valid"),
    [
        ("seeed: 3\n", 1, "seeed", "seed", "fallback"),
        ("optimiser:\n  learning_rat: 3\n", 2, "optimiser.learning_rat", "learning_rate", "minibatch"),
        ("fallback:\n  clip: true\n  klip: true\n", 3, "fallback.klip", "clip", "minibatch"),
        ("roles:\n- name: a\n  knid: learned\n", 3, "roles.0.knid", "kind", "name"),
        ("extras:\n  one:\n    minibach: 3\n", 3, "extras.one.minibach", "minibatch", "clip"),
    ],
)
def test_an_unknown_key_is_met_with_the_nearest(
    tmp_path: Path, text: str, line: int, key: str, hint: str, valid: str
) -> None:
    message = fault(tmp_path, text)
    assert f"case.yaml:{line}: unknown key '{key}': did you mean '{hint}'?" in message
    assert valid in message.partition("Valid names:")[2]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("seed: three\n", "case.yaml:1: seed: "),
        ("seed: '3'\n", "case.yaml:1: seed: "),
        ("seed: true\n", "case.yaml:1: seed: "),
        ("seed: 1.5\n", "case.yaml:1: seed: "),
        ("seed: null\n", "case.yaml:1: seed: "),
        ("optimiser:\n  learning_rate: -1\n", "case.yaml:2: optimiser.learning_rate: "),
        ("optimiser:\n  clip: 1\n", "case.yaml:2: optimiser.clip: "),
        ("optimiser: 4\n", "case.yaml:1: optimiser: "),
        ("hidden: [64, wide]\n", "case.yaml:1: hidden.1: "),
    ],
)
def test_a_wrong_type_names_line_key_and_value(tmp_path: Path, text: str, where: str) -> None:
    message = fault(tmp_path, text)
    assert where in message
    assert "got " in message


def test_a_missing_key_and_a_wrong_choice_are_told_together(tmp_path: Path) -> None:
    message = fault(tmp_path, "roles:\n- kind: lerned\n")
    assert "case.yaml:2: key 'roles.0.name' is missing" in message
    assert "did you mean 'learned'?" in message


def test_overrides_read_values_as_yaml_and_leave_the_original_alone() -> None:
    data = {"optimiser": {"clip": True}, "hidden": [1, 2]}
    changed = apply_overrides(
        data,
        [
            "seed=3",
            "optimiser.learning_rate=1e-3",
            "hidden.1=9",
            "fallback.clip=false",
            "optimiser.clip=null",
        ],
    )
    assert changed == {
        "seed": 3,
        "optimiser": {"clip": None, "learning_rate": 1e-3},
        "hidden": [1, 9],
        "fallback": {"clip": False},
    }
    assert data == {"optimiser": {"clip": True}, "hidden": [1, 2]}
    assert apply_overrides({}, ["hidden=[8, 8]", "note=a=b"]) == {"hidden": [8, 8], "note": "a=b"}


@pytest.mark.parametrize(
    "override", ["seed", "=3", "optimiser.=3", "seed=[1", "seed.deeper=1", "hidden.7=1", "hidden.x=1"]
)
def test_a_bad_override_is_refused_by_name(override: str) -> None:
    with pytest.raises(ConfigurationError, match="--set"):
        apply_overrides({"seed": 1, "hidden": [1, 2]}, [override])


def test_a_fault_in_an_override_names_the_override_and_not_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "seed: 1\noptimiser:\n  clip: true\n")
    data = apply_overrides(load_yaml(path), ["optimiser.clip=maybe", "sed=4"])
    with pytest.raises(ConfigurationError) as caught:
        validate(Training, data, path)
    assert "--set optimiser.clip=maybe: optimiser.clip: " in str(caught.value)
    assert "--set sed=4: unknown key 'sed': did you mean 'seed'?" in str(caught.value)


def test_a_name_or_a_file_is_resolved(tmp_path: Path) -> None:
    assert resolve_named("scenario", "scenarios", "default").name == "default.yaml"
    path = write(tmp_path, "seed: 1\n")
    assert resolve_named("scenario", "scenarios", str(path)) == path


def test_an_unknown_name_lists_the_valid_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"did you mean 'default'.*Valid names: .*default"):
        resolve_named("scenario", "scenarios", "defualt")
    with pytest.raises(ConfigurationError, match="no such file"):
        resolve_named("scenario", "scenarios", "absent.yaml")
