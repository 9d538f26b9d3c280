"""gRPC over loopback: the Open Inference Protocol's methods, bids and events."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.asgi import TOKEN, Client, a_request

from serving.calls import Calls
from serving.grpc_messages import CONTENTS, METHODS, SERVICE, message
from serving.grpc_server import BIDDING, served_by_grpc
from serving.inference import DATATYPE

grpc = pytest.importorskip("grpc")
OURS = ({"authorization": f"Bearer {TOKEN}"}).items()


class Served:
    """A service in this process that listens on loopback, and one connection to it."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{found.getsockname()[1]}"
        self.client = Client(folder)
        self.server = served_by_grpc(Calls(self.client.service, TOKEN), self.address)
        self.client.run(self.server.__aenter__())
        self.channel = self.client.run(self._open())

    async def _open(self) -> Any:
        return grpc.aio.insecure_channel(self.address)

    def raw(self, method: str, body: bytes, *, ours: bool = False) -> bytes:
        async def ask() -> bytes:
            metadata = tuple(OURS) if ours else None
            found: bytes = await self.channel.unary_unary(f"/{BIDDING}/{method}")(body, metadata=metadata)
            return found

        return self.client.run(ask())

    def ask(self, method: str, **fields: Any) -> Any:
        async def ask() -> Any:
            call = self.channel.unary_unary(
                f"/{SERVICE}/{method}",
                request_serializer=message(f"{method}Request").SerializeToString,
                response_deserializer=message(f"{method}Response").FromString,
            )
            return await call(message(f"{method}Request")(**fields))

        return self.client.run(ask())

    def close(self) -> None:
        self.client.run(self.channel.close())
        self.client.run(self.server.__aexit__(None, None, None))
        self.client.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    found = Served(tmp_path_factory.mktemp("ledger"))
    yield found
    found.close()


def code_of(error: Any) -> str:
    return str(error.value.code().name)


def test_a_bid_is_made_settled_and_counted_once(served: Served) -> None:
    answer = json.loads(served.raw("Bid", json.dumps(a_request()).encode()))
    bid = answer["seatbid"][0]["bid"][0]
    event = {"id": "i", "type": "impression", "bid": bid["id"], "price": bid["price"] / 2}
    body = json.dumps({"events": [event]}).encode()
    assert json.loads(served.raw("Events", body, ours=True))["accepted"] == 1
    assert json.loads(served.raw("Events", body, ours=True))["duplicate"] == 1
    assert sum(served.client.service.ledger.spent) == pytest.approx(bid["price"] / 2 * 1e6, abs=1)


def test_what_suits_nobody_is_no_bid(served: Served) -> None:
    assert served.raw("Bid", json.dumps(a_request() | {"cur": ["EUR"]}).encode()) == b""


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"id": "a", "imp": []}', b"[" * 100_000])
def test_what_is_no_request_is_told_so(served: Served, body: bytes) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        served.raw("Bid", body)
    assert code_of(error) == "INVALID_ARGUMENT" and error.value.details()


def test_hostile_callers_are_refused(served: Served) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        served.raw("Events", b'{"events": []}')
    assert code_of(error) == "UNAUTHENTICATED"
    with pytest.raises(grpc.aio.AioRpcError) as error:
        served.raw("Bid", b"x" * 300_000)
    assert code_of(error) == "RESOURCE_EXHAUSTED"
    with pytest.raises(grpc.aio.AioRpcError) as error:
        served.raw("Nothing", b"")
    assert code_of(error) == "UNIMPLEMENTED"


def test_it_says_what_it_serves(served: Served) -> None:
    assert served.ask("ServerLive").live and served.ask("ServerReady").ready
    assert served.ask("ServerMetadata").name == "interlude"
    assert served.ask("ModelReady", name="bidding").ready
    told, by_http = (
        served.ask("ModelMetadata", name="bidding"),
        served.client("GET", "/v2/models/bidding").json,
    )
    assert [(i.name, i.datatype, list(i.shape)) for i in told.inputs] == [
        (i["name"], i["datatype"], i["shape"]) for i in by_http["inputs"]
    ]
    for method in ("ModelReady", "ModelMetadata"):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            served.ask(method, name="nobody")
        assert code_of(error) == "NOT_FOUND"


@pytest.mark.parametrize("raw", [True, False])
def test_networks_answer_as_they_do_by_themselves(served: Served, raw: bool) -> None:
    draw, arrays = np.random.default_rng(0), {}
    for tensor in served.ask("ModelMetadata", name="bidding").inputs:
        dtype = {told: dtype for dtype, told in DATATYPE.items()}[tensor.datatype]
        arrays[tensor.name] = draw.normal(size=[3, *tensor.shape[1:]]).astype(dtype)
    inputs = [
        {"name": n, "datatype": DATATYPE[str(a.dtype)], "shape": a.shape}
        | ({} if raw else {"contents": {CONTENTS[DATATYPE[str(a.dtype)]]: a.ravel().tolist()}})
        for n, a in arrays.items()
    ]
    told = {"raw_input_contents": [a.tobytes() for a in arrays.values()]} if raw else {}
    answer = served.ask("ModelInfer", model_name="bidding", id="7", inputs=inputs, **told)
    (output,) = answer.outputs
    found = np.frombuffer(answer.raw_output_contents[0], np.float32) if raw else output.contents.fp32_contents
    expected = served.client.service.bundle.models["bidding"](arrays)[output.name]
    np.testing.assert_array_equal(np.reshape(found, output.shape), expected)
    assert (answer.id, answer.model_name) == ("7", "bidding")
    for spoilt in (
        {"inputs": inputs[1:], **({"raw_input_contents": told["raw_input_contents"][1:]} if raw else {})},
        {"inputs": [{**one, "shape": [-1, *one["shape"][1:]]} for one in inputs], **told},
        {"inputs": [{**one, "datatype": "FP64"} for one in inputs], **told},
        {"inputs": inputs, "raw_input_contents": [b"x"]},
    ):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            served.ask("ModelInfer", model_name="bidding", **spoilt)
        assert code_of(error) == "INVALID_ARGUMENT"


def test_every_method_of_the_protocol_has_its_messages() -> None:
    for method in METHODS:
        assert message(f"{method}Request").DESCRIPTOR.full_name == f"inference.{method}Request"
        assert message(f"{method}Response")
