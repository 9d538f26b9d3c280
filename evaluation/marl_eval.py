"""A comparison in the format of marl-eval (Gorsane et al. 2022): environment > task > algorithm > run.

A run holds one evaluation step with a list of each metric by market, and `absolute_metrics`. Teams that
were not played again for the absolute metric have nothing chosen on these markets: theirs are the same
lists. marl-eval 0.0.4 looks up the runs of the first algorithm in all others, so runs go by number, and a
team that nobody trained stands under every number: another training seed would not have changed it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from evaluation.comparison import Comparison, Standing
from evaluation.metrics import KPIS
from evaluation.rollout import TeamResult

ENVIRONMENT: Final = "interlude"
STEP: Final = "step_0"


def as_marl_eval(comparison: Comparison) -> dict[str, Any]:
    """The nested object; KPIs that markets may lack (the watchdog's) are left out."""
    course = comparison.course
    grouped = {run: name for name, method in comparison.methods.items() for run in method.runs}
    runs: dict[str, list[dict[str, Any]]] = {}
    untrained = set()
    for standing in comparison.standings:
        name = standing.entrant.name
        algorithm = grouped.get(name, name).replace(",", ";")  # which marl-eval refuses in names
        runs.setdefault(algorithm, []).append(
            {
                STEP: {"step_count": 0, **_metrics(standing.result)},
                "absolute_metrics": _metrics(_absolute(comparison, standing)),
            }
        )
        if not standing.entrant.learned:
            untrained.add(algorithm)
    most = max(map(len, runs.values()))
    algorithms = {
        name: {f"run_{n}": run for n, run in enumerate(own * most if name in untrained else own)}
        for name, own in runs.items()
    }
    return {ENVIRONMENT: {f"{course.scenario.name}_{course.split}": algorithms}}


def uneven(written: Mapping[str, Any]) -> str | None:
    """Why marl-eval will not aggregate what was written, None where it will."""
    (algorithms,) = written[ENVIRONMENT].values()
    counts = {name: len(runs) for name, runs in algorithms.items()}
    if len(set(counts.values())) == 1:
        return None
    told = ", ".join(f"{name} {count}" for name, count in counts.items())
    return f"marl-eval wants as many training runs of every method as of the others, here are: {told}"


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
