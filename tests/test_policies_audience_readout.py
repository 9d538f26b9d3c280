import numpy as np
from support.markets import tiny

from envs.histories import ITEMS, Listening
from envs.recent_plays import RECENT
from policies.audience.listener_model import ORDERS, ListenerModel, embed_listeners, shipped_session_model
from policies.audience.readout import draw_year, least_squares, two_years, with_readout
from policies.audience.taste_embedding import FACTORS, embed

SCENARIO = tiny(listeners={"count": 64, "plays_median": 30.0})


def test_a_year_is_the_same_whenever_it_is_drawn_and_another_for_another_seed() -> None:
    one, again, other = (draw_year(SCENARIO, seed, 2) for seed in (1, 1, 2))
    assert one.plays.shape == (128, ITEMS) and one.token.shape == one.mood.shape == (128, RECENT)
    for mine, same, others in zip(one, again, other, strict=True):
        np.testing.assert_array_equal(mine, same)
        assert (mine != others).any()


def test_another_year_has_the_same_tastes_and_other_plays() -> None:
    year, other = two_years(SCENARIO, 1, 2)
    np.testing.assert_array_equal(year.plays, draw_year(SCENARIO, 1, 2).plays)
    assert other.shape == year.plays.shape and (other.sum(1) != year.plays.sum(1)).mean() > 0.9
    x, y = (embed(shipped_session_model().taste, plays).ravel() for plays in (year.plays, other))
    assert np.corrcoef(x, y)[0, 1] > 0.3


def test_a_readout_foretells_another_year_and_is_white_over_who_it_learned_from() -> None:
    shipped = shipped_session_model()
    assert shipped.session is not None
    year, other = two_years(SCENARIO, 1, 24)
    session = with_readout(shipped.session, shipped.taste, year, other)
    assert session.readout.shape == (ORDERS * (2 * FACTORS + len(session.recurrent)), FACTORS)
    listening = Listening(year.plays[None], np.zeros((1, len(year.plays)), np.int64), year.token[None])
    found = embed_listeners(ListenerModel(shipped.taste, session), listening)[0]
    known = year.plays.any(1)
    np.testing.assert_allclose(found[known].T @ found[known] / known.sum(), np.eye(FACTORS), atol=1e-3)
    target = embed(shipped.taste, other)[known]
    left = target - found[known] @ np.linalg.lstsq(found[known], target, rcond=None)[0]
    assert left.var() < 0.8 * target.var()


def test_least_squares_finds_a_line() -> None:
    rng = np.random.default_rng(0)
    features, weights = rng.normal(size=(4000, 3)), rng.normal(size=(3, 2))
    np.testing.assert_allclose(least_squares(features, features @ weights + 5.0), weights, atol=0.1)
