import numpy as np
import pytest
from support.flights import flight
from support.markets import started, tiny

from envs.catalogue import K, S
from envs.expectation import expected_response
from envs.market import VectorMarket
from envs.scenario import load_scenario
from envs.seeds import market_seeds
from policies.arm_prior import ArmPrior, brief_vector
from policies.belief import Estimator, TrueResponse
from policies.desk import CampaignDesk
from policies.evidence import evidence_of
from policies.kalman import KalmanBelief
from policies.policy import flight_of
from policies.ratio import RatioBelief
from policies.registry import make_team

QUICK = load_scenario("quick")
KINDS = [KalmanBelief, RatioBelief]


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Of log responses over the arms of each segment, means removed."""
    a, b = (array - array.mean(-1, keepdims=True) for array in (one, other))
    return float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))


@pytest.mark.parametrize("kind", KINDS)
def test_the_posterior_is_nearer_to_the_truth_than_the_prior(kind: type[Estimator]) -> None:
    """Over flights on which creatives explore: believed against true log responses of all arms."""
    belief, prior = kind(), kind()
    before = None
    for moment in flight(make_team("random"), QUICK, 12):
        now = evidence_of(moment.observations.bidding)
        if before is None:
            belief.start(flight_of(moment.market), now)
            prior.start(flight_of(moment.market), now)
        else:
            belief.update(before, now)
        before = now
    last = evidence_of(moment.step.observations.bidding)
    belief.update(before, last)
    truth = np.log(
        expected_response(moment.market.parameters, moment.market.market_state, QUICK.intervals - 1)[0]
    )
    truth = truth.reshape(-1, *truth.shape[2:])
    learned, told = (correlation(np.log(b.estimate(last).response), truth) for b in (belief, prior))
    assert learned > told + 0.02
    if kind is KalmanBelief:
        assert learned > 0.55


def test_the_filter_is_surer_after_a_flight_and_never_impossible() -> None:
    """Under a team that spends its budget: random bids win a fifth of that, at these prices."""
    desk = make_team("certainty-equivalent").policies["bidding"].desk  # type: ignore[attr-defined]
    spreads = []
    for moment in flight(make_team("pid"), QUICK, 4):
        if not spreads:
            desk.start(flight_of(moment.market))
        desk.advance(moment.observations.bidding)
        spreads.append(float(np.trace(desk.estimator.covariance, axis1=-2, axis2=-1).mean()))
        assert (np.linalg.eigvalsh(desk.estimator.covariance) > -1e-9).all()
        assert (np.linalg.eigvalsh(desk.estimator.rest_covariance) >= 0.0).all()
    assert spreads[-1] < 0.75 * spreads[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("incident", [1, 3])
def test_beliefs_stay_finite_under_invalid_traffic_and_outage(kind: type[Estimator], incident: int) -> None:
    scenario = tiny(intervals=12, opportunities_per_interval=96)
    market = VectorMarket(scenario, 6)
    seen = market.reset(market_seeds("train", 0, 0, 6))
    parameters = market.parameters
    parameters.incident_kind[:, 0], parameters.incident_placement[:, 0] = incident, 0
    parameters.incident_start[:, 0], parameters.incident_length[:, 0] = 2, 8
    team, desk = make_team("pid"), CampaignDesk(estimator=kind())
    told = flight_of(market)
    team.start(told)
    desk.start(told)
    for _ in range(scenario.intervals):
        desk.advance(seen.bidding)
        estimate = desk.estimator.estimate(evidence_of(seen.bidding))
        arrays = [array for array in (*estimate, desk.base_log_multiplier) if array is not None]
        assert all(np.isfinite(array).all() for array in arrays)
        seen = market.step(team.act(seen)).observations


def test_missing_completions_make_a_placement_suspicious() -> None:
    """And an ordinary placement stays trusted; few music breaks can be won, so many are needed to tell."""
    scenario = tiny(intervals=10, opportunities_per_interval=768)
    market = VectorMarket(scenario, 8)
    seen = market.reset(market_seeds("train", 1, 0, 8))
    parameters = market.parameters
    parameters.incident_kind[:], parameters.incident_placement[:] = 0, 0
    parameters.incident_kind[:, 0], parameters.incident_start[:, 0] = 1, 2
    parameters.incident_length[:, 0] = 99
    team = make_team("certainty-equivalent")
    desk = team.policies["bidding"].desk  # type: ignore[attr-defined]
    team.start(flight_of(market))
    lowest = np.zeros(3)
    for _ in range(scenario.intervals):
        seen = market.step(team.act(seen)).observations
        lowest = np.minimum(lowest, desk.estimator.suspicion.mean(0))
    assert lowest[0] < -0.3
    assert lowest[1] > -0.25


@pytest.mark.parametrize("kind", KINDS)
def test_a_market_is_believed_alike_alone_and_in_a_batch(kind: type[Estimator]) -> None:
    together, alone = kind(), kind()
    before: list[object] = [None, None]
    whole = flight(make_team("random"), tiny(), 5)
    part = flight(make_team("random"), tiny(), 1, first=3)
    for moments in zip(whole, part, strict=True):
        for i, (belief, moment) in enumerate(zip((together, alone), moments, strict=True)):
            now = evidence_of(moment.observations.bidding)
            if before[i] is None:
                belief.start(flight_of(moment.market), now)
            else:
                belief.update(before[i], now)  # type: ignore[arg-type]
            before[i] = now
        for name in ("draw", "estimate"):
            one, other = getattr(together, name)(before[0]), getattr(alone, name)(before[1])
            for a, b in zip(*(x if isinstance(x, tuple) else (x,) for x in (one, other)), strict=True):
                assert (a is None) == (b is None)  # nobody attributes here
                if a is not None:
                    np.testing.assert_array_equal(a[6:8], b)


def test_exploration_spreads_draws_around_the_mean() -> None:
    market = started(tiny(), 3)
    now = evidence_of(market.reset(market.seeds).bidding)
    greedy, curious = KalmanBelief(exploration=0.0), KalmanBelief(exploration=1.0)
    for belief in (greedy, curious):
        belief.start(flight_of(market), now)
    mean = greedy.estimate(now).response
    np.testing.assert_array_equal(greedy.draw(now), mean)
    draws = np.log(np.stack([curious.draw(now) for _ in range(400)]))
    np.testing.assert_allclose(draws.mean(0), np.log(mean), atol=0.15)
    response = market.scenario.response
    expected = np.sqrt(response.format_sd**2 + response.script_sd**2 + response.interaction_sd**2)
    np.testing.assert_allclose(draws.std(0).mean(), expected, rtol=0.05)


def test_the_truth_needs_a_privileged_flight() -> None:
    market = started(tiny(), 2)
    now = evidence_of(market.reset(market.seeds).bidding)
    with pytest.raises(ValueError, match="it needs a flight with market"):
        TrueResponse().start(flight_of(market), now)
    truth = TrueResponse()
    truth.start(flight_of(market, privileged=True), now)
    assert truth.estimate(now).response.shape == (4, 4, 36)
    np.testing.assert_array_equal(truth.draw(now), truth.estimate(now).response)


@pytest.mark.parametrize("common", [0.0, 0.05])
def test_a_segment_tells_of_the_others_as_much_as_they_have_in_common(common: float) -> None:
    """Only what aired in the first segment is reported: rests of other segments follow, or stay put."""
    belief, before = None, None
    for moment in flight(make_team("random"), QUICK, 4):
        now = evidence_of(moment.observations.bidding)
        if belief is None:
            effect = np.zeros((1, S, K))
            prior = ArmPrior(brief_vector(now)[:1] + 100.0, effect, 0.06, 0.1, 0.0, common)
            belief = KalmanBelief(arm_prior=prior)
            belief.start(flight_of(moment.market), now)
        else:
            first = np.arange(S) == 0
            belief.update(before, now._replace(wins=now.wins * first[:, None]))
        before = now
    moved = np.abs(belief.rest)  # type: ignore[union-attr]
    assert moved[:, 0].max() > 0.01
    if common:
        np.testing.assert_allclose(belief.rest[:, 1:], common / 0.1 * belief.rest[:, :1].repeat(S - 1, 1))  # type: ignore[union-attr]
    else:
        assert moved[:, 1:].max() == 0.0
