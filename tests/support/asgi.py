"""A service in this process, called as a web server would call it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from support.runs import exported

from envs.histories import ITEMS
from serving.service import Service

TOKEN = "secret"
T = TypeVar("T")


class Answer(NamedTuple):
    status: int
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def a_bundle(folder: Path) -> Path:
    """A small team whose audience and desk read listeners, made once a session beside a test's own folder."""
    return exported(folder.parent, base_team="listener-aware")[1]


class Client:
    """Calls an ASGI application; one event loop from start to close."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        from serving.app import application

        self._loop = asyncio.new_event_loop()
        self.service = Service(settings.pop("bundle", None) or a_bundle(folder), folder, **settings)
        self.app = application(self.service, TOKEN)
        self.run(self.service.start())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)

    def close(self) -> None:
        self.service.close()
        self._loop.close()

    def __call__(self, method: str, path: str, body: object = None, token: str | None = TOKEN) -> Answer:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return self.run(self.call(method, path, data, token))

    async def call(self, method: str, path: str, data: bytes, token: str | None = TOKEN) -> Answer:
        headers = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        sent: list[dict[str, Any]] = []
        parts = [{"type": "http.request", "body": data, "more_body": False}]

        async def receive() -> dict[str, Any]:
            return parts.pop(0) if parts else {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        return Answer(sent[0]["status"], b"".join(m.get("body", b"") for m in sent[1:]))


def a_request(segment: str = "evening", user: str = "somebody", **imp: Any) -> dict[str, Any]:
    """A bid request for a music break."""
    audio = {"mimes": ["audio/mpeg"], "feed": 1}
    return {
        "id": "request",
        "imp": [{"id": "1", "audio": audio, **imp}],
        "user": {"id": user, "data": [{"segment": [{"id": segment}]}]},
    }


def bids_of(answer: Answer) -> list[dict[str, Any]]:
    """All bids of a response; none of 204."""
    return [] if answer.status == 204 else [bid for seat in answer.json["seatbid"] for bid in seat["bid"]]


def listeners(count: int = 32) -> list[dict[str, Any]]:
    """Listeners of a flight, who have played something."""
    draw = np.random.default_rng(0)
    return [
        {
            "id": f"l{i}",
            "segment": 4 * i // count,
            "plays": {int(item): 3 for item in draw.integers(0, ITEMS, 20)},
        }
        for i in range(count)
    ]
