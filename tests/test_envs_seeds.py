from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.errors import UnknownNameError
from envs.seeds import SPLITS, market_seeds


@given(
    seeds=st.lists(st.integers(0, 2**31 - 1), min_size=3, max_size=3),
    starts=st.lists(st.integers(0, 2**30 - 8), min_size=3, max_size=3),
)
def test_splits_share_no_market(seeds: list[int], starts: list[int]) -> None:
    of = [
        set(market_seeds(split, seed, start, 8).tolist())
        for split, seed, start in zip(SPLITS, seeds, starts, strict=True)
    ]
    assert not of[0] & of[1] and not of[0] & of[2] and not of[1] & of[2]


def test_sequences_of_one_split_share_no_market() -> None:
    first = market_seeds("train", 0, 0, 1000)
    last = market_seeds("train", 0, 2**30 - 1, 1)
    assert len(set(first.tolist())) == 1000
    assert not np.isin(market_seeds("train", 1, 0, 1000), [*first, *last]).any()


def test_a_sequence_continues() -> None:
    whole = market_seeds("held_out", 3, 0, 10)
    assert whole.dtype == np.uint64
    assert np.array_equal(whole[4:], market_seeds("held_out", 3, 4, 6))


def test_errors_say_what_is_valid() -> None:
    with pytest.raises(UnknownNameError, match="held_out"):
        market_seeds("heldout", 0, 0, 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"2\*\*31"):
        market_seeds("train", -1, 0, 1)
    with pytest.raises(ValueError, match=r"2\*\*31"):
        market_seeds("train", 2**31, 0, 1)
    with pytest.raises(ValueError, match=r"2\*\*30"):
        market_seeds("train", 0, 2**30, 1)
