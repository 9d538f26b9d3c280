import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.asgi import Client, a_request, bids_of
from support.markets import leaves

from envs.catalogue import S
from envs.errors import InterludeError
from envs.protocol import SegmentValue
from policies.bundle import BundleError
from serving import service as services
from serving.access import private_token
from serving.app import _clock
from serving.roles import Answer, Cast, LocalRole, local_cast


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    found = Client(tmp_path_factory.mktemp("ledger"))
    yield found
    found.close()


def test_a_request_is_bid_for_by_every_campaign(client: Client) -> None:
    bids = bids_of(client("POST", "/openrtb2/bid", a_request(), None))
    assert {bid["cid"] for bid in bids} == {"campaign-0", "campaign-1"}
    for bid in bids:
        assert bid["impid"] == "1" and bid["price"] > 0 and bid["mtype"] == 3 and bid["dur"] in (15, 30)
        assert (
            bid["crid"]
            == bid["adid"]
            == client.service.state()["campaigns"][int(bid["cid"][-1])]["creatives"]["evening"]
        )


@pytest.mark.parametrize(
    "changed",
    [
        {"imp": [{"id": "1", "audio": {"mimes": ["audio/ogg"], "feed": 1}}]},
        {"imp": [{"id": "1", "banner": {}}]},
        {"imp": [{"id": "1", "audio": {"maxduration": 10}}]},
        {"imp": [{"id": "1", "audio": {}, "bidfloor": 1e6}]},
        {"user": {"id": "somebody"}},
        {"cur": ["EUR"]},
    ],
)
def test_what_suits_no_campaign_is_no_bid(client: Client, changed: dict[str, Any]) -> None:
    assert client("POST", "/openrtb2/bid", a_request() | changed).status == 204


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'{"id": "a"}', b'{"id": "a", "imp": []}', b"\xff\xfe", b"[" * 100_000]
    + [json.dumps(a_request(bidfloor=floor)).encode() for floor in (-1, "x", float("nan"))],
)
def test_what_is_no_request_is_told_so(client: Client, body: bytes) -> None:
    answer = client("POST", "/openrtb2/bid", body)
    assert answer.status == 400 and answer.json["error"]


def test_a_request_that_is_too_large_is_refused(client: Client) -> None:
    assert client("POST", "/openrtb2/bid", b"x" * 300_000).status == 400


def test_events_settle_once(client: Client) -> None:
    before = client.service.ledger.spent[0]
    bid = next(b for b in bids_of(client("POST", "/openrtb2/bid", a_request())) if b["cid"] == "campaign-0")
    events = [
        {"id": "i1", "type": "impression", "bid": bid["id"], "price": bid["price"] / 2},
        {"id": "q1", "type": "quartile", "bid": bid["id"]},
        {"id": "c1", "type": "complete", "bid": bid["id"]},
        {"id": "v1", "type": "conversion", "campaign": "campaign-0", "segment": 1},
        {"id": "x1", "type": "click", "bid": "no such bid"},
    ]
    first, again = (client("POST", "/events", {"events": events}).json for _ in range(2))
    assert (first["accepted"], first["duplicate"]) == (4, 0) and first["refused"][0]["id"] == "x1"
    assert (again["accepted"], again["duplicate"]) == (0, 4)
    spent = client.service.ledger.spent[0] - before
    assert spent == pytest.approx(bid["price"] / 2 / 1000 * 1e9, abs=1)


@pytest.mark.parametrize("path", ["/events", "/intervals", "/flights", "/reload"])
@pytest.mark.parametrize("token", [None, "", "wrong", "ünknown"])
def test_writing_asks_for_the_token(client: Client, path: str, token: str | None) -> None:
    assert client("POST", path, {}, token).status == 401
    assert client("GET", path).status == 405


def test_what_it_tells_of_itself(client: Client) -> None:
    assert client("GET", "/health").json == {"live": True} and client("GET", "/ready").json == {"ready": True}
    state = client("GET", "/campaigns").json
    assert len(state["campaigns"]) == 2 and state["campaigns"][0]["budget_usd"] > 0
    text = client("GET", "/metrics").body.decode()
    assert 'interlude_spent_usd{campaign="campaign-0"}' in text and "interlude_bid_seconds_bucket" in text
    assert set(client("GET", "/openapi.json").json["paths"]) >= {"/openrtb2/bid", "/events"}
    assert client("GET", "/nowhere").status == 404
    assert any("audience" in alert["text"] for alert in client("GET", "/alerts").json)


def test_the_networks_answer_by_the_open_inference_protocol(client: Client) -> None:
    assert client("GET", "/v2/health/live").status == client("GET", "/v2/health/ready").status == 200
    told = client("GET", "/v2/models/bidding").json
    assert told["platform"] == "onnxruntime_onnx" and client("GET", "/v2/models/bidding/ready").status == 200
    inputs = [
        {
            "name": tensor["name"],
            "datatype": tensor["datatype"],
            "shape": [2, *tensor["shape"][1:]],
            "data": np.zeros((2, *tensor["shape"][1:])).ravel().tolist(),
        }
        for tensor in told["inputs"]
    ]
    answer = client("POST", "/v2/models/bidding/infer", {"id": "7", "inputs": inputs})
    (output,) = answer.json["outputs"]
    assert output["name"] == "log_multiplier" and output["shape"] == [2, 8] and len(output["data"]) == 16
    assert client("POST", "/v2/models/bidding/infer", {"inputs": inputs[1:]}).status == 400
    inputs[0]["shape"] = [3, 1]
    assert client("POST", "/v2/models/bidding/infer", {"inputs": inputs}).status == 400
    assert client("GET", "/v2/models/nobody").status == 404


