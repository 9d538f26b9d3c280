from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.audience import spool
from policies.audience.spool import Spool, disk_array, group, numbered, sort_within, take


def test_a_column_larger_than_its_chunk_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "CHUNK_VALUES", 4)
    column = Spool()
    for value in range(11):
        column.append(value * value)
        assert len(column) == value + 1
    assert column.finish().tolist() == [value * value for value in range(11)]
    assert Spool().finish().tolist() == []


def test_a_column_is_not_held_in_memory() -> None:
    column = Spool()
    tracemalloc.start()
    for value in range(1 << 21):
        column.append(value)
    values = column.finish()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(values) * 8 == 1 << 24
    assert peak < 10 << 20  # one chunk of 8 MiB and its growth, not 16 MiB
    assert int(values[-1]) == (1 << 21) - 1


def test_arrays_on_disk_can_be_written_and_empty() -> None:
    array = disk_array((3, 2), np.float32)
    assert array.tolist() == [[0.0, 0.0]] * 3 and type(array) is np.ndarray
    array[1] = 5.0
    assert array.sum() == 10.0
    assert disk_array(0, np.int32).shape == (0,)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=30))
def test_rows_are_grouped_and_sorted_stably(pairs: list[tuple[int, int]]) -> None:
    row = np.array([pair[0] for pair in pairs], np.int32)
    key = np.array([pair[1] for pair in pairs], np.int32)
    start, order = group(row, 6)
    assert start.tolist() == [sum(r < limit for r in row) for limit in range(7)]
    assert order.tolist() == np.argsort(row, kind="stable").tolist()
    sort_within(start, order, key)
    assert order.tolist() == np.lexsort((key, row)).tolist()
    assert take(key, order).tolist() == key[order].tolist()


@given(st.lists(st.integers(-5, 5), max_size=20))
def test_ids_are_numbered_in_order(ids: list[int]) -> None:
    distinct, index = numbered(np.array(ids, np.int64))
    assert distinct.tolist() == sorted(set(ids))
    assert distinct[index].tolist() == ids
