"""`interlude serve` told wrongly, told to stop, and as a bundle's user calls it first."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.asgi import a_bundle
from typer.testing import CliRunner

from interlude import HOME, app
from serving.ledger import Ledger
from serving.load_test import _address, _wait_until_ready


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield held.getsockname()[1]


def told(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.output


def test_what_is_told_wrongly_is_said_in_a_line(tmp_path: Path, taken: int) -> None:
    bundle, ledger = a_bundle(tmp_path), tmp_path / "ledger"
    served = ("serve", bundle, "--local", "--ledger", ledger)
    code, said = told("serve", bundle, "--locl")
    assert code == 2 and "No such option" in said and "--local" in said
    code, said = told(*served, "--interval-seconds", "-1")
    assert code == 2 and "--interval-seconds" in said
    code, said = told("serve", tmp_path / "nothing", "--local", "--ledger", ledger)
    assert code == 1 and "manifest.json" in said
    for option in ("--port", "--grpc-port"):
        code, said = told(*served, option, taken)
        assert code == 1 and f"cannot listen on 127.0.0.1:{taken}: Address already in use" in said
    flight = tmp_path / "flight.json"
    flight.write_text('{"id": "x"}')
    code, said = told(*served, "--flight", flight)
    assert code == 2 and "is no flight" in said and "campaigns" in said
    owner = Ledger(ledger)
    code, said = told(*served)
    assert code == 1 and "another process serves it" in said
    owner.close_file()
    for against, reason in (("nonsense", "is no address"), ("http://127.0.0.1:1", "cannot be reached")):
        code, said = told("replay", bundle, "--against", against, "--token", "x")
        assert code == 1 and reason in said


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_serves_as_the_guide_says_and_stops_when_told(tmp_path: Path, number: int, code: int) -> None:
    """Without an option but where: the interval is the scenario's."""
    command = [sys.executable, "-m", "interlude", "serve", str(a_bundle(tmp_path)), "--local", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--ledger", str(tmp_path / "ledger")],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=HOME,
    )
    try:
        _wait_until_ready(_address(process), process)
        process.send_signal(number)
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert abs(process.returncode) in (code, number) and "Traceback" not in said, said
