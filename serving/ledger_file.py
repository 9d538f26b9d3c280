"""The ledger's file: its tables, what a row of them is, and how it is opened."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Final, NamedTuple

from envs.errors import InterludeError
from serving import journey_rows

NANO: Final = 1_000_000_000
OPEN, SETTLED, FREED = 0, 1, 2
KINDS: Final = (*("impression", "loss", "quartile", "complete", "skip", "click", "dislike", "conversion"),)
"""What an event may tell."""
VERSION: Final = 2
"""Of the tables."""
LARGEST_LOG_PAGES: Final = 50_000
"""At 200 MB who writes carries the write-ahead log into the file, should nobody have done so before."""
TABLES: Final = """
CREATE TABLE IF NOT EXISTS flight (one INTEGER PRIMARY KEY CHECK (one = 1), brief TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS account (
    campaign INTEGER PRIMARY KEY, budget INTEGER NOT NULL, spent INTEGER NOT NULL, CHECK (spent <= budget));
CREATE TABLE IF NOT EXISTS bid (
    id INTEGER PRIMARY KEY, campaign INTEGER NOT NULL, user TEXT NOT NULL, listener INTEGER NOT NULL,
    segment INTEGER NOT NULL, placement INTEGER NOT NULL, arm INTEGER NOT NULL, visible INTEGER NOT NULL,
    quality REAL NOT NULL, affinity REAL NOT NULL, impressions REAL NOT NULL, price INTEGER NOT NULL,
    expires REAL NOT NULL, state INTEGER NOT NULL, paid INTEGER NOT NULL, won INTEGER);
CREATE INDEX IF NOT EXISTS bid_won ON bid (won) WHERE won IS NOT NULL;
CREATE TABLE IF NOT EXISTS event (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, bid INTEGER, campaign INTEGER NOT NULL,
    segment INTEGER NOT NULL, amount INTEGER NOT NULL, interval INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS event_interval ON event (interval);
CREATE TABLE IF NOT EXISTS request (
    interval INTEGER, cell INTEGER, amount REAL NOT NULL, PRIMARY KEY (interval, cell)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS interval (
    number INTEGER PRIMARY KEY, actions BLOB NOT NULL, left_before BLOB NOT NULL, outcome BLOB,
    left_after BLOB);
"""
"""Bids are numbered as they come, and have no index but of those won: a bid then writes one page."""


class Offer(NamedTuple):
    """One bid as the ledger keeps it."""

    id: int
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
    bid: int | None
    campaign: int | None
    segment: int | None
    amount: float = 1  # impressions that it tells of, or conversions, of which there may be parts
    cpm_usd: float = 0.0  # price paid, of an impression


class Played(NamedTuple):
    """One interval on file: what agents did, what was left before, what it brought and left."""

    actions: bytes
    left_before: bytes
    outcome: bytes | None
    left_after: bytes | None


class File(NamedTuple):
    """An open file: one connection writes; another reads, and looks after the write-ahead log, elsewhere."""

    writer: sqlite3.Connection
    reader: sqlite3.Connection
    lock: int  # descriptor of the file whose lock says whose ledger it is

    def close(self) -> None:
        """Closes it; nothing is lost without."""
        self.reader.close()
        self.writer.close()
        os.close(self.lock)


def open_file(folder: Path) -> File:
    """Opens or makes the file in a folder, for this process alone.

    Raises:
        InterludeError: another process holds it, it is of another version, or it cannot be written.
    """
    path = folder / "ledger.sqlite"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InterludeError(f"the ledger in {folder} cannot be opened: {error}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file = File(_connect(path), _connect(path), lock)
        (version,) = file.writer.execute("PRAGMA user_version").fetchone()
        if version not in (VERSION, 0) or (version == 0 and _has_tables(file.writer)):
            raise InterludeError(f"the ledger in {folder} is of version {version or 1}, not {VERSION}")
        file.writer.executescript(f"{TABLES} {journey_rows.TABLES} PRAGMA user_version = {VERSION};")
        return file
    except BlockingIOError as error:
        os.close(lock)
        raise InterludeError(f"the ledger in {folder} cannot be opened: another process serves it") from error
    except (InterludeError, sqlite3.Error) as error:
        os.close(lock)
        raise InterludeError(f"the ledger in {folder} cannot be opened: {error}") from error


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute(f"PRAGMA wal_autocheckpoint = {LARGEST_LOG_PAGES}")
    return db


def _has_tables(db: sqlite3.Connection) -> bool:
    return db.execute("SELECT 1 FROM sqlite_master").fetchone() is not None
