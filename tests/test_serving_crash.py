"""A service that is killed, again and again, under load: nothing is lost, nothing counts twice."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import pytest
from support.asgi import a_bundle, a_request

from envs.errors import InterludeError
from serving.client import Connection
from serving.ledger import Ledger
from serving.ledger_file import NANO
from serving.load_test import served


class Load:
    """A client that bids and settles until the service is gone, and books what was acknowledged."""

    def __init__(
        self, url: str, token: str, wins: dict[str, tuple[int, int]], doubtful: dict[str, Any], seed: int
    ) -> None:
        self.url, self.token, self.wins, self.doubtful = url, token, wins, doubtful
        self.draw = random.Random(seed)
        self.requests = 0

    def __call__(self) -> None:
        connection = Connection(self.url, self.token, timeout_seconds=20.0)
        try:
            for event in list(self.doubtful.values()):  # unanswered when the last one died: sent again
                self.tell(connection, event)
            while True:
                request = a_request(user=f"u{self.draw.randrange(10**6)}", qty={"multiplier": 250})
                answer = connection.call("POST", "/openrtb2/bid", request)
                self.requests += 1
                for seat in [] if answer is None else answer["seatbid"]:
                    bid = seat["bid"][0]
                    if self.draw.random() < 0.8:
                        price = bid["price"] * self.draw.uniform(0.5, 1.0)
                        self.tell(
                            connection,
                            {"id": f"{bid['id']}.i", "type": "impression", "bid": bid["id"], "price": price},
                        )
        except (InterludeError, OSError):
            return

    def tell(self, connection: Connection, event: dict[str, Any]) -> None:
        self.doubtful[event["id"]] = event
        answer = connection.call("POST", "/events", {"events": [event]})
        del self.doubtful[event["id"]]
        if not answer["refused"]:
            self.wins[event["id"]] = (0, round(event["price"] / 1000.0 * 250 * NANO))


def kill_again_and_again(folder: Path, times: int, seconds: float) -> None:
    wins: dict[str, tuple[int, int]] = {}
    doubtful: dict[str, Any] = {}
    draw, requests = random.Random(0), 0
    for life in range(times):
        with served(a_bundle(folder), folder=folder) as (url, token, _):
            load = Load(url, token, wins, doubtful, life)
            thread = threading.Thread(target=load)
            thread.start()
            thread.join(draw.uniform(0.3, 1.0) * seconds)
        # the block's end killed the service, whatever it was doing
        thread.join(60)
        assert not thread.is_alive()
        requests += load.requests
    ledger = Ledger(folder)
    accounts, impressions = ledger.totals()
    assert accounts == impressions
    assert all(spent <= budget for spent, budget in zip(ledger.spent, ledger.budget, strict=True))
    booked = {row[0] for row in ledger._db.execute("SELECT id FROM event WHERE kind = 'impression'")}
    assert set(wins) <= booked <= set(wins) | set(doubtful)
    acknowledged = sum(paid for _, paid in wins.values())
    maybe = sum(round(event["price"] / 4.0 * NANO) for event in doubtful.values())
    assert acknowledged - len(wins) <= sum(accounts) <= acknowledged + maybe + len(wins)  # a nano-USD a win
    assert requests and wins
    ledger.close_file()


def test_what_was_acknowledged_is_on_file_after_kill_9(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path, times=3, seconds=1.5)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_hundred_kills_lose_nothing(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path, times=100, seconds=2.0)
