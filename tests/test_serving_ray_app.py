"""The application on Ray Serve: roles are killed in turn under load, and no request fails."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the serving extra is not installed")

from support.asgi import a_bundle, a_request

from envs.errors import InterludeError
from envs.observation import ROLES
from serving.client import Connection

TOKEN = "secret"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    import ray
    from ray import serve

    from serving import ray_app

    monkeypatch.setenv("INTERLUDE_TOKEN", TOKEN)
    port = free_port()
    try:
        ray_app.start("127.0.0.1", port)
        application = ray_app.build(a_bundle(tmp_path), tmp_path, settings={"deadline_seconds": 20.0})
        serve.run(application, name=ray_app.APPLICATION, route_prefix="/")
        yield f"http://127.0.0.1:{port}"
    finally:
        serve.shutdown()
        ray.shutdown()


class Load:
    """Bids one after the other until told to stop."""

    def __init__(self, url: str) -> None:
        self.connection, self.answered, self.failed = Connection(url), 0, list[str]()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self.stop.is_set():
            try:
                assert self.connection.call("POST", "/openrtb2/bid", a_request())["seatbid"]
                self.answered += 1
            except (InterludeError, AssertionError, TypeError) as error:
                self.failed.append(str(error))
            time.sleep(0.005)

    def __enter__(self) -> "Load":
        self.thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop.set()
        self.thread.join()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_role_that_is_killed_costs_no_request(url: str) -> None:
    from serving import ray_app

    connection = Connection(url, TOKEN, timeout_seconds=60.0)
    with Load(url) as load:
        connection.call("POST", "/intervals", {"interval": 0})
        for number, role in enumerate(ROLES):
            before = load.answered
            killed = ray_app.processes()[role]
            os.kill(killed, signal.SIGKILL)
            connection.call("POST", "/intervals", {"interval": 1 + number})
            took = ray_app.wait_for(lambda: back(role, killed), 180)  # noqa: B023
            assert load.answered > before
            print(f"{role} was back after {took:.1f} s")
        state = connection.call("POST", "/intervals", {"interval": 1 + len(ROLES)})
    assert state["interval"] == 2 + len(ROLES)
    assert not load.failed, load.failed[:3]
    alerts = connection.call("GET", "/alerts")
    print(load.answered, "requests;", [alert["text"][:100] for alert in alerts if alert["source"] == "role"])


def back(role: str, killed: int) -> bool:
    """Whether another process has taken the role."""
    from serving import ray_app

    try:
        return ray_app.processes()[role] != killed
    except Exception:  # Ray's own, while there is no replica
        return False
