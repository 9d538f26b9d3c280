"""Hostile requests: never a server error, never a hang, and the ledger stays sound."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.asgi import Client, a_request, bids_of

NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from([0, -0.0, 1e308, -1e308, 1e-308, float("inf"), float("nan"), 250, 2**63]),
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
ODD = st.one_of(
    JSON,
    st.sampled_from(
        ["evening", "USD", "audio/mpeg", "quality", "1", "\x00", "\ud7ff", "a" * 5000, "'; DROP TABLE bid"]
    ),
)


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value."""
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths(inner, (*at, key))


WHOLE = a_request(
    qty={"multiplier": 250},
    metric=[{"type": "quality", "value": 1.2}],
    video={"mimes": ["video/mp4"], "maxduration": 30},
    banner={"w": 300},
    bidfloor=0.1,
    bidfloorcur="USD",
) | {"cur": ["USD"], "bcat": ["IAB1"], "badv": ["x.example"], "tmax": 100, "test": 0, "at": 2}


@st.composite
def spoilt_requests(draw: st.DrawFn) -> bytes:
    """A good request with some places changed, removed, or cut off."""
    request = json.loads(json.dumps(WHOLE))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.sampled_from(list(paths(request))))
        if not at:
            return json.dumps(draw(ODD)).encode("utf-8", "surrogatepass")
        inside = request
        for key in at[:-1]:
            inside = inside[key]
        if draw(st.booleans()) or isinstance(inside, list):
            inside[at[-1]] = draw(ODD)
        else:
            del inside[at[-1]]
    body = json.dumps(request).encode("utf-8", "surrogatepass")
    return body[: draw(st.integers(0, len(body)))] if draw(st.integers(0, 9)) == 0 else body


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    found = Client(tmp_path_factory.mktemp("ledger"))
    yield found
    found.close()


def stays_sound(client: Client, body: bytes) -> None:
    answer = client("POST", "/openrtb2/bid", body, None)
    assert answer.status in (200, 204, 400), answer
    for bid in bids_of(answer) if answer.status == 200 else []:
        assert 0 < bid["price"] < 1e12
    ledger = client.service.ledger
    for c in range(len(ledger.reserved)):
        assert 0 <= ledger.reserved[c] <= ledger.left(c)


SOUND = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=300, **SOUND)
@given(body=spoilt_requests() | st.binary(max_size=200))
def test_no_request_breaks_the_service(client: Client, body: bytes) -> None:
    stays_sound(client, body)


@pytest.mark.slow
@settings(max_examples=10_000, **SOUND)
@given(body=spoilt_requests() | st.binary(max_size=2000))
def test_ten_thousand_requests_break_nothing(client: Client, body: bytes) -> None:
    stays_sound(client, body)


@settings(max_examples=60, **SOUND)
@given(
    path=st.sampled_from(
        ["/events", "/intervals", "/flights", "/v2/models/bidding/infer", "/v2/models/x/infer"]
    ),
    body=st.one_of(
        st.binary(max_size=100),
        JSON.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass")),
        st.fixed_dictionaries(
            {
                "id": ODD,
                "type": st.sampled_from(["impression", "click", "loss", "x"]),
                "bid": ODD,
                "price": NUMBERS,
            }
        ).map(lambda event: json.dumps({"events": [event]}).encode("utf-8", "surrogatepass")),
    ),
)
def test_no_other_endpoint_breaks(client: Client, path: str, body: bytes) -> None:
    if not (path == "/intervals" and body in (b"", b"{}")):
        assert client("POST", path, body).status in (200, 400, 404, 409)
