from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from support.markets import RandomTeam, play, started, tiny

from envs.picture import CAMPAIGN, HEIGHT, NIGHT, WIDTH, draw
from envs.render import Viewer


def has(picture: np.ndarray, colour: str) -> bool:
    wanted = np.round(255 * np.array(to_rgb(colour)))
    return bool((np.abs(picture.astype(int) - wanted).max(-1) <= 1).any())


@pytest.mark.parametrize("campaigns", [1, 4])
def test_a_picture_shows_every_campaign(campaigns: int) -> None:
    market = started(tiny(campaigns=campaigns, listeners={"count": 200}), 2)
    viewer = Viewer(market, 1)
    start = draw(viewer)
    for _ in range(6):
        viewer.watch(market.step(RandomTeam()(market)))
    end = draw(viewer)
    for picture in (start, end):
        assert picture.shape == (HEIGHT, WIDTH, 3) and picture.dtype == np.uint8
        assert has(picture, NIGHT)
    shown = [has(end, colour) for colour in CAMPAIGN[:campaigns]]
    assert all(shown) and not np.array_equal(start, end)


def test_a_market_without_listeners_left_or_bids_can_be_drawn() -> None:
    market = started(tiny(campaigns=2))
    viewer = Viewer(market)
    play(market, RandomTeam())
    market.market_state.health[:] = 0.02
    market.feed.budget_usd[:] = 0.0
    assert draw(viewer).shape == (HEIGHT, WIDTH, 3)
