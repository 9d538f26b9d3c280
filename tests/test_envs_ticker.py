from __future__ import annotations

import numpy as np
import pytest
from support.markets import RandomTeam, started, tiny

from envs.catalogue import VIDEO, on_placement
from envs.protocol import Board, CellCredit, quiet_board
from envs.ticker import Bulletin, news


def told(board: Board) -> list[Bulletin]:
    return news(quiet_board(1, 2), board, 0, 2)


def test_silence_is_no_news() -> None:
    assert told(quiet_board(1, 2)) == []
    market = started(tiny())
    market.step(RandomTeam()(market))
    assert news(market.board, market.board, 0, 2) == []


def test_every_sender_is_quoted() -> None:
    board = quiet_board(1, 2)
    board.segment_value.affinity[0, 1, 2] = 1.8
    board.segment_value.confidence[0, 1, 2] = 0.7
    board.creative_plan.format[0, 1, 2] = VIDEO
    board.creative_plan.expected_completion[0, 1, 2] = 0.83
    board.spend_plan.marginal_price_usd[0, 1] = 2.0
    board.alert.kind[0, 0, 1], board.alert.severity[0, 0, 1], board.alert.advice[0, 0, 1] = 1, 3, 2
    board.directive.budget_share[0] = (0.5, 2.0, 1.0, 1.0)
    board.directive.aggression_cap[0, 1] = 3.0
    board.directive.throttle[0, 0, 1] = 0.25
    board.directive.pause[0, 0] = 1
    board.directive.premium_grant[0, 2] = 2
    board.creative_alert.kind[0, 1, 2], board.creative_alert.advice[0, 1, 2] = 9, 2
    board.creative_pause.script[0, 0, 1] = 1
    assert [f"{b.sender} ({b.campaign}): {b.text}" for b in told(board)] == [
        "audience_0 (1): active are worth 1.8 x to campaign 1 (70% sure)",
        "creative_1 (1): video for active: 83% should complete",
        "bidding_1 (1): bids 2.00 USD, pacing +0%, wins 0%",
        "monitor_0 (0): critical: invalid traffic for campaign 0 on podcast break -> pause",
        "monitor_0 (1): ctr drop in the humorous creative of campaign 1 -> pause",
        "orchestrator_0 (0): pauses campaign 0",
        "orchestrator_0 (0): moves budget from campaign 0 (weight 0.50)",
        "orchestrator_0 (0): throttles campaign 0 on podcast break to 25%",
        "orchestrator_0 (0): takes the storytelling creative of campaign 0 off air",
        "orchestrator_0 (1): moves budget to campaign 1 (weight 2.00)",
        "orchestrator_0 (1): caps the bids of campaign 1 at 3.0 x value",
        "orchestrator_0 (1): grants video for active to campaign 1",
    ]


def test_a_grant_quotes_the_claim_it_was_made_on() -> None:
    before, after = quiet_board(1, 2), quiet_board(1, 2)
    before.creative_plan.premium_value_usd[0, 1] = (1.5, 9.0, 2.0, 9.0)
    after.directive.premium_grant[0] = (2, 0, 2, 0)
    (grant,) = news(before, after, 0, 2)
    assert grant.text == "grants video for commuters, active to campaign 1, which claims 3.50 USD an interval"


def test_small_changes_and_absent_campaigns_are_no_news() -> None:
    board, before = quiet_board(1, 2), quiet_board(1, 2)
    for one, price in ((before, 1.0), (board, 1.1)):
        one.spend_plan.marginal_price_usd[:] = price
    board.directive.budget_share[0] = (1.0, 1.1, 2.0, 2.0)
    board.segment_value.affinity[0, 3] = np.arange(4.0)
    board.alert.kind[0, 2] = 1
    board.directive.premium_grant[0] = 3
    assert news(before, board, 0, 2) == []
    board.spend_plan.marginal_price_usd[0, 0] = 0.5
    assert news(before, board, 0, 2)[0].text.startswith("bids down 50%")


def test_random_boards_are_quoted_without_fail() -> None:
    market = started(tiny(campaigns=4), 2)
    for _ in range(6):
        before = market.board
        market.step(RandomTeam()(market))
        for b in range(2):
            assert all(bulletin.text for bulletin in news(before, market.board, b, 4))


@pytest.mark.parametrize(("name", "said"), [("music_break", "on music break"), ("on_screen", "on screen")])
def test_a_sentence_says_where_without_stammering(name: str, said: str) -> None:
    assert on_placement(name) == said


def test_a_throttle_is_told_with_the_advice_that_it_follows() -> None:
    before, after = quiet_board(1, 2), quiet_board(1, 2)
    before.alert.advice[0, 1, 0], before.alert.kind[0, 1, 0] = 1, 1
    after.directive.throttle[0, 1, 0] = 0.5
    (line,) = (b.text for b in news(before, after, 0, 2) if b.sender == "orchestrator_0")
    assert line == "throttles campaign 1 on music break to 50%, advised to throttle for invalid traffic"


def test_credit_is_told_once_with_its_error_and_hold_outs_as_they_begin_and_end() -> None:
    cells = [np.zeros((1, 4, 3, 3)) for _ in range(3)]
    silent = quiet_board(1, 2)._replace(credit=CellCredit(*cells, np.zeros((1, 4))))
    rate, deviation = cells[0].copy(), cells[1].copy()
    rate[0, 1, 1, 0], deviation[0, 1, 1, 0] = 0.0042, 0.0006
    held = np.array([[0.0, 0.1, 0.0, 0.0]])
    speaking = silent._replace(credit=CellCredit(rate, deviation, cells[2], held))
    assert told(silent) == []
    bulletins = news(silent, speaking, 0, 2)
    assert {(one.sender, one.campaign) for one in bulletins} == {("attribution_0", 1)}
    assert [one.text for one in bulletins] == [
        "audio on podcast break brings campaign 1 most: 4.2 purchases a thousand (+/- 0.6)",
        "holds out 10% of the impressions of campaign 1",
    ]
    assert news(speaking, speaking, 0, 2) == []
    ended = speaking._replace(credit=speaking.credit._replace(hold_out=np.zeros((1, 4))))  # type: ignore[union-attr]
    assert [one.text for one in news(speaking, ended, 0, 2)] == [
        "holds out 0% of the impressions of campaign 1"
    ]
