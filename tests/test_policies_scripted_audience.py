from functools import cache

import numpy as np
import pytest
from support.flights import flight
from support.markets import RandomTeam, started, tiny

from envs.catalogue import ALERT_KINDS, MAX_CAMPAIGNS, S
from envs.observation import SCHEMAS, Observation
from envs.protocol import quiet_board
from envs.scenario import load_scenario
from policies.policy import Flight, flight_of
from policies.registry import make_team
from policies.scripted_audience import SegmentAverage, TrueAffinity

FIRST_SEGMENT = np.eye(S)[0]


@cache
def told() -> Flight:
    return flight_of(started(tiny(), 1))


def seen(**fields: float | np.ndarray) -> Observation:
    """An audience observation of one market."""
    schema = SCHEMAS["audience"]
    shapes = {field.name: np.zeros(field.shape) for field in schema.fields}
    values = {name: array + fields.get(name, 0.0) for name, array in shapes.items()}
    return schema.pack({name: array[None] for name, array in values.items()}, (1,))[:, None]


def test_the_first_word_is_the_hint_without_confidence() -> None:
    policy = SegmentAverage()
    policy.start(told())
    value = policy.act(seen(affinity_hint=1.7))
    assert value.affinity.shape == value.confidence.shape == (1, MAX_CAMPAIGNS, S)
    np.testing.assert_allclose(value.affinity, 1.7, rtol=1e-6)
    assert (value.confidence == 0.0).all()


def test_clicks_correct_the_hint_as_a_gamma_posterior() -> None:
    policy = SegmentAverage(prior_clicks=40.0)
    policy.start(told())
    value = policy.act(seen(affinity_hint=1.0, clicks=20.0 + 10.0 * FIRST_SEGMENT, expected_clicks=20.0))
    np.testing.assert_allclose(value.affinity[..., 0] / value.affinity[..., 1], 70.0 / 60.0)
    np.testing.assert_allclose(np.log(value.affinity).mean(-1), 0.0, atol=1e-9)
    np.testing.assert_allclose(value.confidence, 20.0 / 60.0)


def test_a_flood_of_clicks_is_not_believed() -> None:
    """Invalid traffic: an interval counts at most thrice what was foretold."""
    policy = SegmentAverage()
    policy.start(told())
    value = policy.act(seen(affinity_hint=1.0, clicks=1.0 + 9_999.0 * FIRST_SEGMENT, expected_clicks=1.0))
    np.testing.assert_allclose(value.affinity[..., 0] / value.affinity[..., 1], 46.0 / 41.0)


def test_what_all_segments_share_is_not_the_audiences_doing() -> None:
    policy = SegmentAverage()
    policy.start(told())
    value = policy.act(seen(affinity_hint=1.3, clicks=5.0, expected_clicks=20.0))
    np.testing.assert_allclose(value.affinity, 1.3, rtol=1e-6)


def test_over_a_flight_segments_are_told_apart_better() -> None:
    """Of a campaign's segments: which are worth more than its others, against the truth."""
    scenario = load_scenario("quick")
    errors = []
    for moment in flight(make_team("value-aware"), scenario, 32):
        m = moment.market.parameters
        segment = m.listener_segment[:, None, :, None] == np.arange(S)
        truth = (m.affinity[..., None] * segment).sum(2) / np.maximum(1, segment.sum(2))
        told = moment.actions.audience.affinity[:, : scenario.campaigns]
        apart = [np.log(np.maximum(0.05, a)) for a in (told, truth)]
        one, other = (a - a.mean(-1, keepdims=True) for a in apart)
        errors.append(float(np.abs(one - other).mean()))
    assert errors[-1] < 0.95 * errors[0]


def test_the_truth_is_the_mean_over_listeners_and_needs_a_privileged_flight() -> None:
    market = started(tiny(), 3)
    oracle = TrueAffinity()
    with pytest.raises(ValueError, match="evaluation only"):
        oracle.start(flight_of(market))
    oracle.start(flight_of(market, privileged=True))
    value = oracle.act(np.zeros((3, 1, SCHEMAS["audience"].size), np.float32))
    m = market.parameters
    listeners = m.affinity[1, 0][m.listener_segment[1] == 2]
    assert value.affinity[1, 0, 2] == pytest.approx(min(10.0, listeners.mean()))
    assert (value.affinity[:, 2:] == 1.0).all()
    assert oracle.listener_affinity is m.affinity


def test_clicks_that_an_alert_calls_false_teach_nothing() -> None:
    """Robots on screen in one market, none in the other: where they are told of, only other clicks count."""
    market, team = started(tiny(opportunities_per_interval=200, budget_fraction=0.5), 2), RandomTeam()
    naive, warned, deaf = (SegmentAverage() for _ in range(3))
    for policy in (naive, warned, deaf):
        policy.start(flight_of(market))
    observations = market._observations()
    for t in range(4):
        board = quiet_board(2, 2)
        if t == 3:
            board.alert.kind[0, :2, 2] = ALERT_KINDS.index("invalid_traffic")
        warned.read_observations(observations._replace(board=board))
        deaf.read_observations(observations._replace(board=None))
        said = [policy.act(observations.audience).affinity for policy in (naive, warned, deaf)]
        np.testing.assert_array_equal(said[0], said[2])
        np.testing.assert_array_equal(said[0][1], said[1][1])
        if t < 3:
            np.testing.assert_array_equal(said[0], said[1])
        observations = market.step(team(market)._replace(creative_pause=None)).observations
    assert (said[0][0] != said[1][0]).any()
    assert (warned._seen <= naive._seen).all() and (warned._foretold <= naive._foretold).all()
