"""The ledger: what was bid, reserved, bought and told, in SQLite; survives kill -9 with nothing lost.

A bid reserves its price; an impression settles it; a loss or the reservation's end frees it. Every event has
an id and counts once. A write is on file before it is acknowledged (write-ahead log: safe when the process
dies; at a power cut the last moments may be lost, never its consistency). One process owns a ledger, and one
thread of it writes: between a look at what is free and its reservation nothing else can happen. What an
interval brought is read by a connection of its own.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from envs.state import Float
from serving.accounts import Accounts, Reservation
from serving.journey_rows import JourneysTold, keep
from serving.ledger_file import FREED, NANO, OPEN, SETTLED, Event, Offer, Played, open_file

AT_ONCE: Final = 256
"""Rows that housekeeping changes before bids have their turn."""


class Ledger(Accounts):
    """Opened on a folder; `begin` starts its flight, unless it holds one."""

    def __init__(self, folder: str | Path, *, reservation_seconds: float = 60.0) -> None:
        """Opens or makes the ledger.

        Raises:
            InterludeError: another process holds it, or the folder cannot be written.
        """
        self._file = open_file(Path(folder))
        self._db = self._file.writer
        self._reading = threading.Lock()
        self.reservation_seconds = reservation_seconds
        self._waiting: dict[tuple[int, int], float] = defaultdict(float)  # requests not on file yet
        self._number = 0
        self._load()

    def _load(self) -> None:
        """Mirrors what the bid path asks for: money and frequencies."""
        db = self._db
        rows = db.execute("SELECT budget, spent FROM account ORDER BY campaign").fetchall()
        self.open_accounts([int(row[0]) for row in rows], [int(row[1]) for row in rows])
        for bid, *held in db.execute(
            "SELECT id, campaign, user, price, expires FROM bid WHERE state = 0 ORDER BY id"
        ):
            self._hold(bid, Reservation(*held))
        closed = db.execute("SELECT count(*) FROM interval WHERE outcome IS NOT NULL").fetchone()
        self.interval = int(closed[0])
        (last,) = db.execute("SELECT max(id) FROM bid").fetchone()
        # From the clock: so no number comes twice, not even of a bid that is long forgotten.
        self._number = max(self._number, time.time_ns() // 1000, last or 0)
        self._swept, self._turns = 0, deque([0], maxlen=2)

    @property
    def brief(self) -> str | None:
        """JSON of the flight on file, or None."""
        row = self._db.execute("SELECT brief FROM flight").fetchone()
        return None if row is None else str(row[0])

    def begin(self, brief: str, budgets_usd: Sequence[float]) -> None:
        """Forgets the flight on file and begins another."""
        with self._writing() as db:
            for table in ("flight", "account", "bid", "event", "request", "interval", "touch", "purchase"):
                db.execute(f"DELETE FROM {table}")
            db.execute("INSERT INTO flight VALUES (1, ?)", (brief,))
            rows = [(c, round(usd * NANO), 0) for c, usd in enumerate(budgets_usd)]
            db.executemany("INSERT INTO account VALUES (?, ?, ?)", rows)
        self._waiting.clear()
        self._load()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise

    # Bids.

    def new_id(self) -> int:
        """A bid's number; later ones are larger."""
        self._number += 1
        return self._number

    def request(self, cell: int, amount: float) -> None:
        """Counts opportunities of a cell (segment × placement); on file with the next event or `expire`."""
        self._waiting[self.interval, cell] += amount

    def reserve(self, offers: Sequence[Offer]) -> None:
        """Reserves the prices of bids, all or none."""
        expires = time.time() + self.reservation_seconds
        with self._writing() as db:
            db.executemany(
                "INSERT INTO bid VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,0,0,NULL)",
                [(*offer, expires) for offer in offers],
            )
        for offer in offers:
            self._hold(offer.id, Reservation(offer.campaign, offer.user, offer.price, expires))

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
        """Files requests, and frees reservations whose time is over, `AT_ONCE` of them; gives how many."""
        moment = time.time() if now is None else now
        over: list[int] = []
        for id_, held in self._open.items():  # in order of their expiry
            if held.expires > moment or len(over) == AT_ONCE:
                break
            over.append(id_)
        if over or self._waiting:
            with self._writing() as db:
                self._file_requests(db)
                db.executemany("UPDATE bid SET state = 2 WHERE id = ?", [(id_,) for id_ in over])
            for id_ in over:
                self._release(id_)
        return len(over)

    def sweep(self) -> int:
        """Forgets bids freed two intervals ago; looks at `AT_ONCE` bids, and gives at how many."""
        rows = self._db.execute(
            "SELECT id, state FROM bid WHERE id > ? AND id <= ? ORDER BY id LIMIT ?",
            (self._swept, self._turns[0], AT_ONCE),
        ).fetchall()
        if rows:
            with self._writing() as db:
                freed = [(id_,) for id_, state in rows if state == FREED]
                db.executemany("DELETE FROM bid WHERE id = ?", freed)
            self._swept = rows[-1][0]
        return len(rows)

    # Events.

    def book(self, events: Iterable[Event]) -> list[str]:
        """Books events in order, all that can be in one write.

        Returns:
            For each `accepted`, `duplicate` (it was booked before), or why it was refused.
        """
        answers: list[str] = []
        after: list[Callable[[], None]] = []
        spent = [0] * len(self.spent)
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
        campaign, segment, bid = event.campaign, event.segment, event.bid
        if bid is not None:
            row = db.execute(
                "SELECT campaign, segment, price, state, user, impressions FROM bid WHERE id = ?",
                (bid,),
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
                room = self.left(campaign) - spent[campaign] - self.reserved[campaign]
                if state == FREED and paid > room:
                    return "its reservation is over and the budget is not free"
                spent[campaign] += paid
                db.execute(
                    "UPDATE bid SET state = 1, paid = ?, won = ? WHERE id = ?",
                    (paid, self.interval, bid),
                )
                db.execute("UPDATE account SET spent = spent + ? WHERE campaign = ?", (paid, campaign))
                after.append(lambda: self._settle(bid, campaign, user, paid))
            elif event.kind == "loss":
                if state == SETTLED:
                    return "this bid is settled"
                if state == OPEN:
                    db.execute("UPDATE bid SET state = 2 WHERE id = ?", (bid,))
                    after.append(lambda: self._release(bid))
            elif state != SETTLED:
                return "this bid has no impression"
        elif event.kind != "conversion" or campaign is None or segment is None:
            return "names no bid"
        db.execute(
            "INSERT INTO event VALUES (?,?,?,?,?,?,?)",
            (event.id, event.kind, bid, campaign, segment, event.amount, self.interval),
        )
        return "accepted"

    def journeys(self, campaign: int, told: JourneysTold) -> int:
        """Keeps what was told of a campaign's journeys; gives how much of it is new."""
        with self._writing() as db:
            return keep(db, self.interval, campaign, told)

    # Intervals.

    def recount_day(self, first_interval: int) -> None:
        """Today's frequencies and spend from the file, as after a restart."""
        self.new_day()
        for c, user, paid in self._db.execute(
            "SELECT campaign, user, paid FROM bid WHERE won >= ?", (first_interval,)
        ):
            self._count(c, user, paid)

    def turn(self, number: int) -> Float:
        """Ends interval `number`: what comes from now on belongs to the next. Gives what is left, [C] USD."""
        with self._writing() as db:
            self._file_requests(db)
        self.interval = number + 1
        self._turns.append(self._number)
        return self.left_usd()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that reads what is on file, in any thread, and holds no bid up."""
        with self._reading:
            yield self._file.reader

    def tidy(self) -> None:
        """Carries the write-ahead log into the file, in any thread; else the next bid would wait for it."""
        with self.reading() as db:
            db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

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
        """Keeps what an interval brought."""
        with self._writing() as db:
            db.execute(
                "UPDATE interval SET outcome = ?, left_after = ? WHERE number = ?",
                (outcome, left_after, number),
            )

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
        with self._reading:
            self._file.close()
