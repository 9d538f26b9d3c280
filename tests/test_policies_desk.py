import numpy as np
import pytest
from support.evidence import evidence
from support.flights import flight
from support.markets import started, tiny

from envs.catalogue import ADVICE, ARMS, VIDEO, K, P, S
from envs.observation import SCHEMAS
from envs.protocol import MAX_MULTIPLIER_LOG, quiet_board
from policies.desk import (
    BIDDING_ACTION,
    CAMPAIGN_BELIEF,
    LOWEST_LOG_SCORE,
    SEGMENT_BELIEF,
    CampaignDesk,
    DeskKnobs,
    additive,
    heeded,
)
from policies.policy import flight_of
from policies.ratio import RatioBelief
from policies.registry import learning_desk, make_team

SCENARIO = tiny(intervals=8, opportunities_per_interval=48)


def cells(logs: np.ndarray) -> np.ndarray:
    """[M, 1 + P + S] → [M, S, P] as the market adds them."""
    return logs[:, :1, None] + logs[:, None, 1 : 1 + P] + logs[:, 1 + P :, None]


def test_an_additive_wish_is_met_exactly() -> None:
    rng = np.random.default_rng(0)
    parts = rng.normal(0.0, 0.5, (20, 1)), rng.normal(0.0, 0.5, (20, P)), rng.normal(0.0, 0.5, (20, S))
    wish = cells(np.concatenate(parts, 1))
    np.testing.assert_allclose(cells(additive(wish, np.ones((20, S, P), bool))), wish, atol=1e-12)


def test_any_wish_is_met_as_nearly_as_sums_allow() -> None:
    """Against least squares over the valid cells."""
    rng = np.random.default_rng(1)
    wish, valid = rng.normal(0.0, 0.4, (30, S, P)), rng.random((30, S, P)) < 0.8
    found = cells(additive(wish, valid))
    for m in range(30):
        segment, placement = np.nonzero(valid[m])
        design = np.zeros((len(segment), 1 + P + S))
        rows = np.arange(len(segment))
        design[:, 0] = design[rows, 1 + placement] = design[rows, 1 + P + segment] = 1.0
        best = np.linalg.lstsq(design, wish[m][valid[m]], rcond=None)[0]
        least = np.sqrt(np.mean((design @ best - wish[m][valid[m]]) ** 2))
        mine = np.sqrt(np.mean((found[m] - wish[m])[valid[m]] ** 2))
        assert mine <= least + 0.12


def test_nothing_valid_means_the_lowest_bid_and_all_stays_bounded() -> None:
    logs = additive(np.full((1, S, P), 9.0), np.zeros((1, S, P), bool))
    assert logs[0, 0] == -MAX_MULTIPLIER_LOG
    assert (np.abs(additive(np.full((1, S, P), 99.0), np.ones((1, S, P), bool))) <= MAX_MULTIPLIER_LOG).all()


def test_a_second_look_at_the_same_interval_changes_nothing() -> None:
    """Creative and bidding agents share the desk: it works once an interval."""
    once, twice = learning_desk(), learning_desk()
    for moment in flight(make_team("pid"), SCENARIO, 3):
        if moment.market.interval == 1:
            told = flight_of(moment.market)
            for desk in (once, twice):
                desk.start(told)
        once.advance(moment.observations.creative)
        for observation in (moment.observations.creative, moment.observations.bidding):
            twice.start(told)
            twice.advance(observation)
        for name in ("arm_log_score", "arm_mask", "base_log_multiplier", "segment_belief", "campaign_belief"):
            np.testing.assert_array_equal(getattr(once, name), getattr(twice, name))


def test_another_flight_starts_afresh() -> None:
    desk, market = learning_desk(), started(SCENARIO, 2)
    told = flight_of(market)
    desk.start(told)
    desk.advance(market.reset(market.seeds).bidding)
    first = desk.arm_log_score.copy()
    for moment in flight(make_team("pid"), SCENARIO, 2):
        desk.advance(moment.observations.bidding)
    desk.start(flight_of(market))
    desk.advance(market.reset(market.seeds).bidding)
    np.testing.assert_array_equal(desk.arm_log_score, first)


