"""Curves add up to the objective, pair what they compare, and tell seen from unseen verticals."""

from __future__ import annotations

import json

import numpy as np
import pytest

from envs.errors import ConfigurationError
from envs.output import plain
from envs.scenario import Scenario, load_scenario
from evaluation.adaptation import KINDS, Adaptation, Earned, Learner, earned, joined
from evaluation.adaptation_report import markdown, picture
from evaluation.intervals import Interval
from evaluation.metrics import OBJECTIVE
from evaluation.rollout import Course, play
from evaluation.table import share
from policies.registry import make_team

QUICK = load_scenario("quick")


def test_what_campaigns_earn_adds_up_to_the_objective() -> None:
    course = Course(QUICK, "held_out", num_markets=6, batch_size=4)
    found = earned(make_team("pid"), course)
    objective = play(make_team("pid"), course).metrics[OBJECTIVE]
    np.testing.assert_allclose(found.objective_usd.sum((0, 1)), objective, rtol=1e-9)
    assert (found.campaigns.sum(0) == QUICK.campaigns).all()
    absent = found.campaigns == 0
    assert absent.any() and (found.objective_usd.sum(1)[absent] == 0.0).all()


def test_development_markets_have_no_unseen_vertical() -> None:
    assert earned(make_team("random"), Course(QUICK, "development", num_markets=4)).campaigns[1].sum() == 0


def _adaptation(scenario: Scenario = QUICK, markets: int = 40) -> Adaptation:
    """Learners whose gain over nothing is 10 %, 20 %, 40 % of it in every market, and an oracle's 100 %."""
    rng = np.random.default_rng(0)
    nothing = rng.lognormal(5.0, 0.4, (len(KINDS), scenario.intervals, markets))
    factors = {"nothing": 1.0, "filter": 1.1, "short": 1.2, "all": 1.4, "oracle": 2.0}
    learners = [Learner(name, f"is {name}", name not in ("all", "oracle")) for name in factors]
    return Adaptation(
        Course(scenario, num_markets=markets),
        learners,
        np.stack([factor * nothing for factor in factors.values()]),
        np.ones((len(KINDS), markets)),
        *("nothing", "filter", "oracle"),
        twins=[("short", "all")],
    )


def test_a_gain_that_is_the_same_everywhere_is_without_doubt() -> None:
    found = _adaptation()
    for kind, name in enumerate(KINDS):
        assert found.lift("filter", kind, "nothing").estimate == pytest.approx(0.1)
        assert found.share_of_oracle("short", kind).estimate == pytest.approx(0.6)
        stretches = found.stretches[name]["short"]
        assert stretches[-1].end == QUICK.intervals
        for stretch in stretches:
            assert stretch.lift.low == pytest.approx(0.2) == pytest.approx(stretch.lift_so_far.high)
            assert stretch.share_of_oracle.estimate == pytest.approx(0.6)
    over_nothing, over_filter = found.kept()
    assert (over_nothing.over, over_filter.over) == ("nothing", "filter")
    assert over_nothing.share.estimate == pytest.approx(0.2 / 0.4)
    assert over_filter.share.low == pytest.approx(0.1 / 0.3)


def test_a_share_of_no_gain_has_no_meaning() -> None:
    found = _adaptation()
    reversed_ = Adaptation(
        **{**vars(found), "twins": [("short", "nothing")], "nothing": "nothing", "base": "all"}
    )
    assert all(np.isnan(kept.share.estimate) for kept in reversed_.kept())


def test_markets_without_unseen_verticals_are_refused() -> None:
    found = _adaptation()
    counts = found.campaigns * np.array([[1.0], [0.0]])
    with pytest.raises(ConfigurationError, match="no campaign of unseen verticals"):
        Adaptation(**{**vars(found), "campaigns": counts})


def test_runs_of_one_learner_are_averaged_by_market() -> None:
    one = Earned(np.ones((2, 3, 4)), np.ones((2, 4)))
    other = one._replace(objective_usd=3.0 * one.objective_usd)
    np.testing.assert_array_equal(joined([one, other]).objective_usd, 2.0)


def test_the_report_names_every_learner_and_marks_those_that_saw_what_they_are_tested_on() -> None:
    found = _adaptation()
    text = markdown(found, "x.png", "command", ["A remark."])
    assert "A remark." in text and "](x.png)" in text
    assert "| all * |" in text and "| short |" in text
    assert "| short | all | filter | 33 %" in text
    assert picture(found)[:4] == b"\x89PNG"
    told = json.loads(json.dumps(plain(found.as_json())))
    assert [learner["name"] for learner in told["learners"]] == [one.name for one in found.learners]
    unseen = told["learners"][2]["kinds"]["unseen"]
    assert len(unseen["objective_usd_per_campaign_and_interval"]) == QUICK.intervals


def test_a_share_of_what_may_be_nothing_is_undefined() -> None:
    assert share(Interval(0.5, 0.25, 0.75, "over_markets", 9)) == "50 % [25, 75]"
    for unsure in (
        Interval(-4.4, np.nan, np.nan, "over_markets", 9),
        Interval(*[np.nan] * 3, "over_markets", 9),
    ):
        assert share(unsure) == "undefined"
