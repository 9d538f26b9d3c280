import numpy as np
import pytest
from support.markets import tiny

from envs.histories import ITEMS, Listening
from envs.recent_plays import RECENT
from policies.audience.listener_model import ORDERS, ListenerModel, embed_listeners, shipped_session_model
from policies.audience.readout import draw_year, least_squares, two_years, with_readout
from policies.audience.taste_embedding import FACTORS, SPARSE, embed, with_plays

SCENARIO = tiny(listeners={"count": 64, "plays_median": 30.0})


def test_a_year_is_the_same_whenever_it_is_drawn_and_another_for_another_seed() -> None:
    one, again, other = (draw_year(SCENARIO, seed, 2) for seed in (1, 1, 2))
    assert one.plays.shape == (128, ITEMS) and one.token.shape == one.mood.shape == (128, RECENT)
    for mine, same, others in zip(one, again, other, strict=True):
        np.testing.assert_array_equal(mine, same)
        assert (mine != others).any()


def test_another_year_has_the_same_tastes_and_other_plays() -> None:
    year, other = two_years(SCENARIO, 1, 2)
    np.testing.assert_array_equal(year.plays[:64], draw_year(with_plays(SCENARIO, SPARSE), 1, 1).plays)
    assert year.plays[:64].sum() < 0.1 * year.plays[64:].sum()  # of half of them little is known
    assert other.shape == year.plays.shape and (other.sum(1) != year.plays.sum(1)).mean() > 0.9
    x, y = (embed(shipped_session_model().taste, plays).ravel() for plays in (year.plays, other))
    assert np.corrcoef(x, y)[0, 1] > 0.3


def test_a_readout_foretells_another_year_and_is_trusted_as_far_as_it_is_right() -> None:
    """Of listeners whose true tastes it never saw: expected tastes regress on true ones with slope 1."""
    shipped = shipped_session_model()
    assert shipped.session is not None
    session = with_readout(shipped.session, shipped.taste, *two_years(SCENARIO, 1, 128))
    assert session.readout.shape == (ORDERS * (2 * FACTORS + len(session.recurrent)), FACTORS)
    year = draw_year(SCENARIO, 9, 16)
    listening = Listening(year.plays[None], np.zeros((1, len(year.plays)), np.int64), year.token[None])
    found, doubt = (part[0] for part in embed_listeners(ListenerModel(shipped.taste, session), listening))
    left, _, right = np.linalg.svd(found.T @ year.taste)
    told = found @ left @ right  # in the axes of true tastes
    assert (told * year.taste).sum() / (told**2).sum() == pytest.approx(1.0, abs=0.15)
    assert ((year.taste - told) ** 2).mean() == pytest.approx(doubt.mean(), abs=0.1)


def test_least_squares_finds_a_line() -> None:
    rng = np.random.default_rng(0)
    features, weights = rng.normal(size=(4000, 3)), rng.normal(size=(3, 2))
    np.testing.assert_allclose(least_squares(features, features @ weights + 5.0), weights, atol=0.1)