def test_an_interval_ends_once_and_the_service_comes_back_where_it_was(tmp_path: Path) -> None:
    client = Client(tmp_path)
    for interval in range(3):
        for number in range(5):
            bids = bids_of(
                client("POST", "/openrtb2/bid", a_request(user=f"u{number}", qty={"multiplier": 250}))
            )
            events = [
                {"id": f"{b['id']}.i", "type": "impression", "bid": b["id"], "price": b["price"] * 0.8}
                for b in bids[:1]
            ]
            client("POST", "/events", {"events": events})
        body = {"interval": interval, "report": {"health": [0.9] * S}}
        assert client("POST", "/intervals", body).json["interval"] == interval + 1
        assert client("POST", "/intervals", body).json["interval"] == interval + 1
    assert client("POST", "/intervals", {"interval": 7}).status == 409
    assert client("POST", "/intervals", {"report": {"fatigue": []}}).status == 409
    before, seen = client.service, client.service.history.deliveries
    state = before.state()
    assert state["campaigns"][0]["spent_usd"] > 0
    client.close()
    again = Client(tmp_path)
    assert again.service.state() | {"stand_ins": {}} == state | {"stand_ins": {}}  # counted since the start
    for one, other in zip(again.service.history.deliveries, seen, strict=True):
        for here, there in zip(leaves(one.observations), leaves(other.observations), strict=True):
            np.testing.assert_array_equal(here, there)
    assert again.service.snapshot == before.snapshot
    again.close()


def slow(*_: Any) -> Answer:
    import time

    time.sleep(5)
    raise AssertionError


def raising(*_: Any) -> Answer:
    raise RuntimeError("broken")


def wrong(*_: Any) -> Answer:
    return Answer(SegmentValue(np.full((1, 4, S), np.nan), np.zeros((1, 4, S))))


@pytest.mark.parametrize("fault", [slow, raising, wrong])
def test_where_a_role_fails_its_stand_in_answers_and_bids_go_on(tmp_path: Path, fault: Any) -> None:
    def cast(make_team: Any, deadline_seconds: float) -> Cast:
        made = local_cast(make_team, deadline_seconds)
        spoilt = made.roles["audience"]
        assert isinstance(spoilt, LocalRole)

        class Spoilt:
            act = staticmethod(fault)

        spoilt._new = Spoilt  # type: ignore[assignment]
        spoilt._actor = Spoilt()  # type: ignore[assignment]
        return made

    client = Client(tmp_path, make_cast=cast, deadline_seconds=0.5)
    assert client.service.notices.failures["audience"] == 1
    told = [a for a in client.service.notices.alerts if a.source == "role"]
    (alert,) = [a for a in told if a.text.startswith("audience")]
    assert alert.kind == "silent_agent"
    assert bids_of(client("POST", "/openrtb2/bid", a_request()))
    client.close()


def test_a_bundle_is_changed_while_bids_go_on_or_stays(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = client.service.bundle
    assert client("POST", "/reload").json == {"bundle": old.manifest.name}
    assert client.service.bundle is not old
    kept = client.service.bundle

    def broken(*_: Any, **__: Any) -> None:
        raise BundleError("golden pairs")

    monkeypatch.setattr(services, "open_bundle", broken)
    answer = client("POST", "/reload")
    assert answer.status == 409 and "golden pairs" in answer.json["error"]
    assert client.service.bundle is kept and client.service.notices.alerts[-1].text.startswith("rolled back")
    assert bids_of(client("POST", "/openrtb2/bid", a_request()))


def test_a_flight_begins_anew_and_one_that_is_none_is_refused(client: Client) -> None:
    campaigns = [{"name": "one", "vertical": "retail", "budget_usd": 5.0}]
    assert client("POST", "/flights", {"id": "mine", "campaigns": campaigns}).json["flight"] == "mine"
    for spoilt in ({"id": "../x"}, {"campaigns": []}, {"attention": "x"}, {"nonsense": 1}):
        assert client("POST", "/flights", {"id": "mine", "campaigns": campaigns, **spoilt}).status == 400
    assert client.service.state()["campaigns"][0]["budget_usd"] == 5.0


def test_a_clock_that_fails_once_says_so_and_goes_on(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    beats: list[int] = []

    def expire() -> int:
        beats.append(1)
        if len(beats) == 1:
            raise OSError("disk full")
        return 0

    monkeypatch.setattr(client.service.ledger, "expire", expire)
    before = len(client.service.notices.alerts)

    async def watched() -> None:
        clock = asyncio.create_task(_clock(client.service, 1e-3))
        while len(beats) < 3:
            await asyncio.sleep(0.001)
        clock.cancel()

    monkeypatch.setattr(client.service, "advance", lambda report: asyncio.sleep(0))
    client.run(asyncio.wait_for(watched(), 30))
    told = list(client.service.notices.alerts)[before:]
    assert [(notice.source, notice.severity) for notice in told] == [("clock", "critical")]
    assert "disk full" in told[0].text


def test_an_empty_token_lets_nobody_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INTERLUDE_TOKEN", raising=False)
    first = private_token(tmp_path)
    assert len(first) > 20 and private_token(tmp_path) == first
    (tmp_path / "token").write_text("")
    with pytest.raises(InterludeError, match="is empty"):
        private_token(tmp_path)
