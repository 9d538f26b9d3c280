"""The ledger's file: its tables, what a row of them is, and how it is opened."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final, NamedTuple

from envs.errors import InterludeError

NANO: Final = 1_000_000_000
OPEN, SETTLED, FREED = 0, 1, 2
KINDS: Final = (*("impression", "loss", "quartile", "complete", "skip", "click", "dislike", "conversion"),)
"""What an event may tell."""
TABLES: Final = """
CREATE TABLE IF NOT EXISTS flight (one INTEGER PRIMARY KEY CHECK (one = 1), brief TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS account (
    campaign INTEGER PRIMARY KEY, budget INTEGER NOT NULL, spent INTEGER NOT NULL, CHECK (spent <= budget));
CREATE TABLE IF NOT EXISTS bid (
    id TEXT PRIMARY KEY, campaign INTEGER NOT NULL, user TEXT NOT NULL, listener INTEGER NOT NULL,
    segment INTEGER NOT NULL, placement INTEGER NOT NULL, arm INTEGER NOT NULL, visible INTEGER NOT NULL,
    quality REAL NOT NULL, affinity REAL NOT NULL, impressions REAL NOT NULL, price INTEGER NOT NULL,
    interval INTEGER NOT NULL, expires REAL NOT NULL, state INTEGER NOT NULL, paid INTEGER NOT NULL,
    won INTEGER);
CREATE INDEX IF NOT EXISTS bid_won ON bid (won);
CREATE INDEX IF NOT EXISTS bid_state ON bid (state) WHERE state = 0;
CREATE TABLE IF NOT EXISTS event (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, bid TEXT, campaign INTEGER NOT NULL, segment INTEGER NOT NULL,
    amount INTEGER NOT NULL, interval INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS event_interval ON event (interval);
CREATE TABLE IF NOT EXISTS request (
    interval INTEGER, cell INTEGER, amount REAL NOT NULL, PRIMARY KEY (interval, cell)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS interval (
    number INTEGER PRIMARY KEY, actions BLOB NOT NULL, left_before BLOB NOT NULL, outcome BLOB,
    left_after BLOB);
"""


class Offer(NamedTuple):
    """One bid as the ledger keeps it."""

    id: str
    campaign: int
    user: str
    listener: int  # −1 = nobody known
    segment: int
    placement: int
    arm: int
    visible: int
    quality: float
    affinity: float  # of the listener, as the audience had told; times quality = what is predicted
    impressions: float  # that it stands for
    price: int  # nano-USD, of all of them


class Event(NamedTuple):
    """Something that happened to a bid, or to a campaign in a segment (conversions)."""

    id: str
    kind: str
    bid: str | None
    campaign: int | None
    segment: int | None
    amount: int = 1  # impressions that it tells of
    cpm_usd: float = 0.0  # price paid, of an impression


class Played(NamedTuple):
    """One interval on file: what agents did, what was left before, what it brought and left."""

    actions: bytes
    left_before: bytes
    outcome: bytes | None
    left_after: bytes | None


def open_file(path: Path) -> sqlite3.Connection:
    """Opens or makes the file in a folder, for this process alone.

    Raises:
        InterludeError: another process holds it, or the folder cannot be written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(path / "ledger.sqlite", isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("BEGIN IMMEDIATE")
        db.execute("COMMIT")
        db.executescript(TABLES)
    except (sqlite3.Error, OSError) as error:
        raise InterludeError(f"the ledger in {path} cannot be opened: {error}") from error
    return db
