"""Arrays that live in unlinked temporary files, so that data larger than memory can be read and sorted.

The operating system keeps of such an array what is in use and writes the rest back; small ones never leave
the page cache. The files stand in the folder for temporary files (`TMPDIR` names another) and are gone with
their last array.
"""

from __future__ import annotations

import math
import tempfile
from array import array
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from envs.kernel import allocating_kernel

CHUNK_VALUES = 1 << 20
"""How much of a spooled array is handled at a time."""


def disk_array(shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """An array of zeros in an unlinked temporary file."""
    shape = (shape,) if isinstance(shape, int) else shape
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size == 0:
        return np.zeros(shape, dtype)
    with tempfile.TemporaryFile() as file:
        file.truncate(size)
        return np.asarray(np.memmap(file, dtype, "r+", shape=shape))


class Spool:
    """A growing column of whole numbers, of which only the last chunk is in memory."""

    def __init__(self) -> None:
        """An empty column."""
        self._file = tempfile.TemporaryFile()
        self._chunk = array("q")
        self._length = 0

    def __len__(self) -> int:
        """How many numbers there are."""
        return self._length + len(self._chunk)

    def append(self, value: int) -> None:
        """One more, within 64 bits."""
        self._chunk.append(value)
        if len(self._chunk) >= CHUNK_VALUES:
            self._write()

    def finish(self) -> NDArray[np.int64]:
        """The column [len] as an array on disk; nothing can be appended after."""
        self._write()
        self._file.flush()
        with self._file as file:
            if not self._length:
                return np.zeros(0, np.int64)
            return np.asarray(np.memmap(file, np.int64, "r+", shape=(self._length,)))

    def _write(self) -> None:
        self._chunk.tofile(self._file)
        self._length += len(self._chunk)
        self._chunk = array("q")


def numbered(identity: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Distinct ids, ascending, and the index of each of E ids [E] among them (on disk), chunk by chunk."""
    distinct = np.zeros(0, np.int64)
    for at in range(0, len(identity), CHUNK_VALUES):
        distinct = np.union1d(distinct, identity[at : at + CHUNK_VALUES])
    index = disk_array(len(identity), np.int32)
    for at in range(0, len(identity), CHUNK_VALUES):
        index[at : at + CHUNK_VALUES] = np.searchsorted(distinct, identity[at : at + CHUNK_VALUES])
    return distinct, index


def group(row: NDArray[np.int32], rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each row begins, start [rows + 1], and the order [E] (on disk) that puts them side by side.

    Entries of one row keep their order.
    """
    start = np.zeros(rows + 1, np.int64)
    order = disk_array(len(row), np.int64)
    _group(row, start, order)
    return start, order


def take(value: NDArray[Any], order: NDArray[np.int64]) -> NDArray[Any]:
    """`value[order]`, on disk."""
    out = disk_array(len(order), value.dtype)
    for at in range(0, len(order), CHUNK_VALUES):
        out[at : at + CHUNK_VALUES] = value[order[at : at + CHUNK_VALUES]]
    return out


@allocating_kernel
def _group(row, start, order):  # type: ignore[no-untyped-def]
    for e in range(len(row)):
        start[row[e] + 1] += 1
    for r in range(len(start) - 1):
        start[r + 1] += start[r]
    filled = start[:-1].copy()
    for e in range(len(row)):
        order[filled[row[e]]] = e
        filled[row[e]] += 1


@allocating_kernel
def sort_within(start, order, key):  # type: ignore[no-untyped-def]
    """Sorts the order [E] of each row by key [E], in place; of equal keys the first stays first."""
    for r in range(len(start) - 1):
        part = order[start[r] : start[r + 1]].copy()
        order[start[r] : start[r + 1]] = part[np.argsort(key[part], kind="mergesort")]
