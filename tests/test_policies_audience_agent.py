from itertools import pairwise

import numpy as np
import pytest

from envs.errors import ConfigurationError, InterludeError
from envs.market import VectorMarket
from envs.scenario import load_scenario
from envs.seeds import market_seeds
from evaluation.rollout import Course, play
from evaluation.sources import TeamSource
from policies.policy import ListenerReader, flight_of
from policies.registry import make_policy, make_team
from policies.team import Team

SCENARIO = load_scenario("default")
NAME = "certainty-equivalent+audience=collaborative"
SEQUENCE = "certainty-equivalent+audience=sequence"


def team(name: str = NAME) -> Team:
    return TeamSource(name)()


def tables(count: int, intervals: int, name: str = NAME) -> tuple[VectorMarket, list[np.ndarray]]:
    """The tables [B, C, L] that were posted, in every interval."""
    market, ours = VectorMarket(SCENARIO, count, impressions=True), team(name)
    observations = market.reset(market_seeds("development", 0, 0, count))
    ours.start(flight_of(market, listening=ours.reads_listeners, order=ours.reads_order))
    posted = []
    for _ in range(intervals):
        actions = ours.act(observations, market.impressions)
        assert not ours.incapacities
        posted.append(np.array(actions.listener_affinity))
        observations = market.step(actions).observations
    return market, posted


def within(market: VectorMarket, table: np.ndarray) -> float:
    """Mean correlation of log affinity with the truth within segments."""
    log, truth = np.log(table), np.log(market.parameters.affinity)
    found = []
    for b, starts in enumerate(market.parameters.segment_start):
        for first, end in pairwise(starts):
            for c in range(market.num_campaigns):
                found.append(np.corrcoef(log[b, c, first:end], truth[b, c, first:end])[0, 1])
    return float(np.mean(found))


def test_predictions_grow_better_with_impressions() -> None:
    market, posted = tables(6, 40)
    early, late = within(market, posted[6]), within(market, posted[-1])
    assert late > 0.65 and late > early + 0.1


def test_at_first_every_listener_is_nearly_the_average_one() -> None:
    market, posted = tables(1, 1)
    segment = market.parameters.listener_segment[0]
    mean = np.array([posted[0][0, 0, segment == s].mean() for s in range(4)])
    np.testing.assert_allclose(mean, market.parameters.affinity_hint[0, 0], rtol=1e-5)


@pytest.mark.parametrize("name", [NAME, SEQUENCE])
def test_a_market_alone_gives_the_same_tables_bit_for_bit(name: str) -> None:
    _, together = tables(3, 12, name)
    _, alone = tables(1, 12, name)
    for many, one in zip(together, alone, strict=True):
        np.testing.assert_array_equal(many[:1], one)


def test_it_is_told_of_no_market_and_says_what_it_needs() -> None:
    market = VectorMarket(SCENARIO, 1)
    market.reset(market_seeds("train", 0, 0, 1))
    policy = make_policy("audience", "collaborative")
    assert isinstance(policy, ListenerReader) and not policy.privileged
    assert flight_of(market, listening=True).market is None
    with pytest.raises(InterludeError, match="listening=True"):
        policy.start(flight_of(market))
    assert not make_team("certainty-equivalent").reads_listeners


def test_one_that_reads_order_learns_likewise_and_says_what_it_needs() -> None:
    assert team(SEQUENCE).reads_order and not team().reads_order
    assert team(SEQUENCE).policies["audience"].name == "sequence"
    market, posted = tables(6, 40, SEQUENCE)
    assert within(market, posted[-1]) > 0.65
    with pytest.raises(InterludeError, match="order=True"):
        make_policy("audience", "sequence").start(flight_of(market, listening=True))


@pytest.mark.parametrize("name", [NAME, SEQUENCE])
def test_evaluation_gives_it_what_it_reads(name: str) -> None:
    result = play(team(name), Course(load_scenario("quick"), "held_out", num_markets=2))
    assert not result.incapacities and not result.privileged and result.model_aware


def test_noise_of_zero_is_the_truth_and_more_is_less_true() -> None:
    market = VectorMarket(SCENARIO, 2)
    market.reset(market_seeds("development", 0, 0, 2))
    found = []
    for name in ("noisy:0", "noisy:0.3"):
        policy = TeamSource(f"siloed+audience={name}")().policies["audience"]
        policy.start(flight_of(market, privileged=policy.privileged))
        found.append(within(market, policy.listener_affinity))
    assert found[0] == pytest.approx(1.0) and 0.5 < found[1] < 0.9
    with pytest.raises(ConfigurationError, match=r"noisy:0\.3"):
        make_policy("audience", "noisy:much")
