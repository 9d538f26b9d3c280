import numpy as np
from support.markets import started, tiny

from envs.histories import ITEMS, draw_histories
from envs.seeds import market_seeds

LISTENERS = {"count": 64, "plays_median": 200.0, "cold_share": 0.25}


def test_a_history_belongs_to_its_market_alone_or_in_a_batch() -> None:
    scenario = tiny(listeners=LISTENERS)
    together = started(scenario, 3).listening()
    again = started(scenario, 3).listening()
    np.testing.assert_array_equal(together.plays, again.plays)
    alone = started(scenario, 1).listening()
    np.testing.assert_array_equal(together.plays[:1], alone.plays)
    assert together.plays.shape == (3, 64, ITEMS)
    assert (together.plays[0] != together.plays[1]).any()


def test_asking_changes_nothing_in_the_market() -> None:
    market, other = started(tiny()), started(tiny())
    market.listening()
    for mine, others in zip(market.parameters, other.parameters, strict=True):
        np.testing.assert_array_equal(mine, others)


def test_plays_are_long_tailed_around_their_median_and_some_have_none() -> None:
    plays = started(tiny(listeners=LISTENERS | {"count": 1024}), 4).listening().plays.sum(-1).ravel()
    assert abs((plays == 0).mean() - 0.25) < 0.03
    heard = plays[plays > 0]
    assert 170 < np.median(heard) < 240
    assert 1.35 < np.log(heard).std() < 1.65


def test_without_plays_nobody_has_a_history() -> None:
    assert not started(tiny(listeners=LISTENERS | {"plays_median": 0.0})).listening().plays.any()


def test_listeners_of_one_taste_play_alike_and_of_the_opposite_differently() -> None:
    scenario = tiny(listeners=LISTENERS | {"plays_median": 5000.0, "cold_share": 0.0})
    taste = np.zeros((1, 200, 8))
    taste[0, :100, 0], taste[0, 100:, 0] = 1.5, -1.5
    plays = draw_histories(market_seeds("train", 0, 0, 1), taste, scenario)[0]
    share = plays / plays.sum(1, keepdims=True)
    like = np.corrcoef(share[:50].mean(0), share[50:100].mean(0))[0, 1]
    unlike = np.corrcoef(share[:50].mean(0), share[100:150].mean(0))[0, 1]
    assert like > 0.9 > 0.6 > unlike
