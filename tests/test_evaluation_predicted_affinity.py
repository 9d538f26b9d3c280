import numpy as np
import pytest
from support.markets import tiny

from envs.errors import InterludeError
from envs.market import VectorMarket
from envs.scenario import load_scenario
from envs.seeds import market_seeds
from evaluation import affinity
from evaluation.predicted_affinity import (
    Affinity,
    affinities,
    last_words,
    posted_affinity,
    rank_correlation,
    reliability_of,
    with_plays,
)
from evaluation.rollout import Course
from policies.policy import flight_of
from policies.registry import make_team


def pairs(predicted: list[float], true: list[float], plays: list[int]) -> Affinity:
    rows = (np.array(predicted), np.array(true), np.array(plays), np.zeros(len(plays), np.int64))
    return Affinity(*rows, np.full(len(plays), np.nan))


def test_rows_are_chosen_by_plays() -> None:
    found = pairs([1, 2, 3, 4], [1, 2, 3, 4], [0, 4, 5, 900])
    assert with_plays(found, 1, 5).true.tolist() == [2, 3]
    assert with_plays(found, 500, None).true.tolist() == [4]


def test_rank_correlation_is_of_order_alone() -> None:
    assert rank_correlation(pairs([1, 2, 9], [1, 20, 30], [0, 0, 0])) == pytest.approx(1.0)
    assert rank_correlation(pairs([3, 2, 1], [1, 20, 30], [0, 0, 0])) == pytest.approx(-1.0)
    assert np.isnan(rank_correlation(pairs([1, 1, 1], [1, 2, 3], [0, 0, 0])))


def test_what_is_predicted_rightly_on_average_has_no_error() -> None:
    rng = np.random.default_rng(0)
    predicted = rng.uniform(0.5, 2.0, 40_000)
    true = predicted * rng.uniform(0.5, 1.5, predicted.shape)
    assert reliability_of(predicted, true).error < 0.01
    found = reliability_of(predicted, 1.2 * predicted)
    assert found.error == pytest.approx(0.2 * predicted.mean(), rel=1e-6)
    assert found.filled.sum() == len(predicted) and (np.diff(found.predicted) > 0).all()


def test_an_audience_without_a_table_says_its_segments_values() -> None:
    market, team = VectorMarket(tiny(), 2), make_team("siloed")
    observations = market.reset(market_seeds("train", 0, 0, 2))
    team.start(flight_of(market))
    actions = team.act(observations)
    posted = posted_affinity(actions, market)
    segment = market.parameters.listener_segment
    assert posted.shape == market.parameters.affinity.shape
    for b, i in ((0, 0), (1, -1)):
        np.testing.assert_array_equal(
            posted[b, :, i], actions.audience.affinity[b, : market.num_campaigns, segment[b, i]]
        )


def test_the_oracle_is_right_about_everybody_and_learning_is_better_than_averages() -> None:
    scenario = load_scenario("quick")
    course = Course(scenario, num_markets=3)
    oracle = affinities(affinity.team_with("oracle"), course)
    assert rank_correlation(oracle) == pytest.approx(1.0)
    assert reliability_of(oracle.predicted, oracle.true).error < 1e-9
    assert len(oracle.true) == 3 * scenario.campaigns * scenario.listeners.count
    assert sorted(set(oracle.market.tolist())) == [0, 1, 2]
    found = [affinities(affinity.team_with(name), course) for name in affinity.AUDIENCES]
    told = affinities(affinity.team_with(affinity.TOLD), course)
    averages, collaborative, sequence = map(rank_correlation, found)
    assert rank_correlation(told) > min(collaborative, sequence) > averages
    assert np.isnan(found[0].within).all()
    for one in found[1:]:
        assert 0.6 < one.within.mean() < 0.95


def test_who_failed_is_not_judged() -> None:
    """Its stand-in's words would be taken for its own."""
    team = affinity.team_with("collaborative")
    team.policies["audience"].noise = None  # type: ignore[attr-defined]
    with pytest.raises(InterludeError, match="cannot be judged"):
        list(last_words(team, Course(load_scenario("quick"), num_markets=1)))
