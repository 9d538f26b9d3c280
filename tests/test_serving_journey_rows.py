"""Journeys that are told: each touch once, by interval, for attribution; a restart forgets nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.asgi import Client
from support.runs import exported

from envs.exchange import Exchange, Notice, Opportunity
from envs.journeys.feed import ToldFeed
from envs.journeys.settings import CELL_NAMES, JourneySettings
from envs.market import INITIAL_ARM
from envs.seeds import market_seeds
from serving.brief import FlightBrief, example_brief

MODEL = "linear"


@pytest.fixture
def client(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    bundle = exported(tmp_path_factory.getbasetemp(), attribution=MODEL)[1]
    found = Client(tmp_path / "ledger", bundle=bundle)
    yield found
    found.close()


def a_flight(client: Client, **more: Any) -> FlightBrief:
    brief = example_brief(client.service.bundle.scenario).model_copy(update=more)
    client("POST", "/flights", brief.model_dump_json().encode())
    return brief


def touches(*hours: float, journey: int = 7, **more: Any) -> list[dict[str, Any]]:
    return [{"journey": journey, "cell": "podcast_break audio", "hour": hour, **more} for hour in hours]


def told(client: Client, **more: Any) -> Any:
    body = {"campaign": "campaign-0", **more}
    return client("POST", "/journeys", body)


def test_what_is_told_again_counts_once_and_a_restart_forgets_nothing(client: Client) -> None:
    a_flight(client, journeys=True)
    assert told(client, touches=touches(1.0, 2.0), purchases=[{"journey": 7, "hour": 3.0}]).json == {
        "accepted": 3
    }
    assert told(client, touches=touches(2.0, 3.5), purchases=[{"journey": 7, "hour": 9.0}]).json == {
        "accepted": 1
    }
    client("POST", "/intervals", {"interval": 0})
    told(client, touches=touches(9.0, journey=8, held_out=True))
    client("POST", "/intervals", {"interval": 1})
    kept = [delivery.journeys for delivery in client.service.history.deliveries]
    assert [[len(rows.journey) for rows in each] for each in kept[1:]] == [[3, 0], [1, 0]]
    (first, _), (second, _) = kept[1:]
    assert first.bought_hour.tolist() == [3.0]
    assert first.cell.tolist() == [CELL_NAMES.index("podcast_break audio")] * 3
    assert second.held_out.tolist() == [True]
    client.run(client.service.start())
    again = [delivery.journeys for delivery in client.service.history.deliveries]
    for before, after in zip(kept[1:], again[1:], strict=True):
        for rows, same in zip(before, after, strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(rows, same, strict=True))


def test_attribution_speaks_of_what_was_told_and_everybody_hears_it(client: Client) -> None:
    a_flight(client, journeys=True)
    for t in range(11):
        told(
            client,
            touches=[one for n in range(20) for one in touches(8.0 * t + 1.0, journey=100 * t + n)],
            purchases=[{"journey": 100 * t + n, "hour": 8.0 * t + 2.0} for n in range(5)],
        )
        client("POST", "/intervals", {"interval": t})
    state = client("GET", "/campaigns").json
    assert state["attribution"] == MODEL and not state["stand_ins"]
    credit = client.service.market.board.credit
    assert credit is not None
    assert credit.touches[0, 0].any() and not credit.touches[0, 1].any()
    assert np.argmax(credit.conversions_per_touch[0, 0]) == CELL_NAMES.index("podcast_break audio")
    assert client("GET", "/roles").json.keys() >= {"attribution", "bidding"}


def test_a_flight_without_journeys_is_played_without_attribution_and_says_so(client: Client) -> None:
    a_flight(client)
    client("POST", "/intervals", {"interval": 0})
    state = client("GET", "/campaigns").json
    assert state["attribution"] is None and not state["stand_ins"]
    assert any("tells no journeys" in alert["text"] for alert in client("GET", "/alerts").json)
    refused = told(client, touches=touches(1.0))
    assert refused.status == 409 and "tells no journeys" in refused.json["error"]


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({"campaign": "nobody"}, 409, "campaign-0"),
        ({"touches": touches(-1.0)}, 400, "hour"),
        ({"touches": touches(1.0, cell="podcast_brake audio")}, 400, "did you mean 'podcast_break audio'"),
        ({"purchases": [{"journey": -1, "hour": 1.0}]}, 400, "journey"),
        ({"touches": touches(*range(1025))}, 400, "touches"),
    ],
)
def test_what_cannot_be_is_refused(client: Client, body: dict[str, Any], status: int, word: str) -> None:
    a_flight(client, journeys=True)
    answer = told(client, **body)
    assert answer.status == status and word in answer.json["error"]


class _Nobody:
    """Bids a little for everything."""

    def bid(self, opportunity: Opportunity) -> Any:
        return np.full(2, 5.0)

    def hear(self, opportunity: Opportunity, notices: list[Notice]) -> None:
        pass


def test_what_an_exchange_tells_bit_by_bit_is_what_is_known_at_the_end(client: Client) -> None:
    settings = JourneySettings(people=64, conversions_per_purchase=500.0, organic=0.5)
    scenario = client.service.bundle.scenario.model_copy(update={"journeys": settings})
    exchange = Exchange(scenario)
    exchange.reset(market_seeds("development", 0, 0, 1))
    feed = ToldFeed(scenario, 2)
    for t in range(scenario.intervals):
        exchange.play(_Nobody(), np.full((2, 4), INITIAL_ARM), np.array([0.0, 0.3]))
        feed.hear(exchange.told(), (t + 1) * scenario.hours_per_interval)
    assert exchange.journeys is not None
    (market,) = exchange.journeys.markets
    for c in range(2):
        there, heard = market.observed(c), feed.journeys(0, c)
        assert len(there.cell) > 100 and np.isfinite(there.conversion_hour).any()
        for name in ("offset", "cell", "hour", "clicked", "held_out", "conversion_hour", "value_usd"):
            np.testing.assert_array_equal(getattr(there, name), getattr(heard, name))
    assert not market.observed(0).held_out.any() and market.observed(1).held_out.any()
