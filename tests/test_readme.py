"""Every command that README.md shows is real."""

import re
import shlex
import shutil
import subprocess

import pytest
from typer.testing import CliRunner

from interlude import COMMANDS, HOME, app, load_command

TEXT = (HOME / "README.md").read_text(encoding="utf-8")


def shown_commands() -> list[list[str]]:
    """The commands of the fenced console and shell blocks, as words, without prompt and comment."""
    commands = []
    for block in re.findall(r"```(?:console|bash|sh)\n(.*?)```", TEXT, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words = words[1:]
            if words:
                commands.append(words)
    return commands


SHOWN = shown_commands()
OURS = [words[1:] for words in SHOWN if words[0].endswith("interlude")]
TARGETS = sorted({words[1] for words in SHOWN if words[0] == "make"} | set(re.findall(r"`make (\w+)`", TEXT)))
NAMED = sorted(set(re.findall(r"`interlude ([\w-]+)", TEXT)))
CHEAP = [words for words in OURS if words[0] in {"scenarios", "policies", "doctor"}]


def test_the_readme_shows_commands() -> None:
    assert {"train", "test", "install"} <= set(TARGETS)
    assert all(words[0] == "make" or words[0].endswith("interlude") for words in SHOWN)


def test_the_table_has_every_command_and_no_other() -> None:
    assert set(NAMED) == COMMANDS.keys()


@pytest.mark.parametrize("words", OURS, ids=" ".join)
def test_options_shown_exist(words: list[str]) -> None:
    known = {option for parameter in load_command(words[0]).params for option in parameter.opts}
    for word in words[1:]:
        if word.startswith("-") and word != "-":
            assert word.partition("=")[0] in known


@pytest.mark.parametrize("words", CHEAP, ids=" ".join)
def test_cheap_commands_run(words: list[str]) -> None:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("target", TARGETS)
def test_make_targets_exist(target: str) -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    subprocess.run([make, "-n", target], cwd=HOME, check=True, capture_output=True)


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", TEXT):
        assert (HOME / target).exists(), target
