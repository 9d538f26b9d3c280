"""A comparison in the format of marl-eval (Gorsane et al. 2022): environment > task > algorithm > run.

A run holds one evaluation step with a list of each metric by market, and `absolute_metrics`. Teams that
were not played again for the absolute metric have nothing chosen on these markets: theirs are the same
lists. marl-eval asks for the same number of runs of every algorithm.
"""

from __future__ import annotations

import re
from typing import Any, Final

from evaluation.comparison import Comparison, Standing
from evaluation.metrics import KPIS
from evaluation.rollout import TeamResult

ENVIRONMENT: Final = "interlude"
STEP: Final = "step_0"


def as_marl_eval(comparison: Comparison) -> dict[str, Any]:
    """The nested object; KPIs that markets may lack (the watchdog's) are left out."""
    course = comparison.course
    algorithms: dict[str, dict[str, Any]] = {}
    grouped = {run: name for name, method in comparison.methods.items() for run in method.runs}
    for standing in comparison.standings:
        name = standing.entrant.name
        runs = algorithms.setdefault(grouped.get(name, name), {})
        runs[_run_name(standing, runs)] = {
            STEP: {"step_count": 0, **_metrics(standing.result)},
            "absolute_metrics": _metrics(_absolute(comparison, standing)),
        }
    return {ENVIRONMENT: {f"{course.scenario.name}_{course.split}": algorithms}}


def _run_name(standing: Standing, taken: dict[str, Any]) -> str:
    """A run is called by its training seed; what was never trained, or a seed that is there, by number."""
    seeds = standing.entrant.training_seeds
    name = f"seed_{seeds[0]}" if len(seeds) == 1 else f"run_{len(taken)}"
    return name if name not in taken else f"run_{len(taken)}"


def _absolute(comparison: Comparison, standing: Standing) -> TeamResult:
    again = comparison.absolute
    return (
        again.result if again is not None and again.result.team == standing.entrant.name else standing.result
    )


def _metrics(result: TeamResult) -> dict[str, list[float]]:
    """Figures by market; a metric's name is its tag in words."""
    return {
        re.sub(r"\W", "_", tag): result.metrics[tag].tolist()
        for tag, kpi in KPIS.items()
        if not kpi.may_be_empty
    }
