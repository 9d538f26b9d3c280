"""The service as an ASGI application: routes, limits, tokens."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from serving.brief import FlightBrief, Report
from serving.calls import BODY_LIMIT, FAULTS, VERSION, BadRequestError, Calls, Events, fault_of
from serving.grpc_server import served_by_grpc
from serving.inference import model_metadata, model_names, run_model
from serving.journey_rows import JourneysTold
from serving.openrtb import schema
from serving.roles import in_thread
from serving.service import Service

FLIGHT_LIMIT: Final = 32 * 1024 * 1024
BODY_SECONDS: Final = 2.0
"""A client that sends its body more slowly is told so and let go."""
Handler = Callable[[Request], Awaitable[Response]]


class Advance(BaseModel):
    """The end of an interval."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    interval: int | None = Field(None, ge=0)
    report: Report = Report()


_ADVANCE, _FLIGHT = TypeAdapter(Advance), TypeAdapter(FlightBrief)


async def read_body(request: Request, limit: int = BODY_LIMIT) -> bytes:
    """A request's body.

    Raises:
        BadRequestError: it is too large, too slow, or broken off.
    """
    chunks, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise BadRequestError(f"the body is larger than {limit} bytes")
                chunks.append(chunk)
        return b"".join(chunks)
    except TimeoutError as error:
        raise BadRequestError(f"no whole body within {BODY_SECONDS:g} s") from error
    except ClientDisconnect as error:
        raise BadRequestError("the client went away") from error


