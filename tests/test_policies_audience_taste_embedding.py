import numpy as np
import pytest
from support.markets import started, tiny

from policies.audience.taste_embedding import FACTORS, LIKING_VARIANCE, embed, fit_tastes, taste_model
from policies.audience.trust import KNOTS, doubt_of

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


def test_embeddings_are_ridge_solutions_times_the_trust_in_them() -> None:
    plays, model = started(SCENARIO, 1).listening().plays[0], taste_model(SCENARIO)
    some = (plays.sum(1) > 0) & (plays.sum(1) < 128)  # so few that totals are exact
    total, rows = plays[some].sum(1), plays[some]
    factor = model.item_factor @ np.linalg.inv(model.whitening).T
    for n, found in zip(rows, embed(model, rows), strict=True):
        expected = n.sum() * model.item_share
        sure = expected / (1 + LIKING_VARIANCE * expected)
        ratio = np.log((n + 1) / (expected + 1)) * (expected + 1) / expected - model.item_offset
        ratio -= np.average(ratio, weights=sure)
        left = factor.T @ (sure[:, None] * factor) + np.eye(FACTORS)
        slope = np.interp(np.log2(1 + n.sum()), range(KNOTS), model.trust[:, 0])
        np.testing.assert_allclose(found, slope * np.linalg.solve(left, factor.T @ (sure * ratio)), atol=1e-9)
    assert len(total) > 5


def test_what_is_embedded_is_expected_taste_whether_much_or_little_is_known() -> None:
    few = tiny(listeners={"count": 512, "plays_median": 12.0})
    for scenario in (tiny(listeners={"count": 512}), few):
        market = started(scenario, 8, seed=5, split="held_out")
        plays, taste = (
            market.listening().plays,
            market.parameters.listener_taste[..., :FACTORS].reshape(-1, FACTORS),
        )
        x, total = embed(taste_model(SCENARIO), plays).reshape(-1, FACTORS), plays.sum(-1).ravel()
        left, _, right = np.linalg.svd(x.T @ taste)
        told = x @ left @ right
        assert (told * taste).sum() / (told**2).sum() == pytest.approx(1.0, abs=0.1)
        doubt = doubt_of(taste_model(SCENARIO).trust, total)
        assert ((told - taste) ** 2).mean() == pytest.approx(doubt.mean(), abs=0.06)


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
