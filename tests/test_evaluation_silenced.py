"""Roles that say less than they could do say just that, and stay within the protocol."""

import numpy as np
import pytest

from envs.market import VectorMarket
from envs.scenario import load_scenario
from envs.seeds import market_seeds
from evaluation.silenced import (
    NoisyAudience,
    SilentAudience,
    SilentOrchestrator,
    UnlearningAudience,
    UnlearningBidding,
)
from evaluation.sources import TeamSource
from policies.policy import flight_of
from policies.scripted_audience import SegmentAverage


@pytest.fixture(scope="module")
def market() -> VectorMarket:
    scenario = load_scenario("quick").model_copy(update={"intervals": 6})
    return VectorMarket(scenario, 2, split="train")


@pytest.mark.parametrize(
    ("role", "name"),
    [
        ("audience", "SilentAudience"),
        ("audience", "NoisyAudience"),
        ("audience", "UnlearningAudience"),
        ("creative", "UnlearningCreative"),
        ("bidding", "UnlearningBidding"),
        ("orchestrator", "SilentOrchestrator"),
    ],
)
def test_a_team_plays_with_them_and_nobody_stands_in(role: str, name: str, market: VectorMarket) -> None:
    entrant = TeamSource(f"certainty-equivalent+{role}=evaluation.silenced:{name}").resolve()
    observations = market.reset(market_seeds("train", 0, 0, 2))
    entrant.team.start(flight_of(market))
    for _ in range(3):
        observations = market.step(entrant.team.act(observations)).observations
    assert not entrant.team.incapacities
    assert entrant.knowledge == "model-aware"


def test_they_say_less(market: VectorMarket) -> None:
    observations = market.reset(market_seeds("train", 0, 0, 2))
    flight = flight_of(market)
    silent, stuck, noisy, honest = SilentAudience(), UnlearningAudience(), NoisyAudience(), SegmentAverage()
    orchestrator = SilentOrchestrator()
    for policy in (silent, stuck, noisy, honest, orchestrator):
        policy.start(flight)
    first = stuck.act(observations.audience)
    np.testing.assert_array_equal(silent.act(observations.audience).affinity, 1.0)
    np.testing.assert_array_equal(silent.act(observations.audience).confidence, 0.0)
    directive = orchestrator.act(observations.orchestrator)
    assert not directive.premium_grant.any()
    assert (directive.throttle == 1.0).all()
    said, shouted = honest.act(observations.audience), noisy.act(observations.audience)
    off = np.log(shouted.affinity / said.affinity)
    assert 0.3 < off.std() < 0.7
    assert (noisy.act(observations.audience).affinity != shouted.affinity).any()
    team = TeamSource("certainty-equivalent").resolve().team
    team.start(flight)
    for _ in range(5):
        observations = market.step(team.act(observations)).observations
    np.testing.assert_allclose(stuck.act(observations.audience).affinity, first.affinity, rtol=1e-6)
    assert not np.allclose(honest.act(observations.audience).affinity, first.affinity, rtol=1e-6)


def test_an_unlearning_desk_ends_where_it_began_and_still_sees_recall(market: VectorMarket) -> None:
    policy = UnlearningBidding()
    observations = market.reset(market_seeds("train", 0, 0, 2))
    team = TeamSource("certainty-equivalent").resolve().team
    for each in (team, policy):
        each.start(flight_of(market))
    policy.act(observations.bidding)
    belief = policy.desk.estimator
    before, recall = belief.estimate(policy.desk._before), belief.recall.copy()
    for _ in range(4):
        observations = market.step(team.act(observations)).observations
        policy.act(observations.bidding)
    after = belief.estimate(policy.desk._before)
    np.testing.assert_array_equal(belief.x, belief.prior)
    np.testing.assert_array_equal(after.conversion, before.conversion)
    assert not np.array_equal(belief.recall, recall)
