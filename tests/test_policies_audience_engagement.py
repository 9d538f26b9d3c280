"""An audience agent without the market's equations: its regression, and what it is worth to a team."""

from itertools import pairwise

import numpy as np

from envs.impressions import ImpressionLog
from envs.market import VectorMarket
from envs.scenario import load_scenario
from envs.seeds import market_seeds
from evaluation.rollout import Course, play
from evaluation.sources import TeamSource
from policies.audience.engagement import EngagementAudience
from policies.audience.listener_model import ListenerModel
from policies.audience.taste_belief import Noise, conclude, learn_completions, new_belief
from policies.audience.taste_embedding import FACTORS, taste_model
from policies.policy import flight_of
from policies.registry import make_policy

NOISE = Noise(taste=0.3, nuisance=0.35, excess=0.2)
LISTENERS, WEIGHT, STEEPNESS = 40, 250, 0.7


def log_of(listener: np.ndarray, arm: np.ndarray, completions: np.ndarray, **others: int) -> ImpressionLog:
    """Of market 0, campaign 0, in segment 0."""
    zero, one = np.zeros_like(listener), np.ones(len(listener))
    told = {"skips": zero, "dislikes": zero, "clicks": zero}
    told |= {name: np.full_like(listener, count) for name, count in others.items()}
    numbers = (zero, zero, listener, zero, zero, arm, zero, completions, *told.values())
    return ImpressionLog(*numbers, one, one, one)


def test_it_finds_the_taste_that_completions_were_drawn_with() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, LISTENERS, FACTORS))
    taste, arms = rng.normal(0.0, (NOISE.taste / FACTORS) ** 0.5, FACTORS), {0: 3.0, 4: 2.4}
    belief = new_belief(1, LISTENERS, np.full((1, 1, 4), 2.0 / STEEPNESS), NOISE)
    for _ in range(80):
        listener, arm = rng.integers(LISTENERS, size=20), rng.choice([*arms], 20)
        noise = rng.normal(0.0, NOISE.excess**0.5, 20)
        log = np.array([arms[k] for k in arm]) + x[0, listener] @ taste + noise
        completions = rng.binomial(WEIGHT, 1.0 / (1.0 + np.exp(-STEEPNESS * log)))
        how = (float(WEIGHT), NOISE.nuisance, NOISE.excess, STEEPNESS)
        learn_completions(belief, x, log_of(listener, arm, completions), *how)
        conclude(belief, FACTORS / NOISE.taste, NOISE.nuisance)
    off = (belief.taste[0, 0] - taste) / np.sqrt(np.diag(belief.covariance[0, 0]))
    assert (np.abs(off) < 3.0).all() and np.corrcoef(belief.taste[0, 0], taste)[0, 1] > 0.95


def test_an_impression_without_completions_tells_nothing() -> None:
    belief = new_belief(1, LISTENERS, np.zeros((1, 1, 4)), NOISE)
    lost = log_of(np.array([3]), np.array([0]), np.array([0]), skips=9, clicks=5)
    how = (float(WEIGHT), NOISE.nuisance, NOISE.excess, STEEPNESS)
    learn_completions(belief, np.ones((1, LISTENERS, FACTORS)), lost, *how)
    assert not belief.weight.any() and not belief.evidence.any()


def test_it_tells_listeners_apart_alike_alone_and_in_a_batch() -> None:
    scenario, tables = load_scenario("default"), []
    for count in (3, 1):
        market = VectorMarket(scenario, count, impressions=True)
        observations = market.reset(market_seeds("development", 0, 0, count))
        team = TeamSource("shadow-price+audience=engagement")()
        team.start(flight_of(market, listening=True))
        for _ in range(40):
            actions = team.act(observations, market.impressions)
            observations = market.step(actions).observations
        assert not team.incapacities
        tables.append(np.array(actions.listener_affinity))
        if count == 3:
            told, truth = np.log(tables[0]), np.log(market.parameters.affinity)
            found = [
                np.corrcoef(told[b, c, first:end], truth[b, c, first:end])[0, 1]
                for b, starts in enumerate(market.parameters.segment_start)
                for c in range(market.num_campaigns)
                for first, end in pairwise(starts)
            ]
            assert np.mean(found) > 0.5
    np.testing.assert_array_equal(tables[0][:1], tables[1])


def test_a_team_reaches_listeners_who_care_more_with_it() -> None:
    course = Course(load_scenario("default"), "development", num_markets=12)
    plain, told = (
        play(TeamSource(name)(), course).metrics["listeners/relevance"]
        for name in ("shadow-price", "shadow-price+audience=engagement")
    )
    assert (told > plain).mean() > 0.8


def test_it_embeds_listeners_by_a_model_that_was_stored() -> None:
    policy = make_policy("audience", "engagement")
    assert isinstance(policy, EngagementAudience) and not policy.reads_order
    model = ListenerModel(taste_model(load_scenario("quick")))
    policy.embed_by(model)
    assert policy.fitted_model(load_scenario("default")) is model
