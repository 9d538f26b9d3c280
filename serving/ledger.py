"""The ledger: what was bid, reserved, bought and told, in SQLite; survives kill -9 with nothing lost.

Money is whole nano-USD, so that sums are exact. A bid reserves its price; an impression settles it; a loss
or the reservation's end frees it. Every event has an id and counts once. A write is on file before it is
acknowledged (write-ahead log: safe when the process dies; at a power cut the last moments may be lost, never
its consistency). One process owns a ledger.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.impressions import ImpressionLog
from envs.state import Float
from serving.ledger_file import FREED, NANO, OPEN, SETTLED, Event, Offer, Played, open_file
from serving.ledger_intervals import cells_in, impressions_in


class Ledger:
    """Opened on a folder; `begin` starts its flight, unless it holds one."""

    def __init__(self, folder: str | Path, *, reservation_seconds: float = 60.0) -> None:
        """Opens or makes the ledger.

        Raises:
            InterludeError: another process holds it, or the folder cannot be written.
        """
        self._db = open_file(Path(folder))
        self.reservation_seconds = reservation_seconds
        self._lock = threading.RLock()
        self._waiting: dict[tuple[int, int], float] = defaultdict(float)  # requests not on file yet
        self._load()

    def _load(self) -> None:
        """Mirrors what the bid path asks for: money and frequencies."""
        db = self._db
        rows = db.execute("SELECT budget, spent FROM account ORDER BY campaign").fetchall()
        self.budget = [int(row[0]) for row in rows]
        self.spent = [int(row[1]) for row in rows]
        self.reserved = [0] * len(rows)
        self.interval = int(
            db.execute("SELECT count(*) FROM interval WHERE outcome IS NOT NULL").fetchone()[0]
        )
        self.day_start, self.day_spent = 0, [0] * len(rows)
        self._today: dict[tuple[int, str], int] = defaultdict(int)
        self._open: dict[str, tuple[int, str, int, float]] = {}  # campaign, user, price, expiry
        for id_, c, user, price, expires in db.execute(
            "SELECT id, campaign, user, price, expires FROM bid WHERE state = 0 ORDER BY rowid"
        ):
            self._open[id_] = (c, user, price, expires)
            self.reserved[c] += price
            self._today[c, user] += 1

    @property
    def brief(self) -> str | None:
        """JSON of the flight on file, or None."""
        row = self._db.execute("SELECT brief FROM flight").fetchone()
        return None if row is None else str(row[0])

    def begin(self, brief: str, budgets_usd: Sequence[float]) -> None:
        """Forgets the flight on file and begins another."""
        with self._writing() as db:
            for table in ("flight", "account", "bid", "event", "request", "interval"):
                db.execute(f"DELETE FROM {table}")
            db.execute("INSERT INTO flight VALUES (1, ?)", (brief,))
            rows = [(c, round(usd * NANO), 0) for c, usd in enumerate(budgets_usd)]
            db.executemany("INSERT INTO account VALUES (?, ?, ?)", rows)
        self._waiting.clear()
        self._load()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise

    # Money.

    def left(self, campaign: int) -> int:
        """Nano-USD not yet spent."""
        return self.budget[campaign] - self.spent[campaign]

    def free(self, campaign: int, daily_cap: float = float("inf")) -> int:
        """Nano-USD that may be bid now: neither spent nor reserved, within the day's cap (nano-USD)."""
        reserved = self.reserved[campaign]
        today = daily_cap - self.day_spent[campaign] - reserved
        return int(max(0, min(self.left(campaign) - reserved, today)))

    def left_usd(self) -> Float:
        """[C] USD not yet spent."""
        return np.array([self.left(c) / NANO for c in range(len(self.budget))])

    def impressions_today(self, campaign: int, user: str) -> int:
        """Impressions of a campaign that a listener was served today, reserved ones among them."""
        return self._today.get((campaign, user), 0)

    # Bids.

    def request(self, cell: int, amount: float) -> None:
        """Counts opportunities of a cell (segment × placement); on file with the next bid or event."""
        self._waiting[self.interval, cell] += amount

    def reserve(self, offers: Sequence[Offer]) -> None:
        """Reserves the prices of bids, all or none."""
        expires, t = time.time() + self.reservation_seconds, self.interval
        with self._lock:
            with self._writing() as db:
                db.executemany(
                    "INSERT INTO bid VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,0,0,NULL)",
                    [(*offer, t, expires) for offer in offers],
                )
                self._file_requests(db)
            for offer in offers:
                self.reserved[offer.campaign] += offer.price
                self._today[offer.campaign, offer.user] += 1
                self._open[offer.id] = (offer.campaign, offer.user, offer.price, expires)

    def _file_requests(self, db: sqlite3.Connection) -> None:
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, defaultdict(float)
        db.executemany(
            "INSERT INTO request VALUES (?, ?, ?) "
            "ON CONFLICT DO UPDATE SET amount = amount + excluded.amount",
            [(t, cell, amount) for (t, cell), amount in waiting.items()],
        )

    def expire(self, now: float | None = None) -> int:
        """Frees reservations whose time is over; gives how many."""
        moment = time.time() if now is None else now
        with self._lock:
            over = []
            for id_, held in self._open.items():  # in order of their expiry
                if held[3] > moment:
                    break
                over.append(id_)
            if over:
                with self._writing() as db:
                    db.executemany("UPDATE bid SET state = 2 WHERE id = ?", [(id_,) for id_ in over])
                for id_ in over:
                    self._release(id_)
            return len(over)

    def _release(self, id_: str, *, served: bool = False) -> None:
        c, user, price, _ = self._open.pop(id_)
        self.reserved[c] -= price
        if not served:
            self._today[c, user] -= 1

    # Events.

    def book(self, events: Iterable[Event]) -> list[str]:
        """Books events in order, all that can be in one write.

        Returns:
            For each `accepted`, `duplicate` (it was booked before), or why it was refused.
        """
        answers: list[str] = []
        after: list[Callable[[], None]] = []
        spent = [0] * len(self.spent)
        with self._lock:
            with self._writing() as db:
                for event in events:
                    answers.append(self._book_one(db, event, spent, after))
                self._file_requests(db)
            for step in after:
                step()
        return answers

    def _book_one(
        self,
        db: sqlite3.Connection,
        event: Event,
        spent: list[int],
        after: list[Callable[[], None]],
    ) -> str:
        if db.execute("SELECT 1 FROM event WHERE id = ?", (event.id,)).fetchone():
            return "duplicate"
        campaign, segment = event.campaign, event.segment
        if event.bid is not None:
            row = db.execute(
                "SELECT campaign, segment, price, state, user, impressions FROM bid WHERE id = ?",
                (event.bid,),
            ).fetchone()
            if row is None:
                return "no such bid"
            campaign, segment, price, state, user, impressions = row
            paid = round(event.cpm_usd / 1000.0 * impressions * NANO)
            if event.kind == "impression":
                if state == SETTLED:
                    return "this bid is settled"
                if paid > price + 1:  # a nano-USD of rounding
                    return "the price paid is above the bid"
                paid = min(paid, price)
                held = price if state == OPEN else 0
                room = self.left(campaign) - spent[campaign] - self.reserved[campaign] + held
                if state == FREED and paid > room:
                    return "its reservation is over and the budget is not free"
                spent[campaign] += paid
                db.execute(
                    "UPDATE bid SET state = 1, paid = ?, won = ? WHERE id = ?",
                    (paid, self.interval, event.bid),
                )
                db.execute("UPDATE account SET spent = spent + ? WHERE campaign = ?", (paid, campaign))
                after.append(lambda: self._settle(event.bid or "", campaign, user, paid))
            elif event.kind == "loss":
                if state == SETTLED:
                    return "this bid is settled"
                if state == OPEN:
                    db.execute("UPDATE bid SET state = 2 WHERE id = ?", (event.bid,))
                    after.append(lambda: self._release(event.bid or ""))
            elif state != SETTLED:
                return "this bid has no impression"
        elif event.kind != "conversion" or campaign is None or segment is None:
            return "names no bid"
        db.execute(
            "INSERT INTO event VALUES (?,?,?,?,?,?,?)",
            (event.id, event.kind, event.bid, campaign, segment, event.amount, self.interval),
        )
        return "accepted"

    def _settle(self, id_: str, campaign: int, user: str, paid: int) -> None:
        if id_ in self._open:
            self._release(id_, served=True)
        else:
            self._today[campaign, user] += 1
        self.spent[campaign] += paid
        self.day_spent[campaign] += paid

    # Intervals.

    def new_day(self) -> None:
        """Frequencies and daily caps begin anew; what is reserved counts."""
        with self._lock:
            self._today.clear()
            for c, user, _, _ in self._open.values():
                self._today[c, user] += 1
            self.day_spent = [0] * len(self.spent)

    def recount_day(self, first_interval: int) -> None:
        """Today's frequencies and spend from the file, as after a restart."""
        self.new_day()
        for c, user, paid in self._db.execute(
            "SELECT campaign, user, paid FROM bid WHERE won >= ?", (first_interval,)
        ):
            self._today[c, user] += 1
            self.day_spent[c] += paid

    def cells(self, interval: int, weight: float) -> dict[str, NDArray[Any]]:
        """What an interval brought; see `cells_in`."""
        with self._lock:
            found = cells_in(self._db, interval, weight, len(self.budget))
            for (t, at), amount in self._waiting.items():
                if t == interval:
                    found["opportunities"].reshape(-1)[at] += amount
        return found

    def impressions(self, interval: int, attention: Float, weight: float) -> ImpressionLog:
        """Impressions of an interval; see `impressions_in`."""
        with self._lock:
            return impressions_in(self._db, interval, attention, weight)

    def act(self, number: int, actions: bytes, before_usd: Float, left_usd: Float) -> bool:
        """Keeps what agents do in an interval, and moves budgets as their directive says.

        Args:
            number: of the interval.
            actions: as bytes.
            before_usd: [C] what was left of budgets before, as the agents were told.
            left_usd: [C] what is to be left now. The total stays to the nano-USD.

        Returns:
            False where a reservation stood in the way, and budgets stay.
        """
        with self._lock:
            campaigns = range(len(self.budget))
            moved = [round((float(left_usd[c]) - float(before_usd[c])) * NANO) for c in campaigns]
            moved[-1] -= sum(moved)
            possible = all(self.left(c) + moved[c] >= self.reserved[c] for c in campaigns)
            budgets = [self.budget[c] + moved[c] * possible for c in campaigns]
            with self._writing() as db:
                row = (number, actions, before_usd.tobytes())
                db.execute("INSERT INTO interval VALUES (?, ?, ?, NULL, NULL)", row)
                rows = [(usd, c) for c, usd in enumerate(budgets)]
                db.executemany("UPDATE account SET budget = ? WHERE campaign = ?", rows)
            self.budget = budgets
            return possible

    def close(self, number: int, outcome: bytes, left_after: bytes) -> None:
        """Keeps what an interval brought; what comes from now on belongs to the next."""
        with self._lock:
            with self._writing() as db:
                self._file_requests(db)
                db.execute(
                    "UPDATE interval SET outcome = ?, left_after = ? WHERE number = ?",
                    (outcome, left_after, number),
                )
                db.execute("DELETE FROM bid WHERE state = 2 AND interval < ?", (number - 1,))
            self.interval = number + 1

    def played(self) -> list[Played]:
        """All intervals on file, in order."""
        rows = self._db.execute(
            "SELECT actions, left_before, outcome, left_after FROM interval ORDER BY number"
        ).fetchall()
        return [Played(*row) for row in rows]

    def totals(self) -> tuple[list[int], list[int]]:
        """Nano-USD spent by campaign twice: by the accounts, and as the sum of impressions on file."""
        accounts = [int(r[0]) for r in self._db.execute("SELECT spent FROM account ORDER BY campaign")]
        found = dict(
            self._db.execute("SELECT campaign, sum(paid) FROM bid WHERE state = 1 GROUP BY campaign")
        )
        return accounts, [int(found.get(c, 0)) for c in range(len(accounts))]

    def close_file(self) -> None:
        """Closes the file; nothing is lost without it."""
        with self._lock:
            self._db.close()
