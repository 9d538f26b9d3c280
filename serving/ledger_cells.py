"""What an interval brought, as the ledger's file tells it, by cell."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from envs.catalogue import P, S
from serving.ledger_file import NANO

_COUNTED: Final = {"complete": "completions", "skip": "skips", "click": "clicks", "dislike": "dislikes"}


def empty_cells(count: int) -> dict[str, NDArray[Any]]:
    """Of an interval that brought `count` campaigns nothing."""
    cell = {n: np.zeros((count, S, P)) for n in ("wins", "spend_usd", "predicted_won", *_COUNTED.values())}
    return {**cell, "conversions": np.zeros((count, S)), "opportunities": np.zeros((S, P))}


def cells_in(db: sqlite3.Connection, interval: int, weight: float, count: int) -> dict[str, NDArray[Any]]:
    """What an interval brought `count` campaigns by cell: fields of `Outcome`, without the axis of markets.

    Opportunities and wins count simulated ones, of `weight` impressions each.
    """
    cell = empty_cells(count)
    for c, s, p, wins, predicted, paid in db.execute(
        "SELECT campaign, segment, placement, sum(impressions), sum(affinity * quality * impressions), "
        "sum(paid) FROM bid WHERE won = ? GROUP BY 1, 2, 3",
        (interval,),
    ):
        cell["wins"][c, s, p] = wins / weight
        cell["predicted_won"][c, s, p] = predicted / weight
        cell["spend_usd"][c, s, p] = paid / NANO
    for kind, c, s, p, amount in db.execute(
        "SELECT e.kind, b.campaign, b.segment, b.placement, sum(e.amount) FROM event e "
        "JOIN bid b ON b.id = e.bid WHERE e.interval = ? GROUP BY 1, 2, 3, 4",
        (interval,),
    ):
        if kind in _COUNTED:
            cell[_COUNTED[kind]][c, s, p] += amount
    for c, s, amount in db.execute(
        "SELECT campaign, segment, sum(amount) FROM event WHERE interval = ? AND kind = 'conversion' "
        "GROUP BY 1, 2",
        (interval,),
    ):
        cell["conversions"][c, s] = amount
    for at, amount in db.execute("SELECT cell, amount FROM request WHERE interval = ?", (interval,)):
        cell["opportunities"][divmod(at, P)] = amount
    return cell
