"""The service by gRPC, in the same process and on the same event loop as HTTP.

`inference.GRPCInferenceService` is the Open Inference Protocol 2. `interlude.v1.Bidding` takes and gives the
JSON of HTTP as the bytes of a message: `Bid` (an empty answer is no bid) and, with the token as metadata
`authorization: Bearer TOKEN`, `Events`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import numpy as np

from envs.errors import InterludeError
from serving.calls import BODY_LIMIT, FAULTS, VERSION, Calls, fault_of
from serving.grpc_messages import CONTENTS, METHODS, SERVICE, message
from serving.inference import DATATYPE, Sent, infer, model_metadata, model_names

BIDDING: Final = "interlude.v1.Bidding"
_DTYPE: Final = {told: dtype for dtype, told in DATATYPE.items()}
Answering = Callable[[Any, Any], Awaitable[Any]]


@asynccontextmanager
async def served_by_grpc(calls: Calls, address: str | None) -> AsyncIterator[None]:
    """Serves while the block runs; nothing where there is no address (`HOST:PORT`).

    Raises:
        InterludeError: the address cannot be listened on, or grpcio is not installed.
    """
    if address is None:
        yield
        return
    try:
        import grpc
    except ImportError as error:
        from serving.commands import missing_library

        raise missing_library(error) from error
    limits = [("grpc.max_receive_message_length", BODY_LIMIT), ("grpc.so_reuseport", 0)]
    server = grpc.aio.server(options=limits, maximum_concurrent_rpcs=1024)
    server.add_generic_rpc_handlers(_handlers(calls, grpc))
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise InterludeError(f"cannot listen on {address} for gRPC: {error}") from error
    await server.start()
    try:
        yield
    finally:
        await server.stop(1.0)


def _handlers(calls: Calls, grpc: Any) -> list[Any]:
    status = {
        400: grpc.StatusCode.INVALID_ARGUMENT,
        401: grpc.StatusCode.UNAUTHENTICATED,
        404: grpc.StatusCode.NOT_FOUND,
        409: grpc.StatusCode.FAILED_PRECONDITION,
    }

    def guarded(answer: Answering) -> Answering:
        async def guard(request: Any, context: Any) -> Any:
            try:
                return await answer(request, context)
            except NoSuchModelError as error:
                code, text = 404, str(error)
            except UnknownClientError as error:
                code, text = 401, str(error)
            except FAULTS as error:
                code, text = fault_of(error)
            await context.abort(status[code], text)

        return guard

    async def bid(body: bytes, context: Any) -> bytes:
        return calls.bid(body) or b""

    async def events(body: bytes, context: Any) -> bytes:
        told = dict(context.invocation_metadata() or ())
        if not calls.may_write(str(told.get("authorization", ""))):
            raise UnknownClientError("this method asks for metadata authorization: Bearer TOKEN")
        return json.dumps(calls.events(body)).encode()

    bidding = {
        name: grpc.unary_unary_rpc_method_handler(guarded(answer))  # bytes in, bytes out
        for name, answer in (("Bid", bid), ("Events", events))
    }
    inference = {
        name: grpc.unary_unary_rpc_method_handler(
            guarded(answer),
            request_deserializer=message(f"{name}Request").FromString,
            response_serializer=message(f"{name}Response").SerializeToString,
        )
        for name, answer in _inference(calls).items()
    }
    handler = grpc.method_handlers_generic_handler
    return [handler(BIDDING, bidding), handler(SERVICE, inference)]


class NoSuchModelError(Exception):
    """The bundle has no network of this name."""


class UnknownClientError(Exception):
    """The token was not told."""


def _inference(calls: Calls) -> dict[str, Answering]:
    """The methods of the Open Inference Protocol."""
    service = calls.service

    def known(name: str) -> str:
        if name not in model_names(service.bundle):
            raise NoSuchModelError(f"no model {name!r}; there are {', '.join(model_names(service.bundle))}")
        return name

    async def live(request: Any, context: Any) -> Any:
        return message("ServerLiveResponse")(live=True)

    async def ready(request: Any, context: Any) -> Any:
        return message("ServerReadyResponse")(ready=service.ready)

    async def model_ready(request: Any, context: Any) -> Any:
        return message("ModelReadyResponse")(ready=known(request.name) != "")

    async def server(request: Any, context: Any) -> Any:
        return message("ServerMetadataResponse")(name="interlude", version=VERSION)

    async def metadata(request: Any, context: Any) -> Any:
        return message("ModelMetadataResponse")(**model_metadata(service.bundle, known(request.name)))

    async def model_infer(request: Any, context: Any) -> Any:
        given, wanted = read_tensors(request), {output.name for output in request.outputs}
        found = await asyncio.to_thread(infer, service.bundle, known(request.model_name), given, wanted)
        answer = message("ModelInferResponse")(
            model_name=request.model_name, model_version="1", id=request.id
        )
        for name, array in found.items():
            datatype = DATATYPE[str(array.dtype)]
            output = answer.outputs.add(name=name, datatype=datatype, shape=array.shape)
            if request.raw_input_contents:  # the answer takes the request's form
                answer.raw_output_contents.append(np.ascontiguousarray(array).tobytes())
            else:
                getattr(output.contents, CONTENTS[datatype]).extend(array.ravel().tolist())
        return answer

    return dict(zip(METHODS, (live, ready, model_ready, server, metadata, model_infer), strict=True))


def read_tensors(request: Any) -> dict[str, Sent]:
    """The tensors of a `ModelInferRequest`, raw or typed.

    Raises:
        ValueError: some are missing, or of a type that no network takes.
    """
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise ValueError(f"{len(request.inputs)} inputs, {len(raw)} raw contents")
    given = {}
    for number, tensor in enumerate(request.inputs):
        if tensor.datatype not in CONTENTS:
            raise ValueError(f"datatype {tensor.datatype!r} is none of {', '.join(CONTENTS)}")
        if raw:
            boolean = tensor.datatype == "BOOL"
            values = np.frombuffer(raw[number], np.uint8 if boolean else _DTYPE[tensor.datatype])
            values = values != 0 if boolean else values
        else:
            values = np.array(getattr(tensor.contents, CONTENTS[tensor.datatype]))
        given[tensor.name] = Sent(tensor.datatype, tuple(tensor.shape), values)
    return given
