"""How fast a service answers on this machine: cold start, latency at a rate, saturation, roles.

The service is a process of its own; requests go over loopback, several connections, open loop: each is sent
at its time whether or not the one before was answered, and latency counts from that time.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from envs.catalogue import PLACEMENTS, SEGMENTS, P
from envs.errors import InterludeError
from envs.exchange import Opportunity
from serving.client import Connection, bid_request

CONNECTIONS: Final = 8
START_SECONDS: Final = 120.0
CLOCK_SECONDS: Final = 0.002
"""An event loop wakes up to a millisecond late: so long before its time a request is waited for awake."""


@contextmanager
def served(bundle: Path, *options: str, folder: Path | None = None) -> Iterator[tuple[str, str, float]]:
    """A local service in a process of its own: its address, its token, and how long it took to be ready.

    Raises:
        InterludeError: it does not come up.
    """
    with tempfile.TemporaryDirectory() as scratch:
        token, started = secrets.token_hex(8), time.perf_counter()
        command = [sys.executable, "-m", "interlude", "serve", str(bundle), "--local", "--port", "0"]
        process = subprocess.Popen(
            [*command, "--ledger", str(folder or scratch), "--interval-seconds", "0", *options],
            env={**os.environ, "INTERLUDE_TOKEN": token, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            url = _address(process)
            _wait_until_ready(url, process)
            yield url, token, time.perf_counter() - started
        finally:
            process.kill()
            process.wait()


def _address(process: subprocess.Popen[str]) -> str:
    said = ""
    assert process.stdout is not None
    for line in process.stdout:
        said += line
        if line.startswith("serving "):
            return line.split()[-1]
    raise InterludeError(f"the service did not start: {said[-500:]}")


def _wait_until_ready(url: str, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        connection = Connection(url)
        try:
            connection.call("GET", "/ready")
            return
        except InterludeError:
            time.sleep(0.01)
        finally:
            connection.close()
    raise InterludeError(f"{url} was not ready within {START_SECONDS:g} s")


def requests(count: int, weight: int, seed: int = 0) -> list[bytes]:
    """Bid requests as bytes on the wire, of all segments and placements."""
    draw = random.Random(seed)
    found = []
    for number in range(count):
        placement = draw.randrange(P)
        opportunity = Opportunity(
            interval=0,
            number=number,
            listener=draw.randrange(100_000),
            segment=draw.randrange(len(SEGMENTS)),
            placement=placement,
            visible=PLACEMENTS[placement] == "on_screen",
            quality=draw.lognormvariate(0.0, 0.5),
            reserve_usd=0.0,
        )
        body = json.dumps(bid_request(opportunity, weight) | {"imp": _one(opportunity, weight)}).encode()
        head = f"POST /openrtb2/bid HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        found.append(head.encode() + body)
    return found


def _one(opportunity: Opportunity, weight: int) -> list[dict[str, Any]]:
    """The impression as one real one, so that a flight's budget lasts for the whole measurement."""
    imp: dict[str, Any] = bid_request(opportunity, weight)["imp"][0]
    return [{key: value for key, value in imp.items() if key != "qty"}]


class Sender:
    """Connections that answer one request after the other."""

    def __init__(self, url: str) -> None:
        """`url` as `http://HOST:PORT`."""
        self._host, port = url.removeprefix("http://").split(":")
        self._port = int(port)
        self.statuses: dict[int, int] = {}

    async def send(self, queue: asyncio.Queue[tuple[float, bytes] | None], seconds: list[float]) -> None:
        """Sends what the queue gives until it gives None."""
        reader, writer = await asyncio.open_connection(self._host, self._port)
        while (item := await queue.get()) is not None:
            due, request = item
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head[9:12])
            at = head.lower().find(b"content-length:")
            if at >= 0:
                await reader.readexactly(int(head[at + 15 :].split(b"\r\n", 1)[0]))
            seconds.append(time.perf_counter() - due)
            self.statuses[status] = self.statuses.get(status, 0) + 1
        writer.close()

    async def at_rate(self, wire: list[bytes], rate: float, connections: int = CONNECTIONS) -> list[float]:
        """Latencies of requests sent at a rate."""
        queue: asyncio.Queue[tuple[float, bytes] | None] = asyncio.Queue()
        seconds: list[float] = []
        senders = [asyncio.create_task(self.send(queue, seconds)) for _ in range(connections)]
        started = time.perf_counter()
        for number, request in enumerate(wire):
            due = started + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter() - CLOCK_SECONDS))
            while time.perf_counter() < due:
                await asyncio.sleep(0)
            queue.put_nowait((due, request))
        for _ in senders:
            queue.put_nowait(None)
        await asyncio.gather(*senders)
        return seconds

    async def flat_out(self, wire: list[bytes], connections: int = CONNECTIONS) -> float:
        """Requests a second that are answered when every connection sends as soon as it may."""
        queue: asyncio.Queue[tuple[float, bytes] | None] = asyncio.Queue()
        for request in wire:
            queue.put_nowait((time.perf_counter(), request))
        for _ in range(connections):
            queue.put_nowait(None)
        started, seconds = time.perf_counter(), list[float]()
        await asyncio.gather(*(self.send(queue, seconds) for _ in range(connections)))
        return len(wire) / (time.perf_counter() - started)


