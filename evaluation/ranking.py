"""How the scripted teams rank in every scenario: `python -m evaluation.ranking docs` writes `ranking.md`.

The ranking differs from scenario to scenario, or the scenarios would be one. Every team meets the same
markets; `--markets`, `--split` and scenarios' names make a smaller or another table.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from envs.errors import InterludeError
from envs.output import write_text_atomically
from envs.scenario import load_scenario, scenario_names
from envs.seeds import SPLITS
from evaluation.compare import DEFAULT_BASELINE, SILOED, Comparison, Standing, compare
from evaluation.rollout import Course
from evaluation.sources import ALL_SCRIPTED
from evaluation.table import percent

DOCUMENT: Final = "ranking.md"
MARKETS: Final = 64
NOTE: Final = "<!-- written by `python -m evaluation.ranking docs`: change the code, not this file -->\n"
PRIVILEGED: Final = "oracle"
_MARGINS: Final = (
    (DEFAULT_BASELINE, SILOED),
    (PRIVILEGED, DEFAULT_BASELINE),
    (PRIVILEGED, "certainty-equivalent"),
)
"""Pairs whose lift says what a scenario is about: coordination, information, what a filter leaves."""


def ranking_text(comparisons: Sequence[Comparison]) -> str:
    """The document: who leads where, then one table a scenario."""
    course = comparisons[0].course
    parts = [
        NOTE,
        "# How the scripted teams rank, scenario by scenario\n",
        f"J of every scripted team on {course.num_markets} {course.split} markets of each scenario (seed "
        f"{course.seed}), the same for all teams. Knobs are those tuned on the default scenario. Intervals "
        "are over markets: paired bootstrap, 95 %.\n",
        _overview(comparisons),
        *(_section(comparison) for comparison in comparisons),
    ]
    return "\n".join(parts)


def order(comparison: Comparison) -> tuple[str, ...]:
    """Names of the teams, best first, without those that read the hidden truth."""
    standings = comparison.standings
    return tuple(s.entrant.name for s in standings if s.entrant.knowledge != "privileged")


def _overview(comparisons: Sequence[Comparison]) -> str:
    head = ["scenario", "order, best first (without the oracle)", *(f"{a} over {b}" for a, b in _MARGINS)]
    rows = []
    for comparison in comparisons:
        lifts = [percent(comparison.standing(a).lift[b]) for a, b in _MARGINS]
        rows.append([comparison.course.scenario.name, ", ".join(order(comparison)), *lifts])
    return _table(head, rows)


def _section(comparison: Comparison) -> str:
    scenario = comparison.course.scenario
    rows = [_row(comparison, standing) for standing in comparison.standings]
    head = ["team", "knows", "J, USD a market", f"over {comparison.baseline}", "spent", "frequency", "health"]
    return f"## {scenario.name}\n\n{scenario.description}\n\n{_table(head, rows)}"


def _row(comparison: Comparison, standing: Standing) -> list[str]:
    j = standing.objective
    return [
        f"`{standing.entrant.name}`",
        standing.entrant.knowledge,
        f"{j.estimate:,.0f} [{j.low:,.0f}, {j.high:,.0f}]",
        percent(standing.lift.get(comparison.baseline)) or "baseline",
        f"{standing.mean('spend/budget_fraction'):.1%}",
        f"{standing.mean('listeners/frequency'):.2f}",
        f"{standing.mean('listeners/health'):.2%}",
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)) + "\n"


def _told(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str], tell: Callable[[str], None] = _told) -> int:
    """Plays every scripted team in every scenario; writes the document into the folder named."""
    parser = argparse.ArgumentParser("python -m evaluation.ranking", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="where ranking.md is written; an existing folder")
    parser.add_argument("--scenario", action="append", metavar="NAME", help="only these; may be repeated")
    parser.add_argument(
        "--markets", type=int, default=MARKETS, help="of each scenario [default: %(default)s]"
    )
    parser.add_argument("--split", choices=SPLITS, default="held_out", help="[default: %(default)s]")
    parser.add_argument("--workers", type=int, default=1, help="processes; no figure depends on it")
    chosen = parser.parse_args(arguments)
    comparisons = []
    try:
        if not chosen.folder.is_dir():
            raise InterludeError(f"{chosen.folder} is not a folder")
        for name in chosen.scenario or scenario_names():
            course = Course(load_scenario(name), chosen.split, 0, chosen.markets, min(chosen.markets, 64))
            comparisons.append(compare([ALL_SCRIPTED], course, workers=chosen.workers))
            tell(f"{name}: {', '.join(order(comparisons[-1]))}")
        write_text_atomically(chosen.folder / DOCUMENT, ranking_text(comparisons))
    except InterludeError as error:
        tell(str(error))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
