"""The search for the best clairvoyant play known: never below the oracle, never called a bound."""

import numpy as np

from envs.scenario import load_scenario
from evaluation.best_known import best_known, regret_usd
from evaluation.linear_market import course_bound
from evaluation.metrics import OBJECTIVE
from evaluation.rollout import Course, play
from policies.registry import make_team


def short(name: str) -> Course:
    return Course(load_scenario(name).model_copy(update={"intervals": 8}), "held_out", 0, 2)


def test_without_a_search_it_is_the_oracle_itself() -> None:
    course = short("quick")
    found = best_known(course, generations=0)
    np.testing.assert_allclose(found.oracle_usd, play(make_team("oracle"), course).metrics[OBJECTIVE])
    np.testing.assert_array_equal(found.objective_usd, found.oracle_usd)
    assert found.plays == 1


def test_a_search_improves_on_the_oracle_and_can_be_repeated() -> None:
    course = short("quick")
    found, told = best_known(course, population=16, generations=3, progress=lambda n: None), []
    again = best_known(course, population=16, generations=3, progress=told.append)
    np.testing.assert_array_equal(found.objective_usd, again.objective_usd)
    assert (found.objective_usd >= found.oracle_usd).all()
    assert found.objective_usd.sum() > found.oracle_usd.sum()
    assert told == [1, 1]
    np.testing.assert_array_equal(regret_usd(found.objective_usd, found), 0.0)


def test_a_longer_search_finds_no_less() -> None:
    course = short("quick")
    few = best_known(course, population=16, generations=1).objective_usd
    many = best_known(course, population=16, generations=3).objective_usd
    assert (many >= few).all()


def test_where_there_is_a_bound_the_search_stays_below_it() -> None:
    """Up to the luck of outcomes, which the search may exploit and the bound leaves out."""
    course = short("linear")
    found = best_known(course, population=16, generations=2)
    assert found.objective_usd.sum() < 1.1 * course_bound(course).bound_usd.sum()
