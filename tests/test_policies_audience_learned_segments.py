import numpy as np
import pytest
from scipy.cluster.vq import kmeans2

from envs.errors import ConfigurationError
from envs.market import VectorMarket
from envs.scenario import load_scenario
from envs.seeds import market_seeds
from evaluation.sources import TeamSource
from policies.audience.learned_segments import GROUPS, LearnedSegments, average_within, group_listeners
from policies.policy import flight_of
from policies.registry import make_policy, policy_knowledge

SCENARIO = load_scenario("quick")


def grouped(point: np.ndarray, groups: int) -> np.ndarray:
    group = np.zeros((point.shape[0], point.shape[2]), np.int64)
    group_listeners(point, group, np.empty((len(point), groups, point.shape[1])))
    return group


def spread(point: np.ndarray, group: np.ndarray) -> float:
    """Squared distance to the groups' centres."""
    return float(
        sum(((point[:, group == g].T - point[:, group == g].mean(1)) ** 2).sum() for g in set(group))
    )


def test_groups_are_found_where_they_lie_apart() -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 5, 200)
    point = (10.0 * rng.normal(size=(5, 3)))[true].T[None] + 0.1 * rng.normal(size=(1, 3, 200))
    found = grouped(point, 5)[0]
    assert len(set(zip(true.tolist(), found.tolist(), strict=True))) == 5


def test_groups_are_about_as_tight_as_those_of_many_drawn_starts() -> None:
    point = np.random.default_rng(1).normal(size=(1, 3, 256))
    best = min(spread(point[0], kmeans2(point[0].T, 16, seed=n, minit="++")[1]) for n in range(20))
    assert spread(point[0], grouped(point, 16)[0]) < 1.15 * best


def test_a_market_alone_is_grouped_alike_and_more_groups_than_people_do_no_harm() -> None:
    point = np.random.default_rng(2).normal(size=(3, 2, 20))
    np.testing.assert_array_equal(grouped(point, 4)[1:2], grouped(point[1:2].copy(), 4))
    assert spread(point[0], grouped(point, 30)[0]) == pytest.approx(0.0)


def test_means_are_of_who_is_there() -> None:
    mean = np.full((1, 1, 3), 7.0)
    average_within(np.array([[[1.0, 3.0, 5.0]]]), np.array([[0, 0, 2]]), mean)
    assert mean.tolist() == [[[2.0, 7.0, 5.0]]]


def test_bids_are_by_learned_segments_and_the_message_by_given_ones() -> None:
    market = VectorMarket(SCENARIO, 2, impressions=True)
    team = TeamSource("certainty-equivalent+audience=learned-segments:5")()
    observations = market.reset(market_seeds("development", 0, 0, 2))
    team.start(flight_of(market, listening=True))
    audience = team.policies["audience"]
    assert isinstance(audience, LearnedSegments) and audience.name == "learned-segments:5"
    for _ in range(20):
        actions = team.act(observations, market.impressions)
        assert not team.incapacities and actions.listener_affinity is not None
        table, given = actions.listener_affinity, market.parameters.listener_segment
        for b in range(2):
            assert len(np.unique(table[b, 0])) <= 5
            for s in set(given[b]):
                told = actions.audience.affinity[b, 0, s]
                assert told == pytest.approx(table[b, 0, given[b] == s].mean())
        observations = market.step(actions).observations
    assert len(np.unique(audience.group)) == 5


def test_it_is_chosen_by_name() -> None:
    policy = make_policy("audience", "learned-segments")
    assert isinstance(policy, LearnedSegments) and policy.groups == GROUPS
    assert policy_knowledge("audience", "learned-segments:8") == policy_knowledge("audience", "collaborative")
    for wrong in ("learned-segments:0", "learned-segments:many"):
        with pytest.raises(ConfigurationError, match="as in learned-segments:8"):
            make_policy("audience", wrong)