def measure(bundle: Path, rate: float, seconds: float) -> dict[str, Any]:
    """Runs a service of its own and measures it; times are told, never judged."""
    with served(bundle) as (url, token, cold_seconds):
        connection = Connection(url, token)
        weight = int(connection.call("GET", "/scenario")["impression_weight"])
        sender = Sender(url)
        asyncio.run(sender.at_rate(requests(300, weight, 1), rate))  # warm
        latency = sorted(asyncio.run(sender.at_rate(requests(int(rate * seconds), weight), rate)))
        before = _cpu_seconds(url)
        saturation = asyncio.run(sender.flat_out(requests(int(1000 * seconds), weight, 2)))
        cpu_seconds = (_cpu_seconds(url) - before) / int(1000 * seconds)
        wire = requests(int(rate * seconds), weight, 3)
        ended, roles = asyncio.run(_while_intervals_end(sender, wire, rate, connection))
        connection.close()

    def at(fraction: float, found: list[float] = latency) -> float:
        return 1000.0 * found[min(len(found) - 1, int(fraction * len(found)))]

    result: dict[str, Any] = {
        "cold_start_seconds": cold_seconds,
        "rate": rate,
        "requests": len(latency),
        "p50_milliseconds": at(0.50),
        "p90_milliseconds": at(0.90),
        "p99_milliseconds": at(0.99),
        "p50_milliseconds_while_intervals_end": at(0.50, ended),
        "p99_milliseconds_while_intervals_end": at(0.99, ended),
        "saturation_per_second": saturation,
        "cpu_milliseconds_a_request": 1000.0 * cpu_seconds,
        "role_milliseconds": roles,
        "statuses": sender.statuses,
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
    }
    result["table"] = [
        ("cold start to ready, s", f"{cold_seconds:.2f}"),
        (f"p50 at {rate:g} requests/s, ms", f"{at(0.5):.2f}"),
        ("p90, ms", f"{at(0.9):.2f}"),
        ("p99, ms", f"{at(0.99):.2f}"),
        ("p50 while intervals end, ms", f"{at(0.5, ended):.2f}"),
        ("p99 while intervals end, ms", f"{at(0.99, ended):.2f}"),
        ("saturation, requests/s", f"{saturation:.0f}"),
        ("processor time a request, ms", f"{1000.0 * cpu_seconds:.2f}"),
        *((f"role {role}, once an interval, ms", f"{took:.1f}") for role, took in roles.items()),
        ("answers by status", ", ".join(f"{k}: {v}" for k, v in sorted(sender.statuses.items()))),
        ("load average of the machine", f"{os.getloadavg()[0]:.1f}"),
    ]
    return result


def _cpu_seconds(url: str) -> float:
    """Processor time that the service has used so far."""
    with urllib.request.urlopen(f"{url}/metrics") as response:
        lines = response.read().decode().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("interlude_cpu_seconds ")))


async def _while_intervals_end(
    sender: Sender, wire: list[bytes], rate: float, connection: Connection
) -> tuple[list[float], dict[str, float]]:
    """Latencies while an interval ends every half second, sorted; median milliseconds of every role."""
    rows: dict[str, list[float]] = {}

    def end_intervals() -> None:
        intervals = min(connection.call("GET", "/scenario")["intervals"], int(2 * len(wire) / rate))
        for interval in range(intervals):
            connection.call("POST", "/intervals", {"interval": interval})
            for role, took in connection.call("GET", "/roles").items():
                rows.setdefault(role, []).append(1000.0 * took)
            time.sleep(0.5)

    seconds, _ = await asyncio.gather(sender.at_rate(wire, rate), asyncio.to_thread(end_intervals))
    return sorted(seconds), {role: sorted(took)[len(took) // 2] for role, took in rows.items()}
