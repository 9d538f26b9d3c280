"""The application on Ray Serve: roles are killed in turn under load, and no request fails."""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("fastapi", reason="the serving extra is not installed")

from support.asgi import a_bundle, a_request, listeners

from envs.errors import InterludeError
from envs.observation import ROLES
from serving.client import Connection

TOKEN = "secret"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Served(NamedTuple):
    url: str
    grpc_address: str


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    import ray
    from ray import serve

    from serving import ray_app

    monkeypatch.setenv("INTERLUDE_TOKEN", TOKEN)
    port = free_port()
    try:
        ray_app.start("127.0.0.1", port)
        found = Served(f"http://127.0.0.1:{port}", f"127.0.0.1:{free_port()}")
        application = ray_app.build(
            a_bundle(tmp_path),
            tmp_path,
            grpc_address=found.grpc_address,
            settings={"deadline_seconds": 5.0},
        )
        serve.run(application, name=ray_app.APPLICATION, route_prefix="/")
        yield found
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
        number = 0
        while not self.stop.is_set():
            number += 1
            try:
                answer = self.connection.call("POST", "/openrtb2/bid", a_request(user=f"user-{number}"))
                assert answer and answer["seatbid"], "no bid"
                self.answered += 1
            except (InterludeError, AssertionError) as error:
                self.failed.append(str(error))
            time.sleep(0.005)

    def wait_for_more(self, count: int) -> None:
        """Until so many more were answered."""
        from serving.ray_app import wait_for

        wanted = self.answered + count
        wait_for(lambda: self.answered >= wanted or bool(self.failed), 60)
        assert not self.failed, self.failed[:3]

    def __enter__(self) -> "Load":
        self.thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop.set()
        self.thread.join()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_role_that_is_killed_costs_no_request(served: Served) -> None:
    import grpc

    from serving import ray_app

    url, grpc_address = served
    with grpc.insecure_channel(grpc_address) as channel:
        by_grpc = channel.unary_unary("/interlude.v1.Bidding/Bid")(json.dumps(a_request()).encode())
    assert json.loads(by_grpc)["seatbid"]
    connection = Connection(url, TOKEN, timeout_seconds=60.0)
    campaigns = [{"name": f"c{c}", "vertical": "retail", "budget_usd": 1e6} for c in range(2)]
    flight = {"campaigns": campaigns, "listeners": listeners()}
    for number in range(3):  # roles load their code when they are asked first
        if not connection.call("POST", "/flights", {"id": f"warm-{number}", **flight})["stand_ins"]:
            break
    for role in ROLES:
        state = connection.call("POST", "/flights", {"id": role, **flight})
        assert state["stand_ins"] == {}, connection.call("GET", "/alerts")
        with Load(url) as load:
            load.wait_for_more(5)
            killed = ray_app.processes()[role]
            os.kill(killed, signal.SIGKILL)
            started, at_kill = time.monotonic(), load.answered
            load.wait_for_more(20)
            state = connection.call("POST", "/intervals", {"interval": 0})
            assert set(state["stand_ins"]) <= {role}, connection.call("GET", "/alerts")
            ray_app.wait_for(lambda: back(role, killed), 180)  # noqa: B023
            seconds, answered = time.monotonic() - started, load.answered - at_kill
            stood_in = state["stand_ins"]
            state = connection.call("POST", "/intervals", {"interval": 1})
            assert state["interval"] == 2 and state["stand_ins"] == stood_in  # it answers for itself again
            load.wait_for_more(20)
        assert not load.failed, load.failed[:3]
        print(f"{role}: back after {seconds:.1f} s, {answered} bids meanwhile, stand-in {bool(stood_in)}")


def back(role: str, killed: int) -> bool:
    """Whether another process has taken the role."""
    from serving import ray_app

    try:
        return ray_app.processes()[role] != killed
    except Exception:  # Ray's own, while there is no replica
        return False
