"""A real client: the simulator plays exchange and listeners against a served team, over HTTP.

Every opportunity is a bid request; what became of its bids is told as events before the next one arrives,
and an interval ends with the platform's report. Nothing hidden is sent.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np

from envs.catalogue import FORMATS, PLACEMENT_FIT, PLACEMENTS, SEGMENTS, VERTICALS
from envs.errors import InterludeError
from envs.exchange import Exchange, Notice, Opportunity
from envs.journeys.identity import JourneyRows
from envs.journeys.settings import CELL_NAMES
from envs.market import Observations, Step
from envs.observation import SCHEMAS
from envs.scenario import Scenario
from envs.state import Float, Int
from policies.policy import policy_seeds
from serving.bidding import arm_of
from serving.journey_rows import MOST
from serving.openrtb import MIMES

_SCREEN: Final = PLACEMENTS.index("on_screen")
_FEED: Final = {PLACEMENTS.index("music_break"): 1, PLACEMENTS.index("podcast_break"): 3}


class Connection:
    """One kept-alive connection to a service."""

    def __init__(self, url: str, token: str = "", timeout_seconds: float = 30.0) -> None:
        """`url` as `http://HOST:PORT`.

        Raises:
            InterludeError: it is no such address.
        """
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise InterludeError(f"{url!r} is no address of a service, such as http://127.0.0.1:8707")
        self.url, self._headers = (
            url,
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        self._http = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=timeout_seconds)

    def call(self, method: str, path: str, body: object = None) -> Any:
        """The JSON answer, or None for 204.

        Raises:
            InterludeError: the service cannot be reached, or refuses.
        """
        data = None if body is None else json.dumps(body).encode()
        try:
            response, content = self._send(method, path, data)
        except (OSError, http.client.HTTPException):  # an idle connection that the service closed
            self._http.close()
            try:
                response, content = self._send(method, path, data)
            except (OSError, http.client.HTTPException) as error:
                self._http.close()
                raise InterludeError(f"{self.url} cannot be reached: {error}") from error
        if response.status >= 400:
            raise InterludeError(
                f"{method} {path}: {response.status} {content[:300].decode(errors='replace')}"
            )
        return json.loads(content) if content else None

    def _send(self, method: str, path: str, data: bytes | None) -> tuple[http.client.HTTPResponse, bytes]:
        self._http.request(method, path, data, self._headers)
        response = self._http.getresponse()
        return response, response.read()

    def close(self) -> None:
        """Closes it."""
        self._http.close()


def bid_request(opportunity: Opportunity, weight: int) -> dict[str, Any]:
    """An opportunity of the simulator in OpenRTB; prices are CPM."""
    p, id_ = opportunity.placement, f"{opportunity.interval}-{opportunity.number}"
    imp: dict[str, Any] = {
        "id": "1",
        "bidfloor": opportunity.reserve_usd / weight * 1000.0,
        "qty": {"multiplier": weight},
        "metric": [
            {"type": "quality", "value": opportunity.quality},
            {"type": "viewability", "value": float(opportunity.visible)},
        ],
        "audio": {"mimes": [MIMES["audio"]], "minduration": 5, "maxduration": 60, "stitched": 1},
    }
    if p != _SCREEN:
        imp["audio"]["feed"] = _FEED[p]
    if opportunity.visible:
        takes = {name: PLACEMENT_FIT[f, p] > 0 for f, name in enumerate(FORMATS)}
        if takes["video"]:
            imp["video"] = {"mimes": [MIMES["video"]], "minduration": 5, "maxduration": 60}
        if takes["display"]:
            imp["banner"] = {"mimes": [MIMES["display"]], "w": 300, "h": 250}
    return {
        "id": id_,
        "at": 2,
        "cur": ["USD"],
        "imp": [imp],
        "user": {
            "id": f"listener-{opportunity.listener}",
            "data": [{"id": "interlude", "segment": [{"id": SEGMENTS[opportunity.segment]}]}],
        },
    }


class HttpBidder:
    """Asks a service for bids, and tells it what became of them."""

    def __init__(self, connection: Connection, names: list[str], weight: int) -> None:
        """Campaigns by name; `weight` impressions to an opportunity."""
        self._connection, self._index, self._weight = connection, {n: c for c, n in enumerate(names)}, weight
        self._bids: dict[int, str] = {}

    def bid(self, opportunity: Opportunity) -> Float:
        """USD [C] for one simulated opportunity."""
        answer = self._connection.call("POST", "/openrtb2/bid", bid_request(opportunity, self._weight))
        offers = np.zeros(len(self._index))
        self._bids = {}
        for seat in [] if answer is None else answer["seatbid"]:
            for bid in seat["bid"]:
                c = self._index[bid["cid"]]
                offers[c] = bid["price"] * self._weight / 1000.0
                self._bids[c] = bid["id"]
        return offers

    def hear(self, opportunity: Opportunity, notices: list[Notice]) -> None:
        """Tells impressions with what they brought, and losses."""
        events: list[dict[str, Any]] = []
        for notice in notices:
            bid = self._bids[notice.campaign]
            if not notice.served:
                events.append({"id": f"{bid}.loss", "type": "loss", "bid": bid})
                continue
            cpm = notice.paid_usd / self._weight * 1000.0
            events.append({"id": f"{bid}.impression", "type": "impression", "bid": bid, "price": cpm})
            for kind, count in (
                ("complete", notice.completions),
                ("skip", notice.skips),
                ("dislike", notice.dislikes),
                ("click", notice.clicks),
            ):
                if count:
                    events.append({"id": f"{bid}.{kind}", "type": kind, "bid": bid, "count": count})
        if events:
            self._tell(events)

    def convert(self, interval: int, conversions: Float) -> None:
        """Tells the conversions [C, S] that an interval reported."""
        events = [
            {
                "id": f"conversion-{interval}-{c}-{s}",
                "type": "conversion",
                "campaign": name,
                "segment": s,
                "count": float(conversions[c, s]),
            }
            for name, c in self._index.items()
            for s in range(conversions.shape[1])
            if conversions[c, s] > 0
        ]
        if events:
            self._tell(events)

    def journeys(self, rows: list[JourneyRows]) -> None:
        """Tells what became known of every campaign's journeys."""
        for name, c in self._index.items():
            touches = zip(*(column.tolist() for column in rows[c][:5]), strict=True)
            bought = zip(rows[c].buyer.tolist(), rows[c].bought_hour.tolist(), strict=True)
            met = [
                {"journey": who, "cell": CELL_NAMES[cell], "hour": hour, "clicked": click, "held_out": ghost}
                for who, cell, hour, click, ghost in touches
            ]
            purchases = [{"journey": who, "hour": hour} for who, hour in bought]
            for first in range(0, max(len(met), len(purchases)), MOST):
                part = slice(first, first + MOST)
                body = {"campaign": name, "touches": met[part], "purchases": purchases[part]}
                self._connection.call("POST", "/journeys", body)

    def _tell(self, events: list[dict[str, Any]]) -> None:
        answer = self._connection.call("POST", "/events", {"events": events})
        if answer["refused"]:
            raise InterludeError(f"the service refused an event: {answer['refused'][0]}")


