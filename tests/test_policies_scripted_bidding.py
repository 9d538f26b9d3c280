import numpy as np
from support.flights import flight
from support.markets import tiny

from envs.catalogue import P
from envs.observation import SCHEMAS
from envs.protocol import MAX_MULTIPLIER_LOG
from policies.desk import BIDDING_ACTION
from policies.pacing import MultiplicativePacer, Pacer, PacingKnobs
from policies.registry import make_policy, make_team, policy_names
from policies.scripted_bidding import DeskBidding, PacedBidding, ThrottledBidding
from policies.team import Team

SCENARIO = tiny(intervals=10, campaigns=3)


def with_bidding(policy: object) -> Team:
    return Team("test", {**make_team("value-aware").policies, "bidding": policy})  # type: ignore[dict-item]


def test_every_bidder_stays_within_the_protocol() -> None:
    for name in policy_names("bidding"):
        if name == "oracle":
            continue
        for moment in flight(with_bidding(make_policy("bidding", name)), SCENARIO):
            bids = moment.actions.bidding
            assert bids.shape == (4, 3, BIDDING_ACTION)
            assert bids.dtype == np.float64
            assert (np.abs(bids) <= MAX_MULTIPLIER_LOG).all(), name


def test_an_unpaced_bidder_bids_the_same_everywhere() -> None:
    for moment in flight(with_bidding(PacedBidding(Pacer(np.exp(0.3)))), SCENARIO):
        np.testing.assert_allclose(moment.actions.bidding[..., 0], -0.3)
        assert (moment.actions.bidding[..., 1:] == 0.0).all()


def test_a_paced_bidder_bids_affinity_over_the_price_of_budget() -> None:
    policy = PacedBidding(MultiplicativePacer(PacingKnobs(initial_dual=2.0, step=0.2)), frequency_damping=1.5)
    for interval, moment in enumerate(flight(with_bidding(policy), SCENARIO)):
        bids = moment.actions.bidding
        if interval == 0:
            np.testing.assert_allclose(bids[..., 0], -np.log(2.0))
        np.testing.assert_allclose(bids[..., 0].reshape(-1), -np.log(policy.pacer.dual))
        assert (bids[..., 1 : 1 + P] == 0.0).all()
        fatigue = SCHEMAS["bidding"].view(moment.observations.bidding, "fatigue")
        np.testing.assert_allclose(bids[..., 1 + P :], np.maximum(-4.0, -1.5 * fatigue), rtol=1e-6)


def test_at_first_price_every_bidder_stays_below_its_second_price_bid() -> None:
    """At the flight's start, before prices paid part the ways."""
    first_price = tiny(intervals=1, campaigns=3, auction={"pricing": "first_price"})
    for name in ("pid", "value", "shadow-price", "online-lp", "first-price-dual", "truthful"):
        second, first = (
            next(m.actions.bidding for m in flight(with_bidding(make_policy("bidding", name)), world))
            for world in (tiny(intervals=1, campaigns=3), first_price)
        )
        if name in ("first-price-dual", "truthful"):  # whatever the pricing
            np.testing.assert_array_equal(first, second)
            continue
        cells = [b[..., :1, None] + b[..., None, 1 : 1 + P] + b[..., 1 + P :, None] for b in (first, second)]
        assert (cells[0].mean((-1, -2)) < cells[1].mean((-1, -2))).all(), name


def test_throttled_segments_sit_out_as_often_as_the_budget_asks() -> None:
    policy = make_policy("bidding", "throttling")
    assert isinstance(policy, ThrottledBidding)
    policy.throttle = Pacer(2.5)
    bids = [m.actions.bidding for m in flight(with_bidding(policy), tiny(intervals=30, campaigns=3), 8)]
    out = np.stack(bids)[..., 1 + P :] == -MAX_MULTIPLIER_LOG
    assert abs(out.mean() - 0.6) < 0.04
    chance = np.where(out[-1], 0.6, 0.4).prod(-1)
    np.testing.assert_allclose(np.exp(policy.log_propensity), chance)
    assert (out[0] != out[1]).any() and (out[0, 0] != out[0, 1]).any()
    policy.throttle = Pacer(0.5)
    for moment in flight(with_bidding(policy), SCENARIO):
        np.testing.assert_array_equal(moment.actions.bidding, policy.desk.base_log_multiplier)


def test_a_desk_bidder_bids_what_its_desk_says() -> None:
    policy = make_policy("bidding", "shadow-price")
    assert isinstance(policy, DeskBidding)
    for moment in flight(with_bidding(policy), SCENARIO):
        np.testing.assert_array_equal(moment.actions.bidding, policy.desk.base_log_multiplier)


def test_random_bids_change_every_interval_and_differ_between_markets() -> None:
    bids = [m.actions.bidding for m in flight(with_bidding(make_policy("bidding", "random")), SCENARIO)]
    assert (bids[0] != bids[1]).all()
    assert (bids[0][0] != bids[0][1]).all()
    assert abs(float(np.stack(bids).mean()) + 0.5) < 0.1
