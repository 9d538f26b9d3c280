"""Impressions and credit among golden pairs: those of a flight's first intervals as tensors, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from envs.impressions import ImpressionLog
from envs.protocol import CellCredit
from policies.tensors import Arrays

_PREFIX, _CREDIT = "impressions/", "credit/"
_INTERVAL: Final = f"{_PREFIX}interval"
"""Of the observation that a row comes with: the one after it aired."""


def impression_tensors(logs: Sequence[ImpressionLog], markets: int) -> Arrays:
    """Columns of the first markets' rows; `logs` are those of intervals 0, 1, …, read in 1, 2, …."""
    kept = [log.market < markets for log in logs]
    columns = {
        name: np.concatenate([getattr(log, name)[rows] for log, rows in zip(logs, kept, strict=True)])
        for name in ImpressionLog._fields
    }
    interval = np.repeat(np.arange(1, len(logs) + 1), [int(rows.sum()) for rows in kept])
    return {_INTERVAL: interval} | {_PREFIX + name: column for name, column in columns.items()}


def take_impressions(golden: Arrays) -> dict[int, ImpressionLog]:
    """Takes the rows out of golden tensors: by the interval in which they are read; {} where none are kept.

    Raises:
        KeyError: a column is missing.
    """
    if _INTERVAL not in golden:
        return {}
    interval = golden.pop(_INTERVAL)
    columns = [golden.pop(_PREFIX + name) for name in ImpressionLog._fields]
    last = int(interval.max(initial=0))
    return {t: ImpressionLog._make([c[interval == t] for c in columns]) for t in range(1, last + 1)}


def credit_tensors(messages: Sequence[CellCredit], markets: int) -> Arrays:
    """Fields [T, B, …] of the first markets' credit; messages are read in intervals 1, 2, …."""
    return {
        _CREDIT + name: np.stack([getattr(message, name)[:markets] for message in messages])
        for name in CellCredit._fields
    }


def take_credit(golden: Arrays) -> dict[int, CellCredit]:
    """Takes credit out of golden tensors: by the interval in which it is read; {} where none is kept.

    Raises:
        KeyError: a field is missing.
    """
    if _CREDIT + CellCredit._fields[0] not in golden:
        return {}
    fields = [golden.pop(_CREDIT + name) for name in CellCredit._fields]
    return {t: CellCredit(*row) for t, row in enumerate(zip(*fields, strict=True), start=1)}
