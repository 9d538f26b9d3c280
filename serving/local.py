"""One process on one machine: the service behind uvicorn, without Ray."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import uvicorn
from pydantic import ValidationError

from envs.errors import ConfigurationError, InterludeError
from envs.output import emit
from serving.access import private_token
from serving.app import application
from serving.brief import FlightBrief
from serving.service import Service


def run(
    bundle: Path,
    ledger: Path,
    flight: Path | None,
    host: str,
    port: int,
    grpc_port: int,
    interval_seconds: float | None,
    settings: dict[str, Any],
    json_out: str | None = None,
) -> None:
    """Serves until it is told to stop.

    Args:
        bundle: its folder.
        ledger: folder of the ledger; the token of the writing endpoints is kept in it.
        flight: JSON of a `FlightBrief`; an example if None.
        host: to listen on.
        port: to listen on, 0 = any.
        grpc_port: for gRPC, 0 = none.
        interval_seconds: length of an interval; 0 = a client ends them, None = the scenario's.
        settings: of `Service`.
        json_out: where the address is told as JSON, too.

    Raises:
        InterludeError: bundle, ledger, flight or address cannot be used.
    """
    brief = read_flight(flight)
    listener, grpc_address = _listen(host, port), grpc_at(host, grpc_port)
    service = Service(bundle, ledger, brief, **settings)
    if interval_seconds is None:
        interval_seconds = service.bundle.scenario.hours_per_interval * 3600.0
    app = application(
        service, private_token(ledger), interval_seconds=interval_seconds, grpc_address=grpc_address
    )
    url = f"http://{host}:{listener.getsockname()[1]}"
    name = service.bundle.manifest.name
    emit({"bundle": name, "url": url, "ledger": ledger}, f"serving {name} on {url}", json_out)
    config = uvicorn.Config(
        app,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        log_level="warning",
        lifespan="on",
        limit_concurrency=1024,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    server.run(sockets=[listener])  # on uvloop, where it is installed
    if not server.started:
        raise InterludeError("the service did not start, for the reason above")


def grpc_at(host: str, port: int) -> str | None:
    """Address to serve gRPC at, or None where no port is given.

    Raises:
        InterludeError: something else listens there.
    """
    if port == 0:
        return None
    _listen(host, port).close()  # gRPC itself would only say that it failed
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def read_flight(path: Path | None) -> FlightBrief | None:
    """A flight from a file.

    Raises:
        ConfigurationError: it is missing or no flight.
    """
    if path is None:
        return None
    try:
        return FlightBrief.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ConfigurationError(f"{path} is no flight: {error}") from error


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else an answer's end waits 40 ms
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise InterludeError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    return listener
