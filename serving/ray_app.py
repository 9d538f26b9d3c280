"""The service on Ray Serve: every role a deployment of its own, one front that owns the ledger.

The front is the application of `serving.app`, unchanged: bids are answered from its snapshot, and once an
interval it asks the five roles, wherever Ray runs them. A role's replica that dies is replaced by Ray; until
it is back the stand-in in the front answers, and the new replica catches up with the flight.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import time
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any, Final

from envs.errors import InterludeError
from envs.observation import ROLES
from envs.output import emit
from policies.bundle import MANIFEST, open_bundle
from policies.policy import Flight
from policies.team import Team
from serving.commands import missing_library
from serving.local import grpc_at, read_flight
from serving.rehearsal import rehearse
from serving.roles import Actor, Answer, BehindError, Cast, LocalRole, Role, Seen

try:
    import ray
    from ray import serve
    from starlette.requests import Request
    from starlette.responses import Response
except ImportError as error:
    raise missing_library(error) from error

APPLICATION: Final = "interlude"
FRONT: Final = "front"
HEALTH_SECONDS: Final = 1.0
"""Between two looks at a replica's health: so soon a dead one is noticed."""
CPUS: Final = 0.1
"""Of a replica that works some milliseconds an interval."""


class RoleReplica:
    """One role in a process of its own; it keeps the newest two bundles, for a reload that is taken back."""

    def __init__(self, role: str, bundle: str) -> None:
        """For the role of a bundle."""
        self._role, self._path = role, bundle
        self._actors: dict[str, Actor] = {}
        rehearse(open_bundle(bundle, verify=False))

    def act(
        self, key: str, flight_id: str, flight: Flight, first: int, seen: list[Seen]
    ) -> tuple[Answer | None, int]:
        """The answer by the bundle of this key, or None and from where the role must be told."""
        try:
            return self._of(key).act(flight_id, flight, first, seen), 0
        except BehindError as behind:
            return None, behind.position

    def _of(self, key: str) -> Actor:
        if key not in self._actors:
            found = bundle_key(self._path)
            if found != key:
                raise InterludeError(f"{self._path} holds bundle {found}, not {key}: reload it")
            opened, role = open_bundle(self._path, verify=False), self._role  # the front checked it
            self._actors[key] = Actor(role, lambda: opened.team().policies[role])
            while len(self._actors) > 2:
                self._actors.pop(next(iter(self._actors)))
        return self._actors[key]

    def process(self) -> int:
        """Number of its process."""
        return os.getpid()


def bundle_key(path: str | Path) -> str:
    """What tells a bundle from another: the digest of its manifest, which holds those of its files."""
    return hashlib.sha256((Path(path) / MANIFEST).read_bytes()).hexdigest()[:16]


class RayRole:
    """A role behind a deployment's handle."""

    def __init__(self, handle: Any, key: str) -> None:
        """`handle` of a `RoleReplica` deployment, `key` of the bundle that is to answer."""
        self._handle, self._key = handle, key

    async def act(self, flight_id: str, flight: Flight, first: int, seen: Any) -> Answer:
        """As `Actor.act`."""
        answer, position = await self._handle.act.remote(self._key, flight_id, flight, first, list(seen))
        if answer is None:
            raise BehindError(position)
        found: Answer = answer
        return found


class Front:
    """The application behind Ray's proxy; the ledger's only owner."""

    async def __init__(  # type: ignore[misc]
        self,
        bundle: str,
        ledger: str,
        flight: str | None,
        grpc_address: str | None,
        interval_seconds: float | None,
        settings: dict[str, Any],
        **handles: Any,
    ) -> None:
        """Opens bundle and ledger, and starts."""
        from serving.access import private_token
        from serving.app import application
        from serving.service import Service

        def cast(make_team: Callable[[], Team], deadline_seconds: float) -> Cast:
            key = bundle_key(bundle)
            played = [role for role in make_team().policies if role in handles]
            roles: dict[str, Role] = {role: RayRole(handles[role], key) for role in played}
            return Cast(roles, {role: _stand_in(make_team, role) for role in played}, deadline_seconds)

        brief = read_flight(None if flight is None else Path(flight))
        service = Service(bundle, ledger, brief, make_cast=cast, **settings)
        if interval_seconds is None:
            interval_seconds = service.bundle.scenario.hours_per_interval * 3600.0
        token = private_token(Path(ledger))
        self._app = application(service, token, interval_seconds=interval_seconds, grpc_address=grpc_address)
        self._life = self._app.router.lifespan_context(self._app)
        await self._life.__aenter__()

    async def __call__(self, request: Request) -> Response:
        """One request, through the application."""
        sent: list[MutableMapping[str, Any]] = []

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        scope = dict(request.scope)
        for key in ("path_params", "endpoint", "router", "app", "root_path", "route"):
            scope.pop(key, None)
        await self._app({**scope, "root_path": ""}, request.receive, send)
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in sent[0]["headers"]}
        body = b"".join(message.get("body", b"") for message in sent[1:])
        return Response(body, sent[0]["status"], headers)

    def process(self) -> int:
        """Number of its process."""
        return os.getpid()


