"""Single impressions teach what a row of them teaches."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.asgi import Client, a_bundle, listeners

from serving.impression_rows import ANSWERS, ImpressionRows
from serving.ledger import Ledger
from serving.ledger_file import NANO, Event, Offer

WEIGHT = 250
ATTENTION = np.array([0.8, 1.0, 1.2])


class Book:
    """Impressions as they come, in a ledger with money enough."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self.sent = ledger, 0

    def show(self, impressions: float, listener: int = 3, arm: int = 7, **levels: float) -> int:
        bid, told = self.ledger.new_id(), {"quality": 1.0, "affinity": 1.0, **levels}
        offer = Offer(bid, 0, "u", listener, 1, 0, arm, 0, told["quality"], told["affinity"], impressions, 1)
        self.ledger.reserve([offer])
        self.ledger.book([Event(f"won {bid}", "impression", bid, None, None)])
        return bid

    def tell(self, bid: int, kind: str, count: int = 1) -> None:
        self.sent += 1
        assert self.ledger.book([Event(f"told {self.sent}", kind, bid, None, None, count)]) == ["accepted"]


@pytest.fixture
def book(tmp_path: Path) -> Book:
    ledger = Ledger(tmp_path)
    ledger.begin("{}", [1e6])
    return Book(ledger)


def rows_of(book: Book, rows: ImpressionRows, interval: int) -> Any:
    book.ledger.turn(interval)
    with book.ledger.reading() as db:
        return rows.of(db, interval, ATTENTION)


def test_a_bid_of_the_weight_is_a_row_and_others_are_gathered_over_intervals(book: Book) -> None:
    rows = ImpressionRows(WEIGHT)
    book.tell(book.show(WEIGHT, quality=1.5), "complete", 200)
    for _ in range(100):
        book.tell(book.show(1.0), "complete")
    first = rows_of(book, rows, 0)
    assert (first.completions, first.quality) == ([200], [1.5])
    late = book.show(1.0, affinity=2.0)
    for _ in range(149):
        book.tell(book.show(1.0, affinity=2.0), "skip")
    book.show(200.0, listener=4)
    second = rows_of(book, rows, 1)
    assert (second.listener, second.completions, second.skips) == ([3], [100], [149])
    assert second.affinity == pytest.approx([(100 + 150 * 2.0) / 250])
    assert second.attention == pytest.approx([0.8])
    book.tell(late, "skip")  # told when its row is gone: it belongs to the next one
    book.show(249.0)
    third = rows_of(book, rows, 2)
    assert len(third.listener) == 0
    book.show(1.0)
    assert rows_of(book, rows, 3).skips == [1]


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_no_answer_is_lost_and_no_row_has_more_than_its_weight(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ledger = Ledger(tmp_path_factory.mktemp("ledger"))
    ledger.begin("{}", [1e6])
    book, rows = Book(ledger), ImpressionRows(WEIGHT)
    shown, told, found = 0.0, np.zeros(4), []
    for interval in range(3):
        for _ in range(data.draw(st.integers(0, 8))):
            size = data.draw(st.sampled_from([1.0, 3.5, 100.0, 250.0, 900.0]))
            bid = book.show(size)
            count = data.draw(st.integers(0, int(size)))
            kind = data.draw(st.sampled_from(ANSWERS))
            book.tell(bid, kind, count) if count else None
            shown += size
            told[ANSWERS.index(kind)] += count
        log = rows_of(book, rows, interval)
        found += np.transpose([log.completions, log.skips, log.dislikes, log.clicks]).tolist()
    left, answers = 0.0, np.zeros(4)
    for gathered in rows._waiting.values():
        left, answers = gathered.impressions, gathered.answers
    assert len(found) * WEIGHT + left == pytest.approx(shown, abs=0.5 * max(1, len(found)))
    assert np.sum(found, 0) + answers == pytest.approx(told)
    assert not found or (0 <= np.min(found) and np.max(found) <= WEIGHT)
    ledger.close_file()


def taught(folder: Path, parts: int) -> Client:
    """A served team that was shown the same answers, each row of them in so many impressions."""
    bundle, draw = a_bundle(folder.parent), np.random.default_rng(1)
    client = Client(folder, bundle=bundle, deadline_seconds=60.0)
    campaigns = [{"name": f"c{c}", "vertical": "retail", "budget_usd": 1e6} for c in range(2)]
    brief = {"id": "taught", "campaigns": campaigns, "listeners": listeners()}
    assert client("POST", "/flights", brief).status == 200
    service = client.service
    assert not service.notices.failures, service.notices.alerts
    for interval in range(3):
        for pair in np.sort(draw.choice(64, 12, replace=False)):  # rows are read in order
            c, i = divmod(int(pair), 32)
            arm = int(service.market.aired[0, c, 4 * i // 32])
            completions, skips = int(draw.integers(100, 200)), int(draw.integers(0, 50))
            price = NANO // parts
            for part in range(parts):
                bid = service.ledger.new_id()
                levels = (1.0, 1.0, WEIGHT / parts, price)
                service.ledger.reserve([Offer(bid, c, "u", i, 4 * i // 32, 0, arm, 0, *levels)])
                cpm = price / NANO * 1000.0 / (WEIGHT / parts)
                events = [Event(f"{bid}i", "impression", bid, None, None, 1, cpm)]
                for kind, count in (("complete", completions), ("skip", skips)):
                    mine = count * (part + 1) // parts - count * part // parts
                    events += [Event(f"{bid}{kind}", kind, bid, None, None, mine)] * (mine > 0)
                assert set(service.book(events)) == {"accepted"}
        assert client("POST", "/intervals", {"interval": interval}).status == 200
    return client


def test_a_served_team_learns_the_same_of_single_impressions(tmp_path: Path) -> None:
    together, apart = taught(tmp_path / "one", 1), taught(tmp_path / "each", WEIGHT)
    here, there = together.service, apart.service
    one, other = here.market.controls, there.market.controls
    for service in (here, there):
        logs = [seen.impressions for seen in service.history.deliveries[1:]]
        assert [len(log.listener) for log in logs if log] == [12] * 3
    for name in one._fields:
        a, b = getattr(one, name), getattr(other, name)
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9, err_msg=name)
    table = one.predicted_affinity[0]
    assert np.std(table / table.mean(1, keepdims=True)) > 0.01  # it did learn of listeners
    for client in (together, apart):
        client.close()
