"""How far each attribution model's credit lies from the truth, market by market."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

import numpy as np
from scipy.stats import rankdata

from envs.journeys.settings import CELL_NAMES, CELLS, OWN_CELLS, SEARCH
from envs.journeys.truth import CellTruth
from envs.journeys.world import MarketJourneys
from envs.market import VectorMarket
from envs.protocol import ATTRIBUTION
from envs.scenario import Scenario
from envs.seeds import Split
from envs.state import Float
from evaluation.attribution.credited import scored_cells, shares, shown_touches
from evaluation.intervals import over_markets
from evaluation.rollout import Course, opened
from policies.attribution.agent import HOLD_OUT, Attribution, journeys_of, windows_of
from policies.attribution.models import MODELS, make_model
from policies.registry import make_team
from policies.team import Team

MATCH_RATES: Final = (1.0, 0.7, 0.4)
FIGURES: Final = ("rank", "share_error", "own_rank", "own_share_error", "rate_rank", "level", "search_level")
"""By name: Spearman's rank correlation and mean absolute error of shares over all scored cells and over ours
alone, rank correlation of what a touch of ours brings, and credited / true conversions of ours, of search."""


@dataclass(frozen=True, eq=False)
class Scored:
    """What models said and what was true, in n markets of C campaigns; axes [models, rates, n, C, cells]."""

    credit: Float
    deviation: Float
    truth: Float  # [n, C, cells] Shapley's shares of the true counterfactuals
    alone: Float  # [n, C, cells] conversions lost where the cell alone is silent
    touches: Float  # [n, C, cells] people's touches shown
    organic: Float  # [n, C] conversions with all cells silent
    total: Float  # [n, C]


def flown(team: str, scenario: Scenario, split: Split, first: int, count: int) -> VectorMarket:
    """A flight of some markets with a hold-out, whose credit nobody hears: all models read the same."""
    policies = dict(make_team(team).policies)
    policies[ATTRIBUTION] = Attribution("last", HOLD_OUT, hold_out_days=inf, every_days=1e6)
    crew = Team(team, policies)
    course = Course(scenario, split, num_markets=count)
    market, observations = opened(crew, course, first, count)
    for _ in range(scenario.intervals):
        actions = crew.act(observations, market.impressions)
        observations = market.step(actions).observations
    return market


def score(team: str, scenario: Scenario, split: Split, first: int, count: int) -> Scored:
    """Credit of every model at every match rate, and the truth."""
    market = flown(team, scenario, split, first, count)
    assert market.journeys is not None
    parts = [_one(journeys) for journeys in market.journeys.markets]
    return joined(parts)


def score_task(task: tuple[str, Scenario, int, int]) -> Scored:
    """`score` of held-out markets: (team, scenario, first market, how many)."""
    name, scenario, first, count = task
    return score(name, scenario, "held_out", first, count)


def joined(parts: Sequence[Scored]) -> Scored:
    """Markets side by side."""

    def beside(name: str) -> Float:
        axis = 2 if name in ("credit", "deviation") else 0
        return np.concatenate([getattr(part, name) for part in parts], axis)

    return Scored(**{name: beside(name) for name in Scored.__dataclass_fields__})


def _one(market: MarketJourneys) -> Scored:
    truth: CellTruth = market.truth()
    windows = windows_of(market.settings)
    shape = (len(MODELS), len(MATCH_RATES), 1, market.campaigns, CELLS)
    credit, deviation = np.zeros(shape), np.zeros(shape)
    for r, rate in enumerate(MATCH_RATES):
        for c in range(market.campaigns):
            journeys = journeys_of(market.observed(c, rate))
            for k, name in enumerate(MODELS):
                found = make_model(name, windows).credit(journeys, CELLS)
                credit[k, r, 0, c], deviation[k, r, 0, c] = found.conversions, found.deviation
    return Scored(
        credit, deviation, truth.shapley[None], truth.incremental[None], shown_touches(market)[None],
        truth.organic[None], truth.total[None],
    )  # fmt: skip


def rank_correlation(a: Float, b: Float) -> float:
    """Spearman's; 0 where either ranks nothing."""
    x, y = rankdata(a), rankdata(b)
    if len(a) < 2 or x.std() == 0.0 or y.std() == 0.0:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])


def errors_of(scored: Scored) -> dict[str, Float]:
    """Figures [models, rates, n], means over campaigns: rank correlation, error of shares, level."""
    models, rates, n, campaigns, _ = scored.credit.shape
    found = {name: np.zeros((models, rates, n, campaigns)) for name in FIGURES}
    for b in range(n):
        for c in range(campaigns):
            cells = scored_cells(scored.touches[b, c])
            own = cells[cells < OWN_CELLS]
            true = scored.truth[b, c]
            for k in range(models):
                for r in range(rates):
                    said = scored.credit[k, r, b, c]
                    at = (k, r, b, c)
                    for name, which in (("", cells), ("own_", own)):
                        found[f"{name}rank"][at] = rank_correlation(said[which], true[which])
                        off = np.abs(shares(said[which]) - shares(true[which]))
                        found[f"{name}share_error"][at] = off.mean()
                    found["level"][at] = said[own].sum() / max(1.0, true[own].sum())
                    found["search_level"][at] = said[SEARCH] / max(1.0, true[SEARCH])
                    touched = scored.touches[b, c, own]
                    found["rate_rank"][at] = rank_correlation(said[own] / touched, true[own] / touched)
    return {name: values.mean(-1) for name, values in found.items()}


def table(scored: Scored) -> dict[str, dict[str, dict[str, list[float]]]]:
    """By model and match rate: every figure with its interval over markets."""
    found = errors_of(scored)
    return {
        model: {
            f"{rate:g}": {name: over_markets(values[k, r]).listed() for name, values in found.items()}
            for r, rate in enumerate(MATCH_RATES)
        }
        for k, model in enumerate(MODELS)
    }


def beaten(scored: Scored, model: str, rate: float, figure: str) -> Mapping[str, list[float]]:
    """An error of shares of each model less that of one, in pairs on the same markets."""
    found, r = errors_of(scored)[figure], MATCH_RATES.index(rate)
    best = found[list(MODELS).index(model), r]
    return {
        name: over_markets(found[k, r], best, relative=False).listed()
        for k, name in enumerate(MODELS)
        if name != model
    }


def bias(scored: Scored, rate: float) -> dict[str, dict[str, float]]:
    """By model and cell: mean share credited less true share, over campaigns where the cell is scored."""
    r = MATCH_RATES.index(rate)
    out: dict[str, dict[str, float]] = {}
    for k, model in enumerate(MODELS):
        off: dict[str, list[float]] = {}
        for b in range(scored.truth.shape[0]):
            for c in range(scored.truth.shape[1]):
                cells = scored_cells(scored.touches[b, c])
                gap = shares(scored.credit[k, r, b, c, cells]) - shares(scored.truth[b, c, cells])
                for cell, one in zip(cells, gap, strict=True):
                    off.setdefault(CELL_NAMES[cell], []).append(float(one))
        out[model] = {cell: float(np.mean(values)) for cell, values in off.items()}
    return out
