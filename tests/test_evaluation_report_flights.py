from dataclasses import replace

import numpy as np
import pytest

from envs.catalogue import FORMATS, PLACEMENTS, SEGMENTS, F, S
from envs.scenario import load_scenario
from evaluation import report_flights as flights
from evaluation.replay import BidRows, Replay, replay
from evaluation.rollout import Course
from policies.registry import make_team

COLOURS = {"pid": "#112233", "siloed": "#445566"}


@pytest.fixture(scope="module")
def watched() -> list[Replay]:
    course = Course(load_scenario("quick").model_copy(update={"intervals": 12}), "train", num_markets=2)
    return [replay(make_team(name), course) for name in COLOURS]


def rows(bid: list[float], price: list[float]) -> BidRows:
    zeros = np.zeros(len(bid))
    return BidRows(zeros, zeros, zeros, np.array(bid), np.array(price), zeros, zeros)


def test_what_multiples_of_the_bids_would_win(watched: list[Replay]) -> None:
    bids = rows([1.0, 1.0, 1.0, 0.0], [0.51, 2.1, np.nan, 1.0])
    share = flights.won_by_multiplier(replace(watched[0], bids=bids))
    m = flights.MULTIPLIERS
    expected = ((m > 0.51).astype(float) + (m > 2.1)) / 4
    assert share == pytest.approx(expected)  # beyond the price table and without a bid nothing is won
    assert (flights.won_by_multiplier(replace(watched[0], bids=rows([], []))) == 0).all()


def test_a_mix_adds_up_to_all_or_nothing(watched: list[Replay]) -> None:
    impressions = np.zeros((60, S, F))
    impressions[:30, 0, 0], impressions[:, 1] = 3.0, [1.0, 2.0, 1.0]
    edges, share = flights.creative_mix(replace(watched[0], impressions=impressions))
    assert edges[0] == 0 and edges[-1] == 60 and len(edges) == len(share) + 1
    assert np.allclose(share[:, 1], [0.25, 0.5, 0.25])
    first_half = edges[1:] <= 30
    assert np.allclose(share[first_half, 0].sum(-1), 1.0) and (share[~first_half, 0] == 0).all()


def test_figures_name_what_they_show(watched: list[Replay]) -> None:
    prices = flights.price_figure(watched, COLOURS, 250.0)
    assert [axes.get_title(loc="left") or axes.get_title() for axes in prices.axes][:2] == list(COLOURS)
    cells = flights.cells_figure(watched, COLOURS)
    assert [label.get_text() for label in cells.axes[0].get_yticklabels()] == list(SEGMENTS)
    shown = [label.get_text() for label in cells.axes[0].get_xticklabels()]
    assert shown == [name.replace("_", " ") for name in PLACEMENTS]
    mix = flights.creative_figure(watched, 12)
    assert len(mix.axes) == len(watched) * S
    assert [text.get_text() for text in mix.legends[0].get_texts()] == list(FORMATS)


def test_a_timeline_marks_every_message_and_incident(watched: list[Replay]) -> None:
    story = replace(watched[0].eventful, incidents=[("rival surge", 2, 5)])
    alerts, let = np.zeros((12, 2, 3), np.int64), np.ones((12, 2, 3))
    alerts[3:6, 0], alerts[5, 1, 2], let[5:8, 0, 1] = 2, 1, 0.0
    story = replace(story, alerts=alerts, let=let)
    spend, completed, clicked, watchdog, worth, lanes = flights.timeline_figure(story, 12).axes
    assert [text.get_text() for text in watchdog.texts] == ["rival surge", "invalid traffic"]
    assert [(bar.get_x(), bar.get_height()) for bar in watchdog.patches[:3]] == [(t, 0.5) for t in (5, 6, 7)]
    for axes, rate in ((completed, 100 * story.completion_rate), (clicked, 1000 * story.click_rate)):
        for c in range(2):
            np.testing.assert_array_equal(axes.get_lines()[c].get_ydata(), rate[:, c])
    assert "rival surge" in [text.get_text() for text in spend.texts]
    assert len(lanes.get_lines()) == len(story.messages)
    assert len(worth.patches) == len(story.objective_usd) + 1  # a bar an interval, and the incident
    curves = [line for line in spend.get_lines() if str(line.get_label()) in story.names]
    for c, line in enumerate(curves):
        assert np.asarray(line.get_ydata())[1:] == pytest.approx(100 * story.spent_fraction[:, c])


def test_an_alert_begins_where_its_campaign_did_not_carry_it() -> None:
    alerts = np.array([[0, 0, 0], [2, 0, 0], [2, 2, 0], [0, 0, 1], [2, 0, 1], [0, 0, 0]])
    assert flights.begun(alerts) == [(1, 2), (3, 1), (4, 2)]
