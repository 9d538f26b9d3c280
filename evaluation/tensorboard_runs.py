"""A comparison for TensorBoard: every team a run of its own with the same tags, so that they overlay."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from envs.output import plain
from evaluation.attribution.figures import credit_figure, sankey_figure
from evaluation.comparison import Comparison, Standing
from evaluation.metrics import KPIS, OBJECTIVE
from evaluation.projector import write_projector
from evaluation.replay import Replay, replay
from evaluation.report_audience import map_figure, reliability_figure
from evaluation.report_figures import team_colours
from evaluation.report_flights import cells_figure, creative_figure, price_figure, timeline_figure
from evaluation.report_style import Draw, png
from evaluation.tensorboard import COMPARED, FLIGHT_PREFIX, SERIES, KpiWriter


def write_comparison(comparison: Comparison, logdir: str | Path, until: int | None = None) -> list[Path]:
    """Writes every team of a comparison as a run of its own, with the same tags; returns the runs' folders.

    The first markets are played once more by every team, for its bids, figures and listeners.

    Args:
        comparison: what to write.
        logdir: TensorBoard's log folder.
        until: step to which the level lines of whole-flight KPIs reach, by default the flight's intervals.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    folders = []
    for standing in comparison.standings:
        settings = _settings(comparison, standing)
        folder = Path(logdir) / run_name(comparison, standing, stamp)
        with KpiWriter(folder) as writer:
            writer.layout()
            writer.text("team", f"**{standing.entrant.name}**: {standing.entrant.kind}")
            writer.json("configuration", settings)
            writer.json("scenario", comparison.course.scenario)
            writer.hyperparameters(settings)
            _write_figures_of(writer, comparison, standing, until)
            seen = replay(standing.entrant.team, comparison.course)
            _write_flights(writer, comparison, seen)
        write_projector(folder, seen.listeners)
        folders.append(folder)
    return folders


def run_name(comparison: Comparison, standing: Standing, stamp: str) -> str:
    """`{scenario}__{team}__{hash of the configuration}__s{seed}__{utc}`, as training names its runs."""
    described = [_settings(comparison, standing), plain(comparison.course.scenario)]
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:12]
    course = comparison.course
    name = f"{course.scenario.name}__{standing.entrant.name}__{digest}__s{course.seed}__{stamp}"
    return re.sub(r"[^\w.+=-]", "_", name)


def _settings(comparison: Comparison, standing: Standing) -> dict[str, bool | float | str]:
    """What was compared: hyperparameters of the HPARAMS page, and what a run's hash stands for."""
    course, entrant = comparison.course, standing.entrant
    return {
        "team": entrant.name,
        "argument": entrant.argument,
        "kind": entrant.kind,
        "learned_roles": ", ".join(entrant.learned_roles),
        "training_configuration": entrant.method or "",
        "scenario": course.scenario.name,
        "split": course.split,
        "seed": course.seed,
        "first_market": course.first_market,
        "markets": course.num_markets,
        "baseline": comparison.baseline,
        "reference": comparison.reference,
    }


def _write_figures_of(
    writer: KpiWriter, comparison: Comparison, standing: Standing, until: int | None
) -> None:
    """KPIs of the whole flight, of its intervals, and over markets."""
    intervals, result = comparison.course.scenario.intervals, standing.result
    reference = comparison.standing(comparison.reference)
    lift = standing.lift.get(comparison.baseline)
    of_reference = standing.mean(OBJECTIVE) / max(reference.mean(OBJECTIVE), 1e-9)
    compared = (0.0 if lift is None else lift.estimate, of_reference)
    levels = {tag: standing.mean(tag) for tag in KPIS} | dict(zip(COMPARED, compared, strict=True))
    writer.level(levels, until or intervals)
    for interval in range(intervals):
        writer.scalars({FLIGHT_PREFIX + tag: result.series[tag][interval] for tag in SERIES}, interval)
    for tag in (OBJECTIVE, "listeners/relevance", "listeners/health"):
        writer.histogram(f"markets/{tag}", result.metrics[tag], 0)


def _write_flights(writer: KpiWriter, comparison: Comparison, seen: Replay) -> None:
    """Bids and figures of a few flights, played once more."""
    scenario = comparison.course.scenario
    colours, bids = team_colours(comparison), seen.bids
    writer.histogram("auction/bid_usd", bids.bid_usd, 0)  # the tag under which training keeps its bids
    writer.histogram("auction/price_to_beat_usd", bids.price_to_beat_usd, 0)
    writer.histogram("auction/paid_usd", bids.paid_usd[bids.won == 1.0], 0)
    figures: dict[str, Draw] = {
        "figures/bids_and_prices": lambda: price_figure([seen], colours, scenario.impression_weight),
        "figures/where_the_money_goes": lambda: cells_figure([seen], colours),
        "figures/creatives": lambda: creative_figure([seen], scenario.intervals_per_day),
        "figures/who_cares": lambda: map_figure(seen),
        "figures/affinity_reliability": lambda: reliability_figure([seen], colours),
        "figures/one_flight": lambda: timeline_figure(seen.eventful, scenario.intervals_per_day),
    }
    if seen.credit is not None:
        figures["figures/credit"] = partial(credit_figure, seen.credit)
        figures["figures/paths"] = partial(sankey_figure, seen.credit)
    for tag, draw in figures.items():
        writer.image(tag, png(draw))
