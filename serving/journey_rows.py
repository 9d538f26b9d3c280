"""Touches and conversions of journeys as a platform tells them: checked, kept on file, read by interval.

An attribution agent reads nothing else of the world outside. A touch counts once, and so does a journey's
conversion: what is told again changes nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Annotated, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from envs.errors import UnknownNameError
from envs.journeys.identity import JourneyRows
from envs.journeys.settings import CELL_NAMES

TABLES: Final = """
CREATE TABLE IF NOT EXISTS touch (
    campaign INTEGER, journey INTEGER, hour REAL, cell INTEGER, clicked INTEGER NOT NULL,
    held_out INTEGER NOT NULL, interval INTEGER NOT NULL, PRIMARY KEY (campaign, journey, hour, cell)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS touch_interval ON touch (interval);
CREATE TABLE IF NOT EXISTS purchase (
    campaign INTEGER, journey INTEGER, hour REAL NOT NULL, interval INTEGER NOT NULL,
    PRIMARY KEY (campaign, journey)) WITHOUT ROWID;
"""
MOST: Final = 1024
"""Touches, and conversions, of one message."""
Journey = Annotated[int, Field(ge=0, lt=2**62)]
Hour = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
_CELL: Final = {name: index for index, name in enumerate(CELL_NAMES)}


class TouchTold(BaseModel):
    """Somebody met the brand."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    journey: Journey
    """Whose: a person, or a device that nobody links to one; any number, the same for the same one."""
    cell: str
    """`PLACEMENT FORMAT` of ours, such as `podcast_break audio`, or a channel such as `search`."""
    hour: Hour
    """Since the flight's start."""
    clicked: bool = False
    held_out: bool = False
    """A ghost ad: won for this journey, and not shown."""

    @field_validator("cell")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in _CELL:
            raise ValueError(str(UnknownNameError("cell", name, CELL_NAMES)))
        return name


class PurchaseTold(BaseModel):
    """A journey converted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    journey: Journey
    hour: Hour


class JourneysTold(BaseModel):
    """What became known of one campaign's journeys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    campaign: Annotated[str, Field(min_length=1, max_length=128)]
    touches: Annotated[tuple[TouchTold, ...], Field(max_length=MOST)] = ()
    purchases: Annotated[tuple[PurchaseTold, ...], Field(max_length=MOST)] = ()


def keep(db: sqlite3.Connection, interval: int, campaign: int, told: JourneysTold) -> int:
    """Puts on file what is new; gives how much that is."""
    before = db.total_changes
    db.executemany(
        "INSERT OR IGNORE INTO touch VALUES (?,?,?,?,?,?,?)",
        [(campaign, t.journey, t.hour, _CELL[t.cell], t.clicked, t.held_out, interval) for t in told.touches],
    )
    db.executemany(
        "INSERT OR IGNORE INTO purchase VALUES (?,?,?,?)",
        [(campaign, purchase.journey, purchase.hour, interval) for purchase in told.purchases],
    )
    return db.total_changes - before


def rows_in(db: sqlite3.Connection, interval: int, campaigns: int) -> list[JourneyRows]:
    """What an interval told of every campaign's journeys."""
    touches: list[list[tuple[float, ...]]] = [[] for _ in range(campaigns)]
    purchases: list[list[tuple[float, ...]]] = [[] for _ in range(campaigns)]
    for found, columns in ((touches, "journey, cell, hour, clicked, held_out"), (purchases, "journey, hour")):
        table = "touch" if found is touches else "purchase"
        order = "SELECT campaign, {} FROM {} WHERE interval = ? ORDER BY campaign, journey, hour"
        for campaign, *row in db.execute(order.format(columns, table), (interval,)):
            found[campaign].append(tuple(row))
    kinds = (np.int64, np.int64, np.float64, np.bool_, np.bool_, np.int64, np.float64)
    return [
        JourneyRows._make(
            np.array(column, kind)
            for column, kind in zip((*_columns(met, 5), *_columns(bought, 2)), kinds, strict=True)
        )
        for met, bought in zip(touches, purchases, strict=True)
    ]


def _columns(rows: Sequence[tuple[float, ...]], count: int) -> Iterable[Sequence[float]]:
    return zip(*rows, strict=True) if rows else [()] * count