def test_shapes_types_and_bounds_over_a_flight() -> None:
    team = make_team("certainty-equivalent")
    desk = team.policies["bidding"].desk  # type: ignore[attr-defined]
    assert desk is team.policies["creative"].desk  # type: ignore[attr-defined]
    video = ARMS[:, 0] == VIDEO
    for moment in flight(team, SCENARIO, 3):
        assert desk.arm_log_score.shape == (3, 2, S, K)
        assert desk.segment_belief.shape == (3, 2, S, SEGMENT_BELIEF)
        assert desk.campaign_belief.shape == (3, 2, CAMPAIGN_BELIEF)
        assert desk.base_log_multiplier.shape == (3, 2, BIDDING_ACTION)
        for array in (
            desk.arm_log_score,
            desk.segment_belief,
            desk.campaign_belief,
            desk.base_log_multiplier,
        ):
            assert array.dtype == np.float32
            assert np.isfinite(array).all()
        assert (desk.arm_log_score >= LOWEST_LOG_SCORE - 1e-6).all()
        assert (desk.arm_log_score.max(-1) == 0.0).all()
        assert desk.premium_value_usd.shape == (3, 2, S)
        assert desk.premium_value_usd.dtype == np.float64 and (desk.premium_value_usd >= 0.0).all()
        assert moment.actions.premium_value_usd is desk.premium_value_usd
        granted = SCHEMAS["creative"].view(moment.observations.creative, "premium_grant") > 0.5
        np.testing.assert_array_equal(desk.arm_mask[..., video].all(-1), granted)
        assert desk.arm_mask[..., ~video].all()


def test_a_claim_heeds_the_audience_as_far_as_it_is_sure() -> None:
    told = evidence(
        3, elapsed_fraction=[0.0, 0.5, 0.5], segment_affinity=4.0, segment_confidence=[[0.5], [0.0], [0.5]]
    )
    np.testing.assert_allclose(heeded(told, np.full((3, S), 1.0)), [[1.0] * S, [1.0] * S, [2.0] * S])


def test_a_claim_is_the_gain_of_video_over_the_rest_by_the_desks_surplus() -> None:
    """Only the best arms' gap counts, and it grows with what the inventory holds."""
    team = make_team("certainty-equivalent", {"exploration": 0.0})
    desk = team.policies["creative"].desk  # type: ignore[attr-defined]
    video, claimed = ARMS[:, 0] == VIDEO, 0
    for _ in flight(team, SCENARIO, 3):
        score = desk.arm_log_score
        gains = score[..., video].max(-1) > score[..., ~video].max(-1)
        np.testing.assert_array_equal(desk.premium_value_usd > 0.0, gains)
        claimed += int(gains.sum())
    assert 0 < claimed < SCENARIO.intervals * 3 * 2 * S


def test_claims_do_not_depend_on_the_batch() -> None:
    many = flight(make_team("certainty-equivalent"), SCENARIO, 5)
    alone = flight(make_team("certainty-equivalent"), SCENARIO, 1, first=3)
    for whole, part in zip(many, alone, strict=True):
        claims = whole.actions.premium_value_usd
        assert claims is not None and part.actions.premium_value_usd is not None
        np.testing.assert_array_equal(claims[3:4], part.actions.premium_value_usd)


def test_beliefs_need_a_filter_and_an_interval() -> None:
    with pytest.raises(TypeError, match="KalmanBelief"):
        CampaignDesk(estimator=RatioBelief()).belief_features()
    fresh = learning_desk()
    fresh.start(flight_of(started(SCENARIO)))
    with pytest.raises(TypeError, match="has advanced"):
        fresh.belief_features()


def test_knobs_go_where_they_belong() -> None:
    knobs = DeskKnobs.of(initial_dual=2.0, step=0.3, recall_price=0.4, fatigue_price=7.0, price_sd=0.9)
    assert (knobs.pacing.initial_dual, knobs.pacing.step) == (2.0, 0.3)
    assert (knobs.shadow.recall, knobs.shadow.fatigue, knobs.price_sd) == (0.4, 7.0, 0.9)
    with pytest.raises(TypeError):
        DeskKnobs.of(charm=1.0)


def test_a_creative_that_is_to_be_paused_is_not_chosen_nor_claimed_for() -> None:
    market, team = started(SCENARIO, 2), make_team("certainty-equivalent")
    team.start(flight_of(market))
    board, creative = quiet_board(2, 2), team.policies["creative"]
    observations = market._observations()
    chosen = team.act(observations).creative
    barred = int(chosen[0, 0, 0, 1])
    board.creative_alert.advice[0, 0, barred] = ADVICE.index("pause")
    team.start(flight_of(market))
    again = team.act(observations._replace(board=board)).creative
    assert (again[0, 0, :, 1] != barred).all()
    np.testing.assert_array_equal(again[1], chosen[1])
    np.testing.assert_array_equal(again[0, 1], chosen[0, 1])
    desk: CampaignDesk = creative.desk  # type: ignore[attr-defined]
    of_barred = ARMS[:, 1] == barred
    assert not desk.arm_mask[0, 0, :, of_barred].any() and desk.arm_mask[0, 0, :, ~of_barred].any()
    np.testing.assert_allclose(desk.arm_log_score[0, 0, :, of_barred], LOWEST_LOG_SCORE, rtol=1e-6)
