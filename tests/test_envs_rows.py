from __future__ import annotations

import numpy as np
import pytest

from envs.observation import ROLES, SCHEMAS
from envs.rows import bound, starts


@pytest.mark.parametrize("role", ROLES)
def test_starts_are_those_of_the_table_of_fields(role: str) -> None:
    found = starts(SCHEMAS[role])
    assert found._fields == tuple(field.name for field in SCHEMAS[role].fields)
    assert all(getattr(found, name) == block.start for name, block in SCHEMAS[role].slices.items())


def test_a_row_is_clipped_like_numpy_does_and_what_is_no_number_is_counted() -> None:
    rng = np.random.default_rng(0)
    low, high = (-rng.random(99)).astype(np.float32), rng.random(99).astype(np.float32)
    row = rng.normal(size=99).astype(np.float32)
    row[:4] = (np.inf, -np.inf, np.nan, np.nan)
    expected = np.clip(row, low, high)
    assert bound(row, low, high) == 2
    assert np.array_equal(row, expected, equal_nan=True)
