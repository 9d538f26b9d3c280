from __future__ import annotations

import numpy as np
import pytest

from envs import catalogue as cat
from envs.generator import VERTICAL_TABLE
from envs.market import VectorMarket
from envs.scenario import load_scenario
from envs.seeds import market_seeds
from policies.arm_prior import ArmPrior, beyond_additive
from policies.evidence import evidence_of
from training.arm_prior import learn_arm_prior

SCENARIO = load_scenario("default")


@pytest.fixture(scope="module")
def prior() -> ArmPrior:
    return learn_arm_prior(SCENARIO, 0, 512)


def test_it_finds_what_campaigns_of_a_vertical_share(prior: ArmPrior) -> None:
    """Against the simulator's own table, which nobody was told."""
    assert len(prior.brief) == len(SCENARIO.verticals)
    shared = SCENARIO.response.interaction_sd * 0.6 * VERTICAL_TABLE.structure
    for effect in prior.effect:
        found = beyond_additive(effect.mean(0))
        errors = [np.abs(found - beyond_additive(row)).mean() for row in shared]
        assert min(errors) < 0.25 * np.abs(found).mean()
    assert 0.0 < prior.variance < prior.unknown_variance


def test_verticals_differ_alike_in_all_segments_and_campaigns_mostly_do_not(prior: ArmPrior) -> None:
    """The generator's vertical structure is one row for all segments; a campaign's moods are too, in part."""
    structure = (0.6 * SCENARIO.response.interaction_sd) ** 2
    assert prior.unknown_common - prior.common == pytest.approx(structure, rel=0.25)
    assert 0.0 < prior.common < 0.25 * prior.variance


def test_it_foretells_new_campaigns_and_says_nothing_of_strange_ones(prior: ArmPrior) -> None:
    market = VectorMarket(SCENARIO, 64, split="held_out")
    now = evidence_of(market.reset(market_seeds("held_out", 0, 0, 64)).bidding)
    told = now.brief_log_format[..., cat.ARMS[:, 0]] + now.brief_log_script[..., cat.ARMS[:, 1]]
    truth = beyond_additive(np.log(market.expectation().response.reshape(told.shape)) - told)
    mean, *_ = prior.expect(now)
    known = np.isin(market.parameters.vertical.ravel(), np.unique(_trained()))
    better = 1.0 - ((truth - mean) ** 2).mean((1, 2)) / (truth**2).mean((1, 2))
    assert better[known].mean() > 0.2
    assert np.abs(mean[~known]).max() < 0.05


def _trained() -> np.ndarray:
    market = VectorMarket(SCENARIO, 64)
    market.reset(market_seeds("train", 0, 0, 64))
    return market.parameters.vertical


def test_the_same_seed_gives_the_same_prior() -> None:
    one, two = (learn_arm_prior(SCENARIO, 3, 70) for _ in range(2))
    np.testing.assert_array_equal(one.effect, two.effect)
    assert not np.array_equal(one.effect, learn_arm_prior(SCENARIO, 4, 70).effect)
