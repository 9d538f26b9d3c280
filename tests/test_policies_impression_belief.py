from itertools import islice
from typing import Any

import numpy as np
import pytest
from support.flights import Moment, flight

from envs.catalogue import ARMS, S
from envs.scenario import load_scenario
from policies.impression_belief import ImpressionBelief
from policies.impression_likelihood import fading
from policies.kalman import KalmanBelief
from policies.policy import reads_listeners
from policies.registry import make_team
from policies.scripted_bidding import DeskBidding
from policies.scripted_creative import DeskCreative
from policies.team import Team
from policies.teams import filter_desk

SCENARIO = load_scenario("default")
KNOBS = {"exploration": 0.3}


def team(impressions: bool, audience: str = "listener-aware") -> Team:
    """A team whose desk reads impressions or counts, beside an audience agent that reads impressions."""
    desk = filter_desk(KNOBS, reads_listeners=impressions)
    roles: dict[str, Any] = {"creative": DeskCreative(desk), "bidding": DeskBidding(desk)}
    return Team("reads", {**make_team(audience).policies, **roles})


def belief(of: Team) -> KalmanBelief:
    found = of.policies["creative"].desk.estimator  # type: ignore[attr-defined]
    assert isinstance(found, KalmanBelief)
    return found


def errors(impressions: bool) -> np.ndarray:
    """Error of log response to the average listener, of what aired often, at the flight's end."""
    ours = team(impressions)
    for moment in flight(ours, SCENARIO, count=12):
        market = moment.market
    assert not ours.incapacities
    estimator, truth = belief(ours), market.parameters
    by_segment = [
        np.where(truth.listener_segment[:, None] == s, truth.affinity, 0.0).sum(-1)
        / (truth.listener_segment == s).sum(-1)[:, None]
        for s in range(S)
    ]
    level = np.log(np.stack(by_segment, -1))  # [B, C, S]
    believed = estimator.log_asset()[..., ARMS[:, 0], ARMS[:, 1]] + estimator.rest
    away = believed - (truth.log_arm + level[..., None]).reshape(believed.shape)
    variance = np.diagonal(estimator.rest_covariance, axis1=-2, axis2=-1).swapaxes(1, 2)
    often = variance < 0.7 * variance.max()
    assert often.sum() > 200
    return away[often]


def test_single_impressions_teach_more_than_counts() -> None:
    ours, counts = errors(True), errors(False)
    assert ours.std() < 0.95 * counts.std()
    assert abs(ours.mean()) < 0.5 * abs(counts.mean())


def test_a_market_alone_believes_the_same_bit_for_bit() -> None:
    many, one = team(True), team(True)
    for together, alone in zip(flight(many, SCENARIO, 3), flight(one, SCENARIO, 1), strict=True):
        np.testing.assert_array_equal(together.actions.bidding[:1], alone.actions.bidding)
    rows = SCENARIO.campaigns
    np.testing.assert_array_equal(belief(many).x[:rows], belief(one).x)


def test_who_does_not_read_impressions_is_not_given_any() -> None:
    assert make_team("listener-aware").reads_listeners
    assert not make_team("certainty-equivalent").reads_listeners
    quiet = team(False, "certainty-equivalent")
    assert not quiet.reads_listeners and not reads_listeners(quiet.policies["creative"])
    assert team(True, "certainty-equivalent").reads_listeners


def after_three_intervals() -> tuple[Team, ImpressionBelief, Moment]:
    """A team whose desk reads impressions, its belief, and the third moment of its flight."""
    ours = team(True, "certainty-equivalent")
    estimator = belief(ours)
    assert isinstance(estimator, ImpressionBelief)
    *_, moment = islice(flight(ours, SCENARIO, 1), 3)
    return ours, estimator, moment


@pytest.mark.parametrize("told", [0, 2])
def test_an_interval_counts_once_and_a_lost_one_not_at_all(told: int) -> None:
    """Both roles bring the same impressions; and where nobody does, creatives' effects stay believed."""
    ours, estimator, moment = after_three_intervals()
    before = estimator.rest.copy()
    log = moment.market.impressions
    assert log is not None and len(log.market)
    if told:
        ours.policies["creative"].read_impressions(log)  # type: ignore[attr-defined]
        ours.policies["bidding"].read_impressions(log)  # type: ignore[attr-defined]
    desk = ours.policies["creative"].desk  # type: ignore[attr-defined]
    desk.advance(moment.step.observations.bidding)
    assert (estimator.rest != before).any() == bool(told)
    once = estimator.rest.copy()
    ours.policies["bidding"].read_impressions(log)  # type: ignore[attr-defined]
    desk.advance(moment.step.observations.bidding)
    np.testing.assert_array_equal(estimator.rest, once)


def test_annoyance_fades_whether_or_not_impressions_are_told() -> None:
    ours, estimator, moment = after_three_intervals()
    before = estimator.annoyance.copy()
    ours.policies["creative"].desk.advance(moment.step.observations.bidding)  # type: ignore[attr-defined]
    assert before.any()
    np.testing.assert_allclose(estimator.annoyance, before * fading(SCENARIO.hours_per_interval))
