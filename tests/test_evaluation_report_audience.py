import numpy as np
import pytest

from envs.catalogue import SEGMENTS
from envs.scenario import load_scenario
from evaluation.replay import Replay, replay
from evaluation.report_audience import map_figure, reliability_figure
from evaluation.rollout import Course
from evaluation.sources import TeamSource

COLOURS = {"siloed": "#112233", "siloed+audience=oracle": "#445566"}


@pytest.fixture(scope="module")
def watched() -> list[Replay]:
    course = Course(load_scenario("quick").model_copy(update={"intervals": 12}), "train", num_markets=2)
    return [replay(TeamSource(name)(), course) for name in COLOURS]


def test_a_replay_keeps_what_was_said_of_listeners_and_what_was_true(watched: list[Replay]) -> None:
    averages, oracle = (one.listeners for one in watched)
    np.testing.assert_array_equal(averages.true, oracle.true)
    np.testing.assert_allclose(oracle.predicted, oracle.true)
    assert averages.predicted.shape == averages.true.shape and averages.embedding is None
    np.testing.assert_allclose(averages.predicted.mean(-1), 1.0)
    for segment in range(4):  # one value a segment
        assert np.ptp(averages.predicted[0, 0, averages.segment[0] == segment]) < 1e-12


def test_reliability_of_the_truth_lies_on_the_line(watched: list[Replay]) -> None:
    axes = reliability_figure(watched, COLOURS).axes[0]
    averages, oracle, line = axes.get_lines()
    np.testing.assert_allclose(oracle.get_xdata(), oracle.get_ydata())
    assert str(oracle.get_label()).endswith("off by 0.000 on average")
    assert np.ptp(averages.get_ydata()) > 0 and len(line.get_xdata()) == 2


def test_a_map_shows_every_listener_for_every_campaign(watched: list[Replay]) -> None:
    one = watched[1]
    figure = map_figure(one)
    at = one.stories.index(one.eventful)
    assert [axes.get_title(loc="left") or axes.get_title() for axes in figure.axes] == one.eventful.names
    for c, axes in enumerate(figure.axes):
        predicted, true = np.asarray(axes.collections[0].get_array()).reshape(2, -1)
        np.testing.assert_allclose(np.sort(true), np.sort(one.listeners.true[at, c]))
        np.testing.assert_allclose(predicted, true)
        sizes = np.bincount(one.listeners.segment[at], minlength=4)
        first = true[: sizes[0]]
        assert (np.diff(first) >= 0).all()
    labels = [label.get_text() for label in figure.axes[-1].get_xticklabels()]
    assert [label.split()[-1] for label in labels] == list(SEGMENTS)
