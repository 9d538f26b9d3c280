"""Listening in order: who played what after what.

The folder of `--listening-history DIR` holds `sequences.txt`: one listener a line, `listener item item …`,
whole numbers apart by spaces, the oldest item first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple, NoReturn, TextIO

import numpy as np
from numpy.typing import NDArray

from envs.errors import ConfigurationError
from policies.audience.history import ListeningHistory
from policies.audience.spool import Spool, numbered

SEQUENCE_FILE: Final = "sequences.txt"

ORDER_NOTE: Final = (
    "order as the lines of sequences.txt give it; that of the Last.fm sample is by time of tagging, not of "
    "listening"
)

_MAX_DIGITS: Final = 18
_MAX_TEXT: Final = 40


class ListeningSequences(NamedTuple):
    """L sequences, one after the other: listener l played item[start[l] : start[l + 1]], oldest first."""

    start: NDArray[np.int64]
    """[L + 1]"""
    item: NDArray[np.int32]
    """[E] index into `item_id`."""
    listener_id: NDArray[np.int64]
    """[L] the file's ids, in the order of its lines."""
    item_id: NDArray[np.int64]
    """[I] the file's ids, ascending."""

    def of(self, listener: int) -> NDArray[np.int32]:
        """What a listener played, oldest first."""
        return self.item[self.start[listener] : self.start[listener + 1]]

    def without_last(self, count: int) -> ListeningSequences:
        """The same listeners and items, each sequence short of its last `count` items."""
        keep = np.maximum(0, np.diff(self.start) - count)
        item = [self.of(row)[:length] for row, length in enumerate(keep.tolist())]
        return self._replace(start=np.concatenate([[0], np.cumsum(keep)]), item=np.concatenate(item))


def read_listening_sequences(directory: Path) -> ListeningSequences:
    """Read a folder's `sequences.txt` line by line; what is read lives on disk, not in memory.

    Raises:
        ConfigurationError: as `file:line:column: fault`, for a file that is missing or empty, text where a
            number belongs, a listener without items or with two lines.
    """
    path = directory / SEQUENCE_FILE
    if not path.is_file():
        raise ConfigurationError(
            f"{path}: no such file; listening in order is a folder that holds {SEQUENCE_FILE} "
            "(one listener a line: listener item item …)"
        )
    try:
        with path.open(encoding="utf-8-sig") as file:
            listener_id, lengths, items = _read_lines(path, file)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot read the sequences: {error}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not UTF-8 text: {error}") from error
    start = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.array(lengths, np.int64))])
    item_id, item = numbered(items.finish())
    return ListeningSequences(start, item, np.array(listener_id, np.int64), item_id)


def plays_of(sequences: ListeningSequences) -> ListeningHistory:
    """The same without order: how often each listener played each item."""
    items = len(sequences.item_id)
    listener = np.repeat(np.arange(len(sequences.listener_id), dtype=np.int64), np.diff(sequences.start))
    pair, plays = np.unique(listener * items + sequences.item, return_counts=True)
    return ListeningHistory(
        (pair // items).astype(np.int32),
        (pair % items).astype(np.int32),
        plays,
        sequences.listener_id,
        sequences.item_id,
    )


def _read_lines(path: Path, file: TextIO) -> tuple[list[int], list[int], Spool]:
    first_line: dict[int, int] = {}
    lengths: list[int] = []
    items = Spool()
    for number, line in enumerate(file, start=1):
        fields = line.split()
        if not fields:
            _fail(path, number, 1, "the line is empty; one listener a line is needed: listener item item …")
        listener = _whole_number(path, number, 1, fields[0])
        if listener in first_line:
            _fail(path, number, 1, f"listener {listener} stands twice, first on line {first_line[listener]}")
        if len(fields) < 2:
            _fail(path, number, 2, f"listener {listener} has no items")
        for column, text in enumerate(fields[1:], start=2):
            items.append(_whole_number(path, number, column, text))
        first_line[listener] = number
        lengths.append(len(fields) - 1)
    if not lengths:
        _fail(path, 1, 1, "the file is empty; one listener a line is needed: listener item item …")
    return list(first_line), lengths, items


def _whole_number(path: Path, line: int, column: int, text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS:
        return int(text)
    what = "listener" if column == 1 else "item"
    _fail(path, line, column, f"{what} must be a whole number >= 0, got {text[:_MAX_TEXT]!r}")


def _fail(path: Path, line: int, column: int, fault: str) -> NoReturn:
    raise ConfigurationError(f"{path}:{line}:{column}: {fault}")
