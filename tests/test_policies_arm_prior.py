from __future__ import annotations

import json

import numpy as np
import pytest

from envs import catalogue as cat
from envs.market import VectorMarket
from envs.scenario import load_scenario
from envs.seeds import market_seeds
from policies.arm_prior import BRIEF_SIZE, ArmPrior, beyond_additive, brief_vector
from policies.evidence import Evidence, evidence_of
from policies.policy import flight_of
from policies.registry import learning_desk

SCENARIO = load_scenario("quick")


def _first(split: str = "train", markets: int = 4) -> Evidence:
    market = VectorMarket(SCENARIO, markets, split=split)  # type: ignore[arg-type]
    return evidence_of(market.reset(market_seeds(split, 0, 0, markets)).bidding)  # type: ignore[arg-type]


def _prior(now: Evidence) -> ArmPrior:
    brief = np.unique(brief_vector(now), axis=0)
    effect = np.random.default_rng(0).normal(0.0, 0.2, (len(brief), cat.S, cat.K))
    return ArmPrior(brief, effect, 0.06, 0.1, 0.01, 0.04)


def test_a_known_brief_brings_its_own_effects_and_a_strange_one_none() -> None:
    now = _first()
    prior = _prior(now)
    mean, variance, common = prior.expect(now)
    own = [int(((prior.brief - row) ** 2).sum(1).argmin()) for row in brief_vector(now)]
    np.testing.assert_allclose(mean, prior.effect[own])
    np.testing.assert_allclose(variance, 0.06)
    np.testing.assert_allclose(common, 0.01)
    strange = now._replace(brief_log_script=now.brief_log_script + 2.0)
    mean, variance, common = prior.expect(strange)
    assert np.abs(mean).max() < 1e-2
    np.testing.assert_allclose(variance, 0.1, rtol=1e-2)
    np.testing.assert_allclose(common, 0.04, rtol=1e-2)


def test_it_travels_as_plain_data_bit_for_bit() -> None:
    prior = _prior(_first())
    again = ArmPrior.from_json(json.loads(json.dumps(prior.to_json())))
    for name in ("brief", "effect"):
        np.testing.assert_array_equal(getattr(again, name), getattr(prior, name))
    assert (again.variance, again.unknown_variance) == (prior.variance, prior.unknown_variance)
    assert (again.common, again.unknown_common) == (prior.common, prior.unknown_common)


def test_one_from_before_segments_told_of_one_another_has_nothing_in_common() -> None:
    told = _prior(_first()).to_json()
    del told["common"], told["unknown_common"]
    assert (ArmPrior.from_json(told).common, ArmPrior.from_json(told).unknown_common) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"brief": [[0.0]]}, rf"brief has shape \(1, 1\), expected \(n, {BRIEF_SIZE}\)"),
        ({"effect": [[0.0]]}, "effect has shape"),
        ({"variance": 0.0}, "variances above 0"),
        ({"common": 0.06}, "from 0 to below the variance"),
        ({"unknown_common": -0.01}, "from 0 to below the variance"),
        ({"variance": None}, "not an arm prior"),
        ({"effect": "x"}, "not an arm prior"),
    ],
)
def test_what_is_no_prior_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ArmPrior.from_json({**_prior(_first()).to_json(), **change})


def test_beyond_additive_leaves_nothing_of_level_format_and_script() -> None:
    rng = np.random.default_rng(1)
    additive = 1.0 + rng.normal(size=cat.F)[cat.ARMS[:, 0]] + rng.normal(size=cat.V)[cat.ARMS[:, 1]]
    np.testing.assert_allclose(beyond_additive(additive), 0.0, atol=1e-12)
    own = rng.normal(size=(3, cat.K))
    rest = beyond_additive(own + additive)
    np.testing.assert_allclose(rest, beyond_additive(own), atol=1e-12)
    np.testing.assert_allclose(beyond_additive(rest), rest, atol=1e-12)


def test_a_taught_desk_prefers_what_it_was_taught() -> None:
    market = VectorMarket(SCENARIO, 4)
    observations = market.reset(market_seeds("train", 0, 0, 4))
    now = evidence_of(observations.bidding)
    best = 1  # an audio arm, which needs no grant
    effect = np.zeros((1, cat.S, cat.K))
    effect[..., best] = 3.0
    prior = ArmPrior(brief_vector(now)[:1], effect, 0.06, 0.1)
    desk = learning_desk({"exploration": 0.0}, prior)
    desk.start(flight_of(market))
    desk.advance(observations.bidding)
    assert (desk.arm_log_score.reshape(-1, cat.S, cat.K)[0].argmax(-1) == best).all()
