"""What an interval brought, as the ledger's file tells it: by cell, and impression by impression."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from envs.catalogue import P, S
from envs.impressions import ImpressionLog
from envs.state import Float
from serving.ledger_file import NANO

_COUNTED: Final = {"complete": "completions", "skip": "skips", "click": "clicks", "dislike": "dislikes"}
_IN_LOG: Final = ("complete", "skip", "dislike", "click")


def cells_in(db: sqlite3.Connection, interval: int, weight: float, count: int) -> dict[str, NDArray[Any]]:
    """What an interval brought `count` campaigns by cell: fields of `Outcome`, without the axis of markets.

    Opportunities and wins count simulated ones, of `weight` impressions each.
    """
    cell = {n: np.zeros((count, S, P)) for n in ("wins", "spend_usd", "predicted_won", *_COUNTED.values())}
    for c, s, p, impressions, predicted, paid in db.execute(
        "SELECT campaign, segment, placement, impressions, affinity * quality, paid FROM bid "
        "WHERE won = ? ORDER BY rowid",
        (interval,),
    ):
        cell["wins"][c, s, p] += impressions / weight
        cell["predicted_won"][c, s, p] += predicted * impressions / weight
        cell["spend_usd"][c, s, p] += paid / NANO
    for kind, c, s, p, amount in db.execute(
        "SELECT e.kind, b.campaign, b.segment, b.placement, sum(e.amount) FROM event e "
        "JOIN bid b ON b.id = e.bid WHERE e.interval = ? GROUP BY 1, 2, 3, 4",
        (interval,),
    ):
        if kind in _COUNTED:
            cell[_COUNTED[kind]][c, s, p] += amount
    conversions = np.zeros((count, S))
    for c, s, amount in db.execute(
        "SELECT campaign, segment, sum(amount) FROM event WHERE interval = ? AND kind = 'conversion' "
        "GROUP BY 1, 2",
        (interval,),
    ):
        conversions[c, s] = amount
    opportunities = np.zeros(S * P)
    for at, amount in db.execute("SELECT cell, amount FROM request WHERE interval = ?", (interval,)):
        opportunities[at] = amount
    return {**cell, "conversions": conversions, "opportunities": opportunities.reshape(S, P)}


def impressions_in(db: sqlite3.Connection, interval: int, attention: Float, weight: float) -> ImpressionLog:
    """The interval's impressions of known listeners, one row a bid; `attention` [P] is public.

    Who reads them takes a row for `weight` real impressions; bids for less than half as many are left
    out, for their few answers would be read as those of an audience that turned away.
    """
    rows = db.execute(
        "SELECT b.id, campaign, listener, segment, placement, arm, visible, quality, affinity "
        "FROM bid b "
        "WHERE won = ? AND listener >= 0 AND impressions >= ? ORDER BY rowid",
        (interval, 0.5 * weight),
    ).fetchall()
    told: dict[str, dict[str, int]] = defaultdict(dict)
    for bid, kind, amount in db.execute(
        "SELECT bid, kind, sum(amount) FROM event WHERE interval = ? AND bid IS NOT NULL GROUP BY 1, 2",
        (interval,),
    ):
        told[bid][kind] = amount
    whole = np.array([row[1:7] for row in rows], np.int64).reshape(-1, 6)
    placement = whole[:, 3]
    columns = [
        np.zeros(len(rows), np.int64),
        *(np.ascontiguousarray(column) for column in whole.T),
        *(np.array([told[row[0]].get(kind, 0) for row in rows], np.int64) for kind in _IN_LOG),
        np.array([row[7] for row in rows], np.float64),
        np.ascontiguousarray(attention[placement]),
        np.array([row[8] for row in rows], np.float64),
    ]
    return ImpressionLog._make(columns)
