import numpy as np
from support.markets import started, tiny

from envs.histories import ITEM_VECTOR, ITEMS
from envs.recent_plays import MOOD_FIT, RECENT, TOKENS, draw_recent
from envs.scenario import Scenario

LISTENERS = {"count": 256, "plays_median": 60.0, "cold_share": 0.1}


def population(scenario: Scenario, markets: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Tastes, plays, tokens and moods of the listeners of a few markets."""
    market = started(scenario, markets)
    plays, taste = market.listening().plays, market.parameters.listener_taste
    return taste, plays, *draw_recent(market.seeds, taste, plays)


def test_the_order_is_of_the_plays_that_were_counted() -> None:
    _, plays, token, mood = population(tiny(listeners=LISTENERS), 4)
    real = token >= 0
    assert token.max() < TOKENS and (mood >= 0).tolist() == real.tolist()
    np.testing.assert_array_equal(real.sum(-1), np.minimum(plays.sum(-1), RECENT))
    assert not (np.diff(real.astype(int), axis=-1) < 0).any()  # nothing is missing after the first
    counted = np.zeros_like(plays)
    for b, i, n in np.argwhere(real):
        counted[b, i, token[b, i, n] // 4] += 1
    few = plays.sum(-1) <= RECENT
    assert (counted <= plays).all() and (counted == plays)[few].all() and 0.1 < few.mean() < 0.9


def test_an_order_belongs_to_its_market_and_comes_only_when_asked_for() -> None:
    scenario = tiny(listeners=LISTENERS)
    together, alone = started(scenario, 3).listening(order=True), started(scenario, 1).listening(order=True)
    assert together.recent is not None and alone.recent is not None
    np.testing.assert_array_equal(together.recent[:1], alone.recent)
    plain = started(scenario, 3).listening()
    assert plain.recent is None
    np.testing.assert_array_equal(plain.plays, together.plays)


def test_sessions_and_skips_are_as_measured_in_the_field() -> None:
    _, _, token, _ = population(tiny(listeners=LISTENERS | {"count": 1024, "plays_median": 300.0}), 6)
    skipped, first, real = token // 2 % 2 == 1, token % 2 == 1, token >= 0
    assert abs(skipped[real].mean() - 0.517) < 0.02
    both = real[..., 1:] & real[..., :-1]
    last_of_session = first[..., 1:] & both
    assert abs(skipped[..., :-1][last_of_session].mean() - 0.404) < 0.03
    assert abs(1.0 / first[..., 1:][both].mean() - 15.0) < 1.0


def test_skips_tell_of_taste_and_sessions_of_moods() -> None:
    taste, _, token, mood = population(tiny(listeners=LISTENERS | {"plays_median": 2000.0}), 2)
    real = token >= 0
    b, i, _ = np.nonzero(real)
    item, skipped = token[real] // 4, token[real] // 2 % 2 == 1
    suits = np.einsum("nd,nd->n", taste[b, i], ITEM_VECTOR[item])
    fits = MOOD_FIT[mood[real], item]
    assert suits[~skipped].mean() > suits[skipped].mean() + 0.15
    assert fits[~skipped].mean() > fits[skipped].mean() + 0.15
    assert fits.mean() > 0.3  # a mood is what is played in it
    same = (mood[..., 1:] == mood[..., :-1])[real[..., :-1]]
    assert same[token[..., 1:][real[..., :-1]] % 2 == 0].all() and same.mean() < 0.98
    assert ITEMS == len(ITEM_VECTOR)
