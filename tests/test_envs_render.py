from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.markets import RandomTeam, play, quiet, started, tiny

from envs.catalogue import VIDEO, P
from envs.constants import CTR_DROP, INVALID_TRAFFIC, RIVAL_SURGE
from envs.paths import ROOT
from envs.picture import HEIGHT, WIDTH
from envs.render import Viewer, demonstration_actions, main


def test_a_viewer_remembers_the_flight_of_one_market_of_a_batch() -> None:
    market = started(tiny(), 3)
    viewer = Viewer(market, 2)
    team, total = RandomTeam(), 0.0
    for _ in range(4):
        step = market.step(team(market))
        viewer.watch(step)
        total += step.rewards.team[2]
    assert viewer.objective_usd == pytest.approx(total) and len(viewer.frames) == 4
    assert np.allclose(viewer.frames[-1].spent_fraction, market.feed.spend_usd[2] / market.feed.budget_usd[2])
    text = viewer.ansi()
    assert str(market.seeds[2]) in text and "interval 4 of 6" in text
    assert all(viewer.campaign_name(c) in text for c in range(2))
    assert f"{market.outcome.spend_usd[2, 1, 3, 0]:9.2f} / " in text  # type: ignore[union-attr]
    assert "orchestrator_0" in text
    viewer.reset()
    assert not viewer.frames and not viewer.bulletins


def test_the_clock_and_begun_incidents_are_told() -> None:
    market = started(tiny(intervals=30, intervals_per_day=12, incidents={"incident_probability": 0.0}))
    m = market.parameters
    m.incident_kind[0], m.incident_start[0], m.incident_length[0] = (
        (INVALID_TRAFFIC, RIVAL_SURGE),
        (2, 20),
        40,
    )
    m.incident_placement[0] = 1
    viewer = Viewer(market)
    assert viewer.clock() == "day 1, 00:00, interval 0 of 30" and viewer.incidents() == []
    for _ in range(15):
        viewer.watch(market.step(RandomTeam()(market)))
    assert viewer.clock() == "day 2, 06:00, interval 15 of 30"
    assert viewer.incidents() == [("invalid traffic on podcast break", 2, 30)]
    assert "incident (hidden from agents): invalid traffic on podcast break, 2 to 30" in viewer.ansi()


def test_an_incident_on_a_creative_names_what_aired_as_it_began() -> None:
    market = started(tiny(incidents={"incident_probability": 0.0}))
    m = market.parameters
    m.incident_kind[0, 0], m.incident_start[0, 0], m.incident_length[0, 0] = CTR_DROP, 1, 3
    m.incident_campaign[0, 0], m.incident_segment[0, 0] = 1, 2
    viewer, actions = Viewer(market), quiet(market)
    actions.creative[0, 1, 2] = (0, 1, 0, 0)
    for _ in range(3):
        viewer.watch(market.step(actions))
    assert viewer.incidents() == [("ctr drop in the storytelling creative of campaign 1", 1, 4)]


def test_the_example_of_the_design_can_be_seen() -> None:
    """Audience finds a segment, orchestrator grants video, creative moves there; budget and bids follow."""
    scenario = tiny(
        intervals=12, intervals_per_day=4, budget_fraction=1.0, response={"affinity_hint_sd": 0.0}
    )
    market = started(scenario, 8)
    hint = market.parameters.affinity_hint[:, 1]
    b = int(hint.max(-1).argmax())  # the market in which campaign 1 has most to gain
    s = int(hint[b].argmax())
    viewer = Viewer(market, b)
    boards, budgets, bids = [], [], []
    for _ in range(8):
        actions = demonstration_actions(market)
        bids.append(actions.bidding[b, 1, 1 + P :])
        viewer.watch(market.step(actions))
        boards.append(market.board)
        budgets.append(market.feed.budget_usd[b, 1])
    found = scenario.intervals_per_day  # from then on audience knows campaign 1
    assert boards[found - 1].segment_value.affinity[b, 1, s] == 1.0
    assert boards[found].segment_value.affinity[b, 1].argmax() == s
    assert boards[found + 1].directive.premium_grant[b, s] == 2
    assert boards[found + 2].creative_plan.format[b, 1, s] == VIDEO
    assert budgets[found + 2] > budgets[found]
    assert bids[found][s] == 0.0 < bids[found + 2][s]
    told = [(t, news.sender) for t, news in viewer.bulletins if news.campaign == 1 and t > found]
    order = [(found + 1, "audience_0"), (found + 2, "orchestrator_0"), (found + 3, "creative_1")]
    assert next(message for message in told if message in order) == order[0]
    assert set(order) <= set(told)


def test_the_demonstration_plays_every_market_to_the_end() -> None:
    for campaigns in (1, 4):
        market = started(tiny(campaigns=campaigns, intervals=30, intervals_per_day=4), 4)
        steps = play(market, demonstration_actions)
        assert steps[-1].terminated and sum(step.outcome.wins.sum() for step in steps) > 0


def test_the_picture_of_the_readme_can_be_drawn_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "market.png"
    assert main([str(file)]) == 0
    header = file.read_bytes()[:24]
    assert header[1:4] == b"PNG"
    assert (int.from_bytes(header[16:20]), int.from_bytes(header[20:24])) == (WIDTH, HEIGHT)
    assert (ROOT / "docs" / "market.png").read_bytes()[16:24] == header[16:24]
    assert main([]) == 2 and "usage" in capsys.readouterr().err
