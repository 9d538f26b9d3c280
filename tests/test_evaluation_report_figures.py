from dataclasses import replace

import numpy as np
import pytest

from envs.scenario import load_scenario
from evaluation import report_figures as figures
from evaluation.bound_report import Measure, fractions
from evaluation.compare import Comparison, compare
from evaluation.metrics import OBJECTIVE
from evaluation.rollout import Course


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    scenario = load_scenario("quick").model_copy(update={"intervals": 12})
    return compare(["pid", "oracle"], Course(scenario, "train", num_markets=4))


def names(comparison: Comparison) -> set[str]:
    return {standing.entrant.name for standing in comparison.standings}


def test_figures_show_every_team(comparison: Comparison) -> None:
    for figure in (figures.standing_figure(comparison), figures.parts_figure(comparison)):
        shown = {label.get_text() for label in figure.axes[0].get_yticklabels()}
        assert shown == names(comparison)
    flight = figures.flight_figure(comparison)
    assert len(flight.axes) == 6
    for axes in flight.axes:
        assert {line.get_label() for line in axes.get_lines()} == names(comparison)


def test_the_leading_team_is_set_against_all_others(comparison: Comparison) -> None:
    (axes,) = figures.paired_figure(comparison).axes
    hero = comparison.hero
    assert {label.get_text() for label in axes.get_yticklabels()} == names(comparison) - {hero.entrant.name}
    others = [standing for standing in comparison.standings[::-1] if standing is not hero]
    for dots, other in zip(axes.collections, others, strict=True):
        expected = hero.result.metrics[OBJECTIVE] - other.result.metrics[OBJECTIVE]
        assert np.asarray(dots.get_offsets())[:, 0] == pytest.approx(expected)


def test_shares_and_regret_are_drawn_where_they_were_measured(comparison: Comparison) -> None:
    found = fractions(comparison, Measure("best-known", np.full(4, 2e5), None))
    figure = figures.bound_figure(comparison, found)
    share, regret = figure.axes
    assert {label.get_text() for label in share.get_yticklabels()} == names(comparison)
    drawn = [line.get_xdata()[0] for line in share.get_lines() if line.get_marker() == "o"]
    assert drawn == pytest.approx([100 * found.teams[n].fraction.estimate for n in reversed(found.teams)])
    missing = [line.get_xdata()[0] for line in regret.get_lines() if line.get_marker() == "o"]
    assert missing == pytest.approx([found.teams[n].regret_usd.estimate for n in reversed(found.teams)])
    assert "bound" not in share.get_xlabel()


def test_stacked_parts_end_where_the_objective_is(comparison: Comparison) -> None:
    (axes,) = figures.parts_figure(comparison).axes
    widths = [bar.get_width() for bar in axes.patches]  # type: ignore[attr-defined]
    objectives = [standing.objective.estimate for standing in comparison.standings]
    assert sum(widths) == pytest.approx(sum(objectives))


def test_spend_curves_end_where_the_budget_went(comparison: Comparison) -> None:
    spend, _ = figures.spend_figure(comparison).axes
    curves = {str(line.get_label()): np.asarray(line.get_ydata()) for line in spend.get_lines()}
    assert curves["plan: even"].tolist() == [0, 100]
    for standing in comparison.standings:
        curve = curves[standing.entrant.name]
        assert curve[0] == 0 and (np.diff(curve) >= 0).all()
        assert curve[-1] == pytest.approx(100 * standing.mean("spend/budget_fraction"))


def test_profiles_are_drawn_only_where_they_mean_something(comparison: Comparison) -> None:
    assert figures.has_profile(comparison)
    (axes,) = figures.profile_figure(comparison).axes
    assert {line.get_label() for line in axes.get_lines()} == names(comparison)
    hero = comparison.hero
    nothing = replace(hero, profile=replace(hero.profile, share=np.full_like(hero.profile.share, np.nan)))
    assert not figures.has_profile(replace(comparison, hero=nothing))


def test_a_team_has_one_colour_and_the_leading_one_its_own(comparison: Comparison) -> None:
    colours = figures.team_colours(comparison)
    assert colours.keys() == names(comparison)
    assert len(set(colours.values())) == len(colours)
    assert colours[comparison.hero.entrant.name] == figures.ACCENT


def test_few_teams_shown_are_those_that_matter(comparison: Comparison) -> None:
    shown = [standing.entrant.name for standing in figures.shown(comparison, 3)]
    assert set(shown) == {comparison.hero.entrant.name, comparison.baseline, "siloed"} or len(shown) == 3
    assert comparison.hero.entrant.name in shown and "siloed" in shown
