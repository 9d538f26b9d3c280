"""Impressions as a team that reads them was trained to: rows of `weight` real impressions of one kind.

A bid that stands for `weight` impressions, as the simulator's do, is a row. Of others a row is gathered,
over intervals if need be: impressions of one campaign, listener (or cohort), segment, placement and creative.
A single impression as a row would be read as an audience that turned away: the filters' steps
(`policies.impression_likelihood`) are sound where a row holds many answers.
"""

from __future__ import annotations

import sqlite3
from typing import Final, NamedTuple

import numpy as np

from envs.impressions import ImpressionLog
from envs.state import Float, Int

ANSWERS: Final = ("complete", "skip", "dislike", "click")
"""In the order of an ImpressionLog."""
_KIND: Final = "b.campaign, b.listener, b.segment, b.placement, b.arm, b.visible"
_KNOWN: Final = "b.listener >= 0 AND abs(b.impressions - :weight)"
Kind = tuple[int, int, int, int, int, int]


class Gathered(NamedTuple):
    """Impressions of a kind that are no row yet; sums over them."""

    impressions: float
    levels: Float  # [3] quality, attention, affinity
    answers: Float  # [4] by ANSWERS


_NOTHING: Final = Gathered(0.0, np.zeros(3), np.zeros(len(ANSWERS)))


class ImpressionRows:
    """Rows of one flight; asked for its intervals in order."""

    def __init__(self, weight: float) -> None:
        """`weight` real impressions make a row."""
        self.weight = weight
        self._waiting: dict[Kind, Gathered] = {}

    def of(self, db: sqlite3.Connection, interval: int, attention: Float) -> ImpressionLog:
        """An interval's rows of known listeners; `attention` [P] is public."""
        numbers, levels = self._whole(db, interval, attention)
        self._gather(db, interval, attention)
        for kind, gathered in sorted(self._waiting.items(), key=lambda item: item[0]):
            while gathered.impressions >= self.weight - 0.5:
                share = min(1.0, self.weight / gathered.impressions)
                counts = np.minimum(np.round(share * gathered.answers), self.weight)
                numbers.append([*kind, *counts.astype(np.int64).tolist()])
                levels.append((gathered.levels / gathered.impressions).tolist())
                left = (1.0 - share) * gathered.impressions, (1.0 - share) * gathered.levels
                self._waiting[kind] = gathered = Gathered(*left, gathered.answers - counts)
        return _log(numbers, levels)

    def _whole(
        self, db: sqlite3.Connection, interval: int, attention: Float
    ) -> tuple[list[list[int]], list[list[float]]]:
        """Bids that are rows: numbers from campaign to clicks; quality, attention, affinity."""
        told = {"interval": interval, "weight": self.weight}
        answers: dict[int, list[int]] = {}
        for bid, answer, amount in db.execute(
            "SELECT e.bid, e.kind, sum(e.amount) FROM event e JOIN bid b ON b.id = e.bid "
            f"WHERE e.interval = :interval AND {_KNOWN} < 0.5 GROUP BY 1, 2",
            told,
        ):
            if answer in ANSWERS:
                answers.setdefault(bid, [0] * len(ANSWERS))[ANSWERS.index(answer)] = amount
        numbers, levels = [], []
        for bid, *kind, quality, affinity in db.execute(
            f"SELECT b.id, {_KIND}, b.quality, b.affinity FROM bid b "
            f"WHERE b.won = :interval AND {_KNOWN} < 0.5 ORDER BY b.id",
            told,
        ):
            numbers.append([*kind, *answers.get(bid, [0] * len(ANSWERS))])
            levels.append([quality, float(attention[kind[3]]), affinity])
        return numbers, levels

    def _gather(self, db: sqlite3.Connection, interval: int, attention: Float) -> None:
        """Adds an interval's other impressions, and what was told of such impressions in it."""
        told = {"interval": interval, "weight": self.weight}
        for *kind, impressions, quality, affinity in db.execute(
            f"SELECT {_KIND}, sum(b.impressions), sum(b.impressions * b.quality), "
            f"sum(b.impressions * b.affinity) FROM bid b "
            f"WHERE b.won = :interval AND {_KNOWN} >= 0.5 GROUP BY 1, 2, 3, 4, 5, 6",
            told,
        ):
            key: Kind = tuple(kind)
            was = self._waiting.get(key, _NOTHING)
            levels = np.array([quality, impressions * attention[kind[3]], affinity])
            self._waiting[key] = Gathered(was.impressions + impressions, was.levels + levels, was.answers)
        for *kind, answer, amount in db.execute(
            f"SELECT {_KIND}, e.kind, sum(e.amount) FROM event e JOIN bid b ON b.id = e.bid "
            f"WHERE e.interval = :interval AND {_KNOWN} >= 0.5 GROUP BY 1, 2, 3, 4, 5, 6, 7",
            told,
        ):
            if answer in ANSWERS:
                key = tuple(kind)
                was = self._waiting.get(key, _NOTHING)
                more = amount * (np.arange(len(ANSWERS)) == ANSWERS.index(answer))
                self._waiting[key] = was._replace(answers=was.answers + more)


def _log(numbers: list[list[int]], levels: list[list[float]]) -> ImpressionLog:
    whole: Int = np.array(numbers, np.int64).reshape(-1, 10)
    real: Float = np.array(levels, np.float64).reshape(-1, 3)
    market = np.zeros(len(whole), np.int64)
    columns = [np.ascontiguousarray(column) for column in (*whole.T, *real.T)]
    return ImpressionLog(market, *columns)