def _stand_in(make_team: Callable[[], Team], role: str) -> LocalRole:
    return LocalRole(role, lambda: make_team().stand_ins[role])


def build(
    bundle: Path,
    ledger: Path,
    flight: Path | None = None,
    grpc_address: str | None = None,
    interval_seconds: float | None = 0.0,
    settings: dict[str, Any] | None = None,
) -> Any:
    """The Ray Serve application: `serve.run(build(…))`.

    Args:
        bundle: its folder, the same on every node.
        ledger: folder of the ledger, on the front's node.
        flight: JSON of a `FlightBrief`; an example if None.
        grpc_address: where the front serves gRPC itself, on its node; Ray's proxy is for HTTP.
        interval_seconds: 0 = a client ends intervals, None = the scenario's.
        settings: of `Service`.
    """
    options: dict[str, Any] = {
        "ray_actor_options": {"num_cpus": CPUS},
        "health_check_period_s": HEALTH_SECONDS,
        "max_ongoing_requests": 1000,
    }
    path = str(bundle.resolve())
    roles = open_bundle(bundle, verify=False).team().policies
    handles = {role: serve.deployment(name=role, **options)(RoleReplica).bind(role, path) for role in roles}
    front = serve.deployment(name=FRONT, **options)(Front)
    told = None if flight is None else str(flight.resolve())
    where = (path, str(ledger.resolve()), told, grpc_address)
    return front.bind(*where, interval_seconds, settings or {}, **handles)


def example(arguments: dict[str, str]) -> Any:
    """For `serve run serving.ray_app:example bundle=… ledger=…` and KubeRay's `serveConfigV2`."""
    seconds = float(arguments["interval_seconds"]) if "interval_seconds" in arguments else None
    flight = arguments.get("flight")
    where = Path(arguments["bundle"]), Path(arguments["ledger"]), Path(flight) if flight else None
    return build(*where, arguments.get("grpc_address"), seconds)


def serve_on_ray(
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
    """Serves on the Ray cluster of this machine, or one started for it, until told to stop.

    Raises:
        InterludeError: bundle or flight cannot be used.
    """
    open_bundle(bundle)
    read_flight(flight)
    address = grpc_at(host, grpc_port)
    start(host, port)
    app = build(bundle, ledger, flight, address, interval_seconds, settings)
    serve.run(app, name=APPLICATION, route_prefix="/")
    url = f"http://{host}:{port}"
    emit({"bundle": bundle, "url": url, "ledger": ledger}, f"serving {bundle} on {url}", json_out)
    try:
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    finally:
        serve.shutdown()  # type: ignore[no-untyped-call]
        ray.shutdown()


def start(host: str, port: int) -> None:
    """Starts Ray where none runs, and its HTTP proxy.

    Raises:
        InterludeError: there is no free port of this number.
    """
    if port == 0:
        raise InterludeError("--port 0 is for --local: Ray's proxy needs a number")
    # Ray gives its proxy 5 s to come up, thrice; a busy machine takes longer to import it.
    os.environ.setdefault("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "60")
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False, configure_logging=False)
    serve.start(http_options={"host": host, "port": port})


def processes() -> dict[str, int]:
    """Process numbers of the deployments' replicas, for tests and for whoever wants to end one."""

    async def ask() -> dict[str, int]:
        found = {}
        for name in (*ROLES, FRONT):
            handle = serve.get_deployment_handle(name, APPLICATION)
            found[name] = await handle.process.remote()
        return found

    return asyncio.run(ask())


def wait_for(ready: Callable[[], bool], seconds: float) -> float:
    """Seconds until something holds.

    Raises:
        TimeoutError: it does not within `seconds`.
    """
    started = time.monotonic()
    while not ready():
        if time.monotonic() - started > seconds:
            raise TimeoutError(f"not within {seconds:g} s")
        time.sleep(0.05)
    return time.monotonic() - started
