"""Runs the experiments and holds what they find against the table of facts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from envs.calibration.clock import day
from envs.calibration.findings import Findings
from envs.calibration.listeners import ad_load, frequency, memory, repetition
from envs.calibration.prices import pod, price, shading, sold
from envs.calibration.responses import delay, flight, screen
from envs.calibration.rows import ROWS, Row

EXPERIMENTS: Final[dict[str, Callable[[], Findings]]] = {
    "ad_load": ad_load,
    "screen": screen,
    "flight": flight,
    "memory": memory,
    "frequency": frequency,
    "repetition": repetition,
    "day": day,
    "price": price,
    "sold": sold,
    "shading": shading,
    "pod": pod,
    "delay": delay,
}
"""By the first part of a row's key. Each is simulated once a process."""


class Comparison(NamedTuple):
    """A fact and what the market shows."""

    row: Row
    simulated: float

    @property
    def holds(self) -> bool:
        """Whether the simulated figure lies in the row's interval."""
        return self.row.low <= self.simulated <= self.row.high


def compare(row: Row) -> Comparison:
    """Simulates one row."""
    group, _, figure = row.key.partition(".")
    return Comparison(row, EXPERIMENTS[group]().figures[figure])


def compare_all() -> list[Comparison]:
    """Simulates every row, in the table's order."""
    return [compare(row) for row in ROWS]
