import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import envs.commands
import interlude
from envs.errors import ConfigurationError, InterludeError

HEAVY = {"ray", "torch", "numba", "gymnasium", "pettingzoo"}


def test_help_lists_every_command_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, interlude\n"
        "try: interlude.main()\n"
        f"finally: sys.stderr.write(str(sorted({HEAVY} & set(sys.modules))))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True, cwd=interlude.HOME
    )
    assert run.stderr == "[]"
    for name, entry in interlude.COMMANDS.items():
        assert name in run.stdout
        assert entry.help in run.stdout


@pytest.mark.parametrize("name", interlude.COMMANDS)
def test_every_command_is_there_explains_itself_and_takes_json(name: str) -> None:
    command = interlude.load_command(name)
    assert command.name == name
    assert command.help
    options = {option for parameter in command.params for option in parameter.opts}
    assert "--json" in options
    for parameter in command.params:
        assert parameter.help, f"{name}: {parameter.opts} has no help"


def test_the_version() -> None:
    result = CliRunner().invoke(interlude.app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"interlude {interlude.__version__}\n")
    assert f'version = "{interlude.__version__}"' in (interlude.HOME / "pyproject.toml").read_text()


def test_an_unknown_command_is_met_with_the_nearest() -> None:
    result = CliRunner().invoke(interlude.app, ["evalute"])
    assert result.exit_code == 2
    assert "'evaluate'" in result.stderr


@pytest.mark.parametrize(
    ("fault", "code"), [(InterludeError("it broke"), 1), (ConfigurationError("it is malformed"), 2)]
)
def test_a_fault_is_one_message(monkeypatch: pytest.MonkeyPatch, fault: InterludeError, code: int) -> None:
    def doctor() -> None:
        raise fault

    monkeypatch.setattr(envs.commands, "doctor", doctor)
    result = CliRunner().invoke(interlude.app, ["doctor"])
    assert (result.exit_code, result.stderr) == (code, f"error: {fault}\n")


def test_a_defect_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def doctor() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(envs.commands, "doctor", doctor)
    assert isinstance(CliRunner().invoke(interlude.app, ["doctor"]).exception, ZeroDivisionError)


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_a_command_with_their_codes_and_clear_up(
    tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    program = (
        "import sys, time, interlude, envs.commands, envs.output\n"
        "def doctor() -> None:\n"
        "    envs.output.os.fsync = lambda _: (print('writing', flush=True), time.sleep(60))\n"
        f"    envs.output.write_text_atomically({str(tmp_path / 'result.json')!r}, 'half')\n"
        "envs.commands.doctor = doctor\n"
        "sys.argv = ['interlude', 'doctor']\n"
        "interlude.main()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=interlude.HOME,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.default_int_handler
        ),  # ignored in the background
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        time.sleep(0.1)
        process.send_signal(sent)
        assert process.wait(timeout=20) == code
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    assert list(tmp_path.iterdir()) == []


def test_a_hidden_package_stops_the_command_line_with_a_mend(tmp_path: Path) -> None:
    foreign = tmp_path / "envs"
    foreign.mkdir()
    (foreign / "__init__.py").write_text("raise SystemExit('a foreign package was imported')\n")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(interlude.HOME)])}
    run = subprocess.run(
        [sys.executable, "-c", "import interlude; interlude.main()", "scenarios"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment,
    )
    assert run.returncode == 1
    assert f"envs would be loaded from {foreign}" in run.stderr
    assert "make install" in run.stderr
    assert "foreign package was imported" not in run.stderr


def test_our_own_packages_pass() -> None:
    assert interlude.foreign_packages() == {}


def test_a_command_is_a_plain_function() -> None:
    """So that each can be called from Python too."""
    assert isinstance(interlude.app, typer.Typer)
    assert callable(envs.commands.scenarios)
