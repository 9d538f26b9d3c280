import numpy as np
import pytest

from envs.catalogue import FORMATS, P, S
from envs.scenario import load_scenario
from evaluation.replay import Replay, replay
from evaluation.rollout import Course, play
from policies.registry import make_team

INTERVALS, MARKETS = 12, 3
COURSE = Course(
    load_scenario("quick").model_copy(update={"intervals": INTERVALS}), "train", seed=5, num_markets=MARKETS
)


@pytest.fixture(scope="module")
def watched() -> Replay:
    return replay(make_team("value-aware"), COURSE)


def test_what_is_watched_is_what_was_compared(watched: Replay) -> None:
    result = play(make_team("value-aware"), COURSE)
    assert len(watched.stories) == MARKETS
    for index, story in enumerate(watched.stories):
        assert story.objective_usd.shape == (INTERVALS,)
        assert story.objective_usd.sum() == pytest.approx(result.metrics["market/objective_usd"][index])
    spend = result.metrics["spend/spend_usd"].mean()
    assert watched.cell_spend_usd.sum() == pytest.approx(spend)
    assert watched.bids.paid_usd.sum() / MARKETS == pytest.approx(spend)
    wins = watched.bids.won.sum()
    assert wins == watched.impressions.sum() == pytest.approx(watched.cell_wins.sum() * MARKETS)
    video = watched.impressions[..., FORMATS.index("video")].sum()
    shares = result.metrics["creative/video_share"]
    assert 0 <= video / wins <= 1 and min(shares) <= video / wins <= max(shares)


def test_a_course_may_begin_anywhere(watched: Replay) -> None:
    later = replay(make_team("value-aware"), Course(COURSE.scenario, "train", 5, 9, first_market=1), 2)
    assert [story.market_seed for story in later.stories] == [s.market_seed for s in watched.stories[1:]]
    assert np.array_equal(later.stories[0].spent_fraction, watched.stories[1].spent_fraction)


def test_bids_lie_in_their_cells_and_winners_beat_the_price(watched: Replay) -> None:
    bids = watched.bids
    assert set(bids.segment) <= set(range(S)) and set(bids.placement) <= set(range(P))
    assert set(bids.market) == set(range(MARKETS))
    won = (bids.won == 1) & np.isfinite(bids.price_to_beat_usd)
    assert won.any()
    assert (bids.bid_usd[won] >= bids.price_to_beat_usd[won] * (1 - 1e-9)).all()
    assert (bids.paid_usd[bids.won == 0] == 0).all()


def test_no_message_is_forgotten_and_the_eventful_flight_is_told(watched: Replay) -> None:
    story = watched.eventful
    assert len(story.incidents) == max(len(other.incidents) for other in watched.stories)
    assert story.messages and all(1 <= t <= INTERVALS for t, _ in story.messages)
    assert min(t for t, _ in story.messages) == 1  # the first are still there
    assert len(story.names) == story.spent_fraction.shape[1]