def flight_brief(exchange: Exchange, observations: Observations, *, order: bool = False) -> dict[str, Any]:
    """What a service may know of a market that was just reset, as `POST /flights` takes it.

    With the `order` of listeners' last plays for an audience that reads it (`Team.reads_order`).
    """
    m, seed = exchange.parameters, int(exchange.seeds[0])
    listening = exchange.listening(order=order)
    recent = None if listening.recent is None else listening.recent[0]
    return {
        "id": f"market-{seed:016x}"[-24:],
        "campaigns": [
            {
                "name": f"campaign-{c}",
                "vertical": VERTICALS[int(m.vertical[0, c])],
                "budget_usd": float(m.budget_usd[0, c]),
                "affinity_hint": m.affinity_hint[0, c].tolist(),
            }
            for c in range(exchange.num_campaigns)
        ],
        "listeners": [
            {
                "id": f"listener-{i}",
                "segment": int(listening.segment[0, i]),
                "plays": {int(k): int(plays[k]) for k in np.flatnonzero(plays)},
                **({} if recent is None else {"recent": recent[i][recent[i] >= 0].tolist()}),
            }
            for i, plays in enumerate(listening.plays[0])
        ],
        "attention": m.attention[0].tolist(),
        "event_interval": int(m.event_interval[0]),
        "policy_seed": int(policy_seeds(exchange.seeds)[0]),
        "report": {"health": [1.0] * len(SEGMENTS), "recall_survey": _survey(observations)},
        "journeys": exchange.journeys is not None,
    }


def report_of(step: Step) -> dict[str, Any]:
    """What the platform measured in an interval."""
    out = step.outcome
    names = ("fatigue", "frequency", "recent_exposure", "price_usd", "priced")
    return {
        "health": out.health[0].tolist(),
        "recall_survey": _survey(step.observations),
        **{name: getattr(out, name)[0].tolist() for name in names},
    }


def _survey(observations: Observations) -> list[list[float]]:
    rows: list[list[float]] = SCHEMAS["bidding"].view(observations.bidding, "recall_survey")[0].tolist()
    return rows


def play_over_http(
    connection: Connection, exchange: Exchange, seed: np.uint64, *, order: bool = False
) -> tuple[float, dict[str, int]]:
    """One market's flight by a served team: its objective in USD, how often stand-ins answered by role.

    `order` as for `flight_brief`.
    """
    observations = exchange.reset(np.array([seed], np.uint64))
    brief = flight_brief(exchange, observations, order=order)
    state = connection.call("POST", "/flights", brief)
    names = [campaign["name"] for campaign in brief["campaigns"]]
    bidder = HttpBidder(connection, names, exchange.scenario.impression_weight)
    objective_usd = 0.0
    for interval in range(exchange.scenario.intervals):
        hold_out = np.array([campaign["hold_out"] for campaign in state["campaigns"]])
        step = exchange.play(bidder, _aired(state), hold_out)
        objective_usd += float(step.rewards.team[0])
        bidder.convert(interval, step.outcome.conversions[0])
        if exchange.journeys is not None:
            bidder.journeys(exchange.told())
        state = connection.call("POST", "/intervals", {"interval": interval, "report": report_of(step)})
    return objective_usd, state["stand_ins"]


def _aired(state: Mapping[str, Any]) -> Int:
    """[C, S] the creatives that a service says are on air."""
    return np.array(
        [[arm_of(c["creatives"][name]) for name in SEGMENTS] for c in state["campaigns"]], np.int64
    )


def served_scenario(connection: Connection) -> Scenario:
    """The scenario that a served team was trained in."""
    return Scenario.model_validate(connection.call("GET", "/scenario"))


__all__ = ["Connection", "HttpBidder", "bid_request", "flight_brief", "play_over_http", "served_scenario"]
