from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.markets import RandomTeam, play, started, tiny

from envs.journeys.settings import CELL_NAMES, CELLS
from evaluation.attribution import errors, report, worth
from evaluation.attribution.credited import Credited, credited, path_counts, shares
from evaluation.attribution.figures import credit_figure, sankey_figure
from evaluation.report_style import png
from policies.attribution.journeys import Journeys
from policies.attribution.models import MODELS

SCENARIO = tiny(
    intervals=16,
    intervals_per_day=4,
    budget_fraction=1.0,
    journeys={"people": 64, "walled": ["social"], "conversions_per_purchase": 28.0},
)


@pytest.fixture(scope="module")
def scored() -> errors.Scored:
    return errors.score("value-aware", SCENARIO, "held_out", 0, 2)


@pytest.fixture(scope="module")
def seen() -> Credited:
    market = started(SCENARIO, 2, seed=5)
    play(market, RandomTeam())
    assert market.journeys is not None
    return credited(market.journeys, "linear")


def test_credit_that_is_the_truth_has_no_error(scored: errors.Scored) -> None:
    truth = np.maximum(0.0, scored.truth)
    right = np.broadcast_to(truth, scored.credit.shape)
    perfect = errors.Scored(**(vars(scored) | {"credit": right, "truth": truth}))
    found = errors.errors_of(perfect)
    assert np.allclose(found["share_error"], 0.0)
    assert np.allclose(found["level"], 1.0)
    assert (found["rank"] > 0.999).all()


def test_every_model_is_scored_at_every_match_rate(scored: errors.Scored) -> None:
    table = errors.table(scored)
    assert list(table) == list(MODELS)
    for by_rate in table.values():
        assert list(by_rate) == ["1", "0.7", "0.4"]
        for figures in by_rate.values():
            assert list(figures) == list(errors.FIGURES)
            for estimate, low, high in figures.values():
                assert low <= estimate <= high
    less = errors.errors_of(scored)["level"]
    assert (less[:, 0] >= less[:, 2]).all()  # fewer links, fewer known conversions


def test_shares_and_rank_correlation() -> None:
    assert shares(np.array([3.0, -1.0, 1.0])).tolist() == [0.75, 0.0, 0.25]
    assert shares(np.zeros(4)).tolist() == [0.25] * 4
    assert errors.rank_correlation(np.array([1.0, 2.0, 9.0]), np.array([0.0, 5.0, 6.0])) == pytest.approx(1.0)
    assert errors.rank_correlation(np.ones(3), np.arange(3.0)) == 0.0


def test_paths_leave_out_ghost_ads_and_repetitions() -> None:
    journeys = Journeys(
        offset=np.array([0, 4, 5, 6]),
        cell=np.array([0, 0, 3, 9, 0, 3]),
        hour=np.arange(6.0),
        clicked=np.zeros(6, np.bool_),
        held_out=np.array([0, 0, 0, 0, 0, 1], np.bool_),
        conversion_hour=np.array([9.0, np.nan, np.nan]),
        value_usd=np.array([1.0, 0.0, 0.0]),
    )
    a, b, search = CELL_NAMES[0], CELL_NAMES[3], CELL_NAMES[9]
    assert path_counts(journeys) == {(a, b, search, "converted"): 1, (a, "not yet"): 1}


def test_figures_of_credit_can_be_drawn(seen: Credited) -> None:
    assert seen.credit.shape == seen.truth.shape == (2, 2, CELLS)
    for draw in (credit_figure, sankey_figure):
        assert png(lambda draw=draw: draw(seen)).startswith(b"\x89PNG")  # type: ignore[misc]


def test_worth_is_told_against_the_team_without_the_role() -> None:
    rng = np.random.default_rng(0)
    base = rng.uniform(90.0, 110.0, 40)
    objective = {name: base.copy() for name in worth.VARIANTS}
    objective["truth"] = base * 1.1
    objective["shapley"] = base * 1.05
    found = worth.table(objective, {name: base * 0.1 for name in worth.VARIANTS})
    rows = found["variants"]
    assert found["true_gain_is_sure"]
    assert rows["shapley"]["lift"] == pytest.approx([0.05] * 3)
    assert rows["shapley"]["share_of_true_gain"] == pytest.approx([0.5] * 3)
    assert rows["none"]["lift"] == [0.0, 0.0, 0.0]


def test_the_page_says_what_was_measured() -> None:
    page = Path(__file__).parent.parent / "docs" / "attribution.md"
    found = json.loads(page.with_suffix(".json").read_text())
    assert page.read_text() == report.text(found)
    assert set(found["errors"]) == set(MODELS)
    assert set(found["worth"]["variants"]) == set(worth.VARIANTS)
