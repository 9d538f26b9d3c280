import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.errors import InterludeError
from serving.impression_rows import ImpressionRows
from serving.ledger import Ledger
from serving.ledger_cells import cells_in
from serving.ledger_file import NANO, Event, Offer

ONE_USD = 1000.0  # CPM of one impression


def an_offer(id_: int, campaign: int = 0, usd: float = 1.0, user: str = "u") -> Offer:
    return Offer(id_, campaign, user, -1, 0, 0, 0, 0, 1.0, 1.0, 1.0, round(usd * NANO))


def won(bid: int, usd: float, id_: str | None = None) -> Event:
    return Event(id_ or f"{bid}.won", "impression", bid, None, None, 1, usd * ONE_USD)


def cells_of(ledger: Ledger, interval: int, weight: float) -> dict[str, Any]:
    ledger.turn(interval)
    with ledger.reading() as db:
        return cells_in(db, interval, weight, len(ledger.budget))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    found = Ledger(tmp_path)
    found.begin("{}", [2.0, 5.0])
    return found


def test_a_bid_reserves_a_win_settles_and_a_loss_frees(ledger: Ledger) -> None:
    ledger.reserve([an_offer(1, usd=1.5), an_offer(2, campaign=1)])
    assert ledger.free(0) == NANO // 2 and ledger.free(1) == 4 * NANO
    assert ledger.book([won(1, 1.25), Event("b.lost", "loss", 2, None, None)]) == ["accepted"] * 2
    assert (ledger.spent, ledger.reserved) == ([NANO * 5 // 4, 0], [0, 0])
    assert ledger.free(0) == NANO * 3 // 4 and ledger.free(1) == 5 * NANO


def test_an_event_counts_once_whatever_is_sent_again(ledger: Ledger) -> None:
    ledger.reserve([an_offer(1)])
    assert ledger.book([won(1, 0.5), won(1, 0.5)]) == ["accepted", "duplicate"]
    assert ledger.book([won(1, 0.5), won(1, 0.5, "another")]) == ["duplicate", "this bid is settled"]
    assert ledger.spent[0] == NANO // 2


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (won(9, 1.0), "no such bid"),
        (won(1, 1.1), "above the bid"),
        (Event("c", "click", 1, None, None), "no impression"),
        (Event("c", "click", None, None, None), "names no bid"),
        (Event("c", "conversion", None, None, 1), "names no bid"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_no_trace(ledger: Ledger, event: Event, reason: str) -> None:
    ledger.reserve([an_offer(1)])
    assert reason in ledger.book([event])[0]
    assert ledger.spent == [0, 0] and ledger.reserved[0] == NANO


def test_a_reservation_ends_and_a_late_win_takes_only_what_is_free(ledger: Ledger) -> None:
    ledger.reserve([an_offer(1, usd=2.0)])
    assert ledger.expire(now=0.0) == 0
    assert ledger.expire(now=1e12) == 1 and ledger.free(0) == 2 * NANO
    ledger.reserve([an_offer(2, usd=1.5)])
    assert "not free" in ledger.book([won(1, 1.0)])[0]
    assert ledger.book([won(1, 0.5, "cheaper"), won(2, 1.5)]) == ["accepted"] * 2
    assert ledger.spent[0] == 2 * NANO


def test_two_processes_cannot_own_one_ledger(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(InterludeError, match="cannot be opened"):
        Ledger(tmp_path)


def test_what_is_on_file_comes_back(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.begin('{"a": 1}', [2.0])
    ledger.request(5, 1.0)
    ledger.reserve([an_offer(1, usd=0.5), an_offer(2, usd=0.25)])
    ledger.book([won(1, 0.5), Event("c", "complete", 1, None, None, 3)])
    ledger.close_file()
    again = Ledger(tmp_path)
    assert again.brief == '{"a": 1}' and again.spent == [NANO // 2] and again.reserved == [NANO // 4]
    cells = cells_of(again, 0, 1.0)
    assert cells["wins"].sum() == 1 and cells["completions"][0, 0, 0] == 3
    assert cells["opportunities"].ravel()[5] == 1
    again.recount_day(0)
    assert again.impressions_today(0, "u") == 2 and again.day_spent == [NANO // 2]
    assert again.book([won(1, 0.5)]) == ["duplicate"]


def test_readers_are_told_what_listeners_answered_and_what_the_bid_was_told_of_them(ledger: Ledger) -> None:
    cohort = an_offer(1)._replace(listener=3, affinity=1.7, quality=0.5, impressions=250.0)
    single, stranger = cohort._replace(id=2, impressions=1.0), cohort._replace(id=3, listener=-1)
    ledger.reserve([cohort, single, stranger])
    ledger.book([won(offer.id, 1e-3) for offer in (cohort, single, stranger)])
    ledger.book([Event("d", "complete", 1, None, None, 90), Event("e", "click", 1, None, None, 2)])
    with ledger.reading() as db:
        log = ImpressionRows(250.0).of(db, 0, np.array([0.8, 1.0, 1.2]))
    assert (log.listener, log.completions, log.clicks, log.skips) == ([3], [90], [2], [0])
    assert (log.affinity, log.quality, log.attention) == ([1.7], [0.5], [0.8])
    predicted = cells_of(ledger, 0, 250.0)["predicted_won"][0, 0, 0]
    assert predicted == pytest.approx(1.7 * 0.5 * (2 + 1 / 250))


def test_freed_bids_are_forgotten_when_no_notice_of_them_can_come(ledger: Ledger) -> None:
    ids = [ledger.new_id() for _ in range(3)]
    ledger.reserve([an_offer(id_, usd=0.1) for id_ in ids])
    ledger.book([won(ids[0], 0.1), Event("lost", "loss", ids[1], None, None)])
    for interval in range(3):
        ledger.turn(interval)
        while ledger.sweep():
            pass
        known = [row[0] for row in ledger._db.execute("SELECT id FROM bid ORDER BY id")]
        assert known == (ids if interval == 0 else [ids[0], ids[2]])
    assert ledger.totals()[0] == ledger.totals()[1] == [NANO // 10, 0]


def test_a_ledger_of_another_version_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "ledger.sqlite") as old:
        old.execute("CREATE TABLE bid (id TEXT PRIMARY KEY)")
    old.close()
    with pytest.raises(InterludeError, match="of version 1, not 2"):
        Ledger(tmp_path)


def test_budgets_move_between_campaigns_and_not_under_what_is_reserved(ledger: Ledger) -> None:
    before = ledger.left_usd()
    assert ledger.act(0, b"", before, np.array([3.0, 4.0]))
    assert [ledger.left(c) for c in range(2)] == [3 * NANO, 4 * NANO]
    ledger.turn(0)
    ledger.close(0, b"", b"")
    ledger.reserve([an_offer(1, usd=3.0)])
    assert not ledger.act(1, b"", ledger.left_usd(), np.array([2.0, 5.0]))
    assert ledger.left(0) == 3 * NANO


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_order_of_events_spends_more_than_the_budget(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ledger = Ledger(tmp_path_factory.mktemp("ledger"))
    ledger.begin("{}", [1.0])
    known: list[int] = []
    for step in range(data.draw(st.integers(1, 25))):
        action = data.draw(st.sampled_from(["bid", "win", "loss", "expire"]))
        if action == "bid":
            price = min(data.draw(st.integers(1, NANO)), ledger.free(0))
            if price > 0:
                known.append(ledger.new_id())
                ledger.reserve([an_offer(known[-1])._replace(price=price)])
        elif action == "expire":
            ledger.expire(now=1e12)
        elif known:
            bid = data.draw(st.sampled_from(known))
            usd = data.draw(st.floats(0.0, 1.0))
            ledger.book(
                [won(bid, usd, f"e{step}") if action == "win" else Event(f"e{step}", "loss", bid, None, None)]
            )
        assert 0 <= ledger.spent[0] <= ledger.budget[0] and 0 <= ledger.reserved[0]
        assert ledger.spent[0] + ledger.reserved[0] <= ledger.budget[0]
        accounts, impressions = ledger.totals()
        assert accounts == impressions == ledger.spent
    ledger.close_file()
