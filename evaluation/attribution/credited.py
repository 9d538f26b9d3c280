"""What one model credits in a few flights, beside the truth that only evaluation sees, and its paths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from envs.journeys.settings import CELL_NAMES, CELLS, ELIGIBLE_CELLS, SEARCH
from envs.journeys.world import JourneyWorld, MarketJourneys
from envs.state import Float, Int
from policies.attribution.agent import journeys_of, windows_of
from policies.attribution.journeys import Journeys
from policies.attribution.models import MODELS, make_model

SCORED = (*ELIGIBLE_CELLS, SEARCH)
"""Cells that journeys show: ours, and search; the other channels stand behind walls."""
LEAST_TOUCHES = 100
"""Of people, below which a cell is not scored: the truth would be a handful of conversions."""
STEPS = 3
"""Last steps of a path that a picture shows."""
Path = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Credited:
    """Of B markets, C campaigns; conversions of people."""

    model: str
    credit: Float  # [B, C, cells]
    deviation: Float  # [B, C, cells] standard errors
    truth: Float  # [B, C, cells] Shapley's shares of the true counterfactuals
    touches: Float  # [B, C, cells] of people, shown
    paths: dict[Path, int]  # journeys by their last steps and their end


def credited(world: JourneyWorld, model: str) -> Credited:
    """What a model says of the journeys so far; `last` speaks where nobody attributes."""
    name = model if model in MODELS else "last"
    paths: dict[Path, int] = {}
    said, truths, touches = [], [], []
    for market in world.markets:
        reports = [journeys_of(market.observed(c)) for c in range(market.campaigns)]
        found = [make_model(name, windows_of(market.settings)).credit(one, CELLS) for one in reports]
        said.append([(one.conversions, one.deviation) for one in found])
        truths.append(market.truth().shapley)
        touches.append(shown_touches(market))
        for one in reports:
            for path, count in path_counts(one).items():
                paths[path] = paths.get(path, 0) + count
    spoken = np.array(said)
    credit, deviation = spoken[:, :, 0], spoken[:, :, 1]
    return Credited(name, credit, deviation, np.array(truths), np.array(touches), paths)


def shown_touches(market: MarketJourneys) -> Float:
    """[C, cells] touches of people, ghost ads left out."""
    touches = market.touches
    shown = ~touches.held_out
    row = (touches.who // market.people)[shown] * CELLS + touches.cell[shown]
    found: Float = np.bincount(row, minlength=market.campaigns * CELLS).reshape(-1, CELLS).astype(np.float64)
    return found


def scored_cells(touches: Float) -> Int:
    """Cells of a campaign [cells] that are scored."""
    return np.array([cell for cell in SCORED if touches[cell] >= LEAST_TOUCHES or cell == SEARCH])


def shares(values: Float) -> Float:
    """What is positive, as shares; even ones where nothing is."""
    positive = np.maximum(0.0, values)
    total = positive.sum()
    return positive / total if total > 0.0 else np.full(len(values), 1.0 / len(values))


def path_counts(journeys: Journeys) -> dict[Path, int]:
    """How many journeys went by each path: a cell's runs count once, the last steps, then the end."""
    shown = ~journeys.held_out
    journey = journeys.journey[shown]
    cell = journeys.cell[shown]
    fresh = np.ones(len(cell), np.bool_)
    fresh[1:] = (cell[1:] != cell[:-1]) | (journey[1:] != journey[:-1])
    journey, cell = journey[fresh], cell[fresh]
    to_go = np.searchsorted(journey, journey, side="right") - np.arange(len(journey))
    steps = np.full((len(journeys.converted), STEPS), -1)
    kept = to_go <= STEPS
    steps[journey[kept], STEPS - to_go[kept]] = cell[kept]
    rows, counts = np.unique(np.column_stack([steps, journeys.converted]), axis=0, return_counts=True)
    return {
        (*(CELL_NAMES[step] for step in row[:-1] if step >= 0), "converted" if row[-1] else "not yet"): int(n)
        for row, n in zip(rows, counts, strict=True)
        if row[STEPS - 1] >= 0
    }
