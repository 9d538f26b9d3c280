from __future__ import annotations

import numpy as np
import pytest

from envs.plain_auction import Stall, sell_in_numpy, sell_in_python, stall_of
from envs.scenario import load_scenario


@pytest.mark.parametrize("name", ["default", "forty-eight-rivals"])
def test_both_sell_at_about_the_same_revenue(name: str) -> None:
    stall = stall_of(load_scenario(name))._replace(frequency_cap=1e9)
    loop, at_once = sell_in_python(stall, 4000), sell_in_numpy(stall, 4000)
    assert loop == pytest.approx(at_once, rel=0.1)


def test_a_lone_bidder_pays_the_reserve() -> None:
    stall = Stall(
        campaigns=1,
        rivals=1,
        listeners=8,
        slots=1,
        reserve_usd=0.2,
        level_usd=5.0,
        frequency_cap=1e9,
        table=np.zeros(4),  # the rival bids nothing
        exposure=np.ones(1),
    )
    assert sell_in_python(stall, 50) == pytest.approx(10.0)
    assert sell_in_numpy(stall, 50) == pytest.approx(10.0)
