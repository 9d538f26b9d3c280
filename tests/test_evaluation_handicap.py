import numpy as np
import pytest

from envs.scenario import load_scenario
from evaluation.aggregates import lift
from evaluation.compare import compare
from evaluation.handicap import paused
from evaluation.intervals import MarketBootstrap
from evaluation.metrics import OBJECTIVE
from evaluation.rollout import Course, play
from policies.registry import make_team

DEFAULT = load_scenario("default")


def test_the_same_policy_under_two_names_differs_by_exactly_nothing() -> None:
    again = make_team("pid")
    again.name = "pid again"
    found = compare(["pid", again], Course(DEFAULT, num_markets=6), baseline="pid")
    versus = found.standing("pid again").versus["pid"]
    for interval in (versus.difference, versus.lift):
        assert (interval.low, interval.estimate, interval.high) == (0.0, 0.0, 0.0)
    assert (versus.cohens_d, versus.minimal_detectable_fraction, versus.verdict) == (0.0, 0.0, "the same")
    won = versus.probability_of_improvement
    assert (won.low, won.estimate, won.high) == (0.5, 0.5, 0.5)


def test_a_percent_of_the_value_removed_is_detected() -> None:
    """Pausing one interval in fifty removes about a percent; see docs/coverage.md for how many markets."""
    course = Course(DEFAULT, "held_out", num_markets=384)
    whole, handicapped = make_team("shadow-price"), paused(make_team("shadow-price"), 0.02)
    objective = [play(team, course).metrics[OBJECTIVE] for team in (handicapped, whole)]
    difference = MarketBootstrap(objective).difference(0, 1)
    removed = float(lift(*(np.asarray(values.mean()) for values in objective)))
    assert removed == pytest.approx(-0.01, abs=0.005)
    assert difference.high < 0.0


def test_a_percent_off_every_market_needs_hardly_any() -> None:
    objective = play(make_team("pid"), Course(DEFAULT, num_markets=5)).metrics[OBJECTIVE]
    found = MarketBootstrap([0.99 * objective, objective]).lift(0, 1)
    assert (found.low, found.high) == pytest.approx((-0.01, -0.01))


def test_a_pause_depends_on_the_market_alone() -> None:
    course = Course(DEFAULT.model_copy(update={"intervals": 12}), "train", num_markets=5)
    team = paused(make_team("pid"), 0.3)
    one = play(team, course).metrics[OBJECTIVE]
    alone = play(team, Course(course.scenario, "train", num_markets=5, batch_size=2)).metrics[OBJECTIVE]
    assert np.array_equal(one, alone)
    assert (one != play(make_team("pid"), course).metrics[OBJECTIVE]).any()
    assert team.name == "pid, paused 0.3"
