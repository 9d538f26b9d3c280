"""What campaigns make of alerts: they hold back while one of fraud is new, and learn nothing of what lies."""

from typing import Any

import numpy as np
from support.evidence import evidence

from envs.catalogue import ADVICE, ALERT_KINDS, ARMS, P, S, V
from envs.impressions import ImpressionLog
from envs.protocol import quiet_board
from policies.evidence import Evidence
from policies.heeding import (
    HELD_BACK,
    UNDONE,
    avoided,
    believable,
    broken,
    caution,
    doubtful,
    trusted_impressions,
    untracked,
)

QUIET, FRAUD, OUTAGE, SURGE, OVERSPEND = (
    ALERT_KINDS.index(name)
    for name in ("none", "invalid_traffic", "tracking_outage", "rival_surge", "overspend")
)


def told(*kinds: int) -> Evidence:
    rows = np.array([kinds], float)
    assert rows.shape == (1, P)
    return evidence(1)._replace(alert_kind=rows)


def test_bids_are_held_back_only_while_an_alert_of_fraud_is_new() -> None:
    quiet, alerted = told(QUIET, QUIET, SURGE), told(FRAUD, QUIET, SURGE)
    np.testing.assert_array_equal(caution(quiet, alerted), [[HELD_BACK, 1.0, 1.0]])
    np.testing.assert_array_equal(caution(None, alerted), [[HELD_BACK, 1.0, 1.0]])
    np.testing.assert_array_equal(caution(alerted, alerted), np.ones((1, P)))
    np.testing.assert_array_equal(caution(alerted, quiet), np.ones((1, P)))


def test_tripled_bids_are_undone_while_the_alert_is_new() -> None:
    before, alerted = told(QUIET, FRAUD, OVERSPEND), told(OVERSPEND, FRAUD, OVERSPEND)
    np.testing.assert_array_equal(caution(before, alerted), [[UNDONE, 1.0, 1.0]])
    np.testing.assert_array_equal(caution(None, alerted), [[UNDONE, HELD_BACK, UNDONE]])


def test_feedback_of_a_placement_full_of_robots_is_not_believed() -> None:
    rng = np.random.default_rng(0)
    now = told(OUTAGE, FRAUD, SURGE)
    counts = ("wins", "predicted_won", "completions", "skips", "clicks")
    now = now._replace(**{name: rng.uniform(1.0, 9.0, getattr(now, name).shape) for name in counts})
    found = believable(now, now, np.zeros((1, V), bool))
    for name in counts:
        assert (getattr(found, name)[:, :, 1] == 0.0).all()
        np.testing.assert_array_equal(getattr(found, name)[:, :, [0, 2]], getattr(now, name)[:, :, [0, 2]])
    np.testing.assert_array_equal(found.spend_usd, now.spend_usd)  # the money is gone all the same


def test_a_loss_of_tracking_is_no_loss_of_listeners() -> None:
    np.testing.assert_array_equal(untracked(told(QUIET, OUTAGE, FRAUD)), [[False, True, False]])


def test_a_creative_whose_link_is_dead_teaches_nothing_where_it_aired() -> None:
    board = quiet_board(1, 1)
    board.creative_alert.kind[0, 0] = (ALERT_KINDS.index("ctr_drop"), ALERT_KINDS.index("dislike_surge"), 0)
    wrong = broken(board, 1)
    np.testing.assert_array_equal(wrong, [[True, False, False]])
    scripts = np.array([[0, 1, 2, 0]])
    before = told(QUIET, QUIET, QUIET)._replace(arm=first_arm_of(scripts))
    now = told(QUIET, QUIET, QUIET)._replace(wins=np.ones((1, S, P)), arm=first_arm_of(scripts[:, ::-1]))
    found = believable(before, now, wrong)
    np.testing.assert_array_equal(found.wins[0, :, 0], [0.0, 1.0, 1.0, 0.0])


def first_arm_of(scripts: Any) -> Any:
    return np.array([[int(np.flatnonzero(ARMS[:, 1] == script)[0]) for script in row] for row in scripts])


def test_a_creative_that_is_to_be_paused_is_avoided_unless_nothing_else_is_left() -> None:
    board, pause = quiet_board(1, 2), ADVICE.index("pause")
    board.creative_alert.advice[0, 0] = (0, pause, ADVICE.index("resume"))
    board.creative_alert.advice[0, 1] = pause
    np.testing.assert_array_equal(avoided(board, 2), [[False, True, False], [False] * 3])


def test_the_audience_doubts_robots_lost_tracking_and_broken_creatives() -> None:
    board = quiet_board(1, 2)
    board.alert.kind[0, 0, 1], board.alert.kind[0, 0, 2] = FRAUD, OUTAGE
    board.alert.kind[0, 1] = SURGE
    board.creative_alert.kind[0, 1, 2] = ALERT_KINDS.index("dislike_surge")
    aired = first_arm_of([[0, 0, 0, 0], [0, 1, 2, 1]])[None]
    doubts = doubtful(board, aired)
    np.testing.assert_array_equal(doubts[0, 0], np.tile([False, True, True], (S, 1)))
    np.testing.assert_array_equal(doubts[0, 1].any(1), [False, False, True, False])
    cells = np.argwhere(np.ones((2, S, P)))
    c, s, p = cells.T
    columns = dict.fromkeys(ImpressionLog._fields, np.zeros(len(cells), np.int64))
    columns |= {"campaign": c, "segment": s, "placement": p, "arm": aired[0, c, s]}
    log = ImpressionLog(**columns)
    kept = trusted_impressions(log, board)
    found = set(zip(kept.campaign, kept.segment, kept.placement, strict=True))
    assert found == {tuple(cell) for cell in np.argwhere(~doubts[0])}
    assert trusted_impressions(log, quiet_board(1, 2)) is log
