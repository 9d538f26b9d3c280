import numpy as np
import pytest
from support.markets import started, tiny

from policies.audience.taste_embedding import FACTORS, embed, fit_tastes, taste_model

SCENARIO = tiny(listeners={"count": 128, "cold_share": 0.1})


def test_embeddings_hold_most_of_taste_in_markets_never_seen() -> None:
    market = started(SCENARIO, 8, seed=5, split="held_out")
    plays = market.listening().plays
    x = embed(taste_model(SCENARIO), plays).reshape(-1, FACTORS)
    taste = market.parameters.listener_taste.reshape(-1, FACTORS)
    rest = taste - x @ np.linalg.lstsq(x, taste, rcond=None)[0]
    few = plays.sum(-1).ravel() < 100
    assert 1.0 - (rest**2).mean() / (taste**2).mean() > 0.6
    assert (rest[few] ** 2).mean() > (rest[~few] ** 2).mean()


def test_who_played_nothing_is_the_average_listener() -> None:
    plays = started(SCENARIO, 2).listening().plays
    x = embed(taste_model(SCENARIO), plays)
    cold = plays.sum(-1) == 0
    assert cold.any() and (x[cold] == 0.0).all() and (x[~cold] != 0.0).any(-1).all()


def test_embeddings_depend_on_nobody_else() -> None:
    plays = started(SCENARIO, 3).listening().plays
    model = taste_model(SCENARIO)
    taste_model.cache_clear()
    np.testing.assert_array_equal(embed(model, plays)[1:2], embed(taste_model(SCENARIO), plays[1:2]))


def test_without_plays_there_is_nothing_to_learn() -> None:
    with pytest.raises(ValueError, match="plays_median"):
        fit_tastes(np.zeros((4, 128), np.int32))