def application(
    service: Service, token: str, *, interval_seconds: float = 0.0, grpc_address: str | None = None
) -> Starlette:
    """The ASGI application of a service.

    Args:
        service: not started yet; it starts with the application.
        token: that writing endpoints ask for, as `Authorization: Bearer`.
        interval_seconds: how long an interval lasts; 0 = it ends when `POST /intervals` says so.
        grpc_address: where gRPC is served, too, as `HOST:PORT`.
    """
    calls = Calls(service, token)

    def guarded(handler: Handler, *, writes: bool = False) -> Handler:
        async def guard(request: Request) -> Response:
            if writes and not calls.may_write(request.headers.get("authorization", "")):
                return _problem(401, "this endpoint asks for Authorization: Bearer TOKEN")
            try:
                return await handler(request)
            except FAULTS as error:
                return _problem(*fault_of(error))

        return guard

    async def bid(request: Request) -> Response:
        answer = calls.bid(await read_body(request))
        return (
            Response(status_code=204) if answer is None else Response(answer, media_type="application/json")
        )

    async def events(request: Request) -> Response:
        return JSONResponse(calls.events(await read_body(request)))

    async def journeys(request: Request) -> Response:
        return JSONResponse(calls.journeys(await read_body(request)))

    async def intervals(request: Request) -> Response:
        told = _ADVANCE.validate_json(await read_body(request) or b"{}")
        await service.advance(told.report, told.interval)
        return JSONResponse(service.state())

    async def flights(request: Request) -> Response:
        await service.begin(_FLIGHT.validate_json(await read_body(request, FLIGHT_LIMIT)))
        return JSONResponse(service.state())

    async def reload(request: Request) -> Response:
        return JSONResponse({"bundle": await service.reload()})

    async def campaigns(request: Request) -> Response:
        return JSONResponse(service.state())

    async def alerts(request: Request) -> Response:
        return JSONResponse([notice._asdict() for notice in service.notices.alerts])

    async def roles(request: Request) -> Response:
        return JSONResponse(service.cast.seconds)

    async def scenario(request: Request) -> Response:
        return Response(service.bundle.scenario.model_dump_json(), media_type="application/json")

    async def openapi(request: Request) -> Response:
        return JSONResponse(openapi_document())

    async def live(request: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(request: Request) -> Response:
        return JSONResponse({"ready": service.ready}, 200 if service.ready else 503)

    async def prometheus(request: Request) -> Response:
        return Response(calls.metrics.text(), media_type="text/plain; version=0.0.4")

    async def server(request: Request) -> Response:
        return JSONResponse({"name": "interlude", "version": VERSION, "extensions": []})

    async def model(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in model_names(service.bundle):
            return _problem(404, f"no model {name!r}; there are {', '.join(model_names(service.bundle))}")
        if request.url.path.endswith("/ready"):
            return JSONResponse({"name": name, "ready": True})
        if request.method == "GET":
            return JSONResponse(model_metadata(service.bundle, name))
        body = await read_body(request)
        return JSONResponse(await asyncio.to_thread(run_model, service.bundle, name, body))

    def get(path: str, handler: Handler) -> Route:
        return Route(path, guarded(handler), methods=["GET"])

    def post(path: str, handler: Handler, *, writes: bool = True) -> Route:
        return Route(path, guarded(handler, writes=writes), methods=["POST"])

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await service.start()
        _prepare_process()
        clock = asyncio.create_task(_clock(service, interval_seconds))
        async with served_by_grpc(calls, grpc_address):
            yield
        clock.cancel()
        service.close()

    return Starlette(
        lifespan=lifespan,
        routes=[
            post("/openrtb2/bid", bid, writes=False),
            post("/events", events),
            post("/journeys", journeys),
            post("/intervals", intervals),
            post("/flights", flights),
            post("/reload", reload),
            get("/campaigns", campaigns),
            get("/alerts", alerts),
            get("/roles", roles),
            get("/scenario", scenario),
            get("/openapi.json", openapi),
            get("/health", live),
            get("/ready", ready),
            get("/metrics", prometheus),
            get("/v2", server),
            get("/v2/health/live", live),
            get("/v2/health/ready", ready),
            get("/v2/models/{name}", model),
            get("/v2/models/{name}/ready", model),
            post("/v2/models/{name}/infer", model, writes=False),
        ],
    )


def _prepare_process() -> None:
    """Makes bids wait less for the collector, and for threads that work on an interval's end."""
    gc.collect()
    gc.freeze()  # what is here stays; looking through it took .1 s
    sys.setswitchinterval(0.0005)


async def _clock(service: Service, interval_seconds: float) -> None:
    """Frees reservations every second, and ends intervals by the clock where there is one.

    What fails is told as an alert, and tried again: a clock that stopped would hold budgets for ever.
    """
    next_end = time.monotonic() + interval_seconds
    while True:
        await asyncio.sleep(min(1.0, interval_seconds or 1.0))
        try:
            while service.ledger.expire() or service.ledger.sweep():
                await asyncio.sleep(0)
            await in_thread(service.ledger.tidy)
            if interval_seconds and time.monotonic() >= next_end:
                next_end += interval_seconds
                if not service.market.ended:
                    await service.advance(Report())
        except Exception as error:
            service.alert("clock", "none", "critical", f"{type(error).__name__}: {error}")


def _problem(status: int, text: str) -> Response:
    return JSONResponse({"error": text}, status)


def openapi_document() -> dict[str, Any]:
    """The endpoints that take bodies, as an OpenAPI document."""

    def operation(body: dict[str, Any], *answers: str) -> dict[str, Any]:
        content = {"application/json": {"schema": body}}
        return {
            "post": {
                "requestBody": {"required": True, "content": content},
                "responses": {status: {"description": ""} for status in (*answers, "400")},
            }
        }

    return {
        "openapi": "3.1.0",
        "info": {"title": "Interlude", "version": VERSION},
        "paths": {
            "/openrtb2/bid": operation(schema(), "200", "204"),
            "/events": operation(Events.model_json_schema(), "200", "401"),
            "/journeys": operation(JourneysTold.model_json_schema(), "200", "401", "409"),
            "/intervals": operation(Advance.model_json_schema(), "200", "401", "409"),
            "/flights": operation(FlightBrief.model_json_schema(), "200", "401", "409"),
        },
    }
