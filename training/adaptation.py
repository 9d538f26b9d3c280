"""How learners adapt within a flight to verticals they never met: `python -m training.adaptation`.

What needs no training run is made here; recurrent policies are the finished runs of a study (by default
`unseen-verticals`, trained by `interlude study unseen-verticals`). `--report docs/adaptation.md` writes the
table, and picture and JSON beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import numpy as np
import typer

from envs.output import check_writable, write_bytes_atomically, write_json, write_text_atomically
from envs.scenario import load_scenario, with_all_verticals
from envs.seeds import SPLITS
from evaluation.adaptation import Adaptation, Earned, Learner, earned, joined
from evaluation.adaptation_report import markdown, picture
from evaluation.rollout import Course
from evaluation.silenced import UnlearningAudience, unlearning_desk
from evaluation.sources import TeamSource
from evaluation.study import load_study
from policies.arm_prior import ArmPrior
from policies.registry import DESK_TEAM, learning_desk, make_team
from policies.team import Team
from training.arm_prior import learn_arm_prior
from training.ladder import LISTENERS, on_desk
from training.study import StudyRun, default_directory

NOTHING: Final = "no adaptation"
FILTER: Final = "filter"
ORACLE: Final = "oracle"
OF_ALL: Final = "prior of all"
PRIOR_MARKETS: Final = 1024


class Trained(NamedTuple):
    """A variant of the study, as far as it is trained."""

    name: str
    description: str
    teams: list[str]
    """TEAM arguments of the finished runs."""
    sees_all: bool
    twin: str | None
    """The variant that is the same but for the verticals it sees, of one that sees all."""


@dataclass(frozen=True)
class Scripted:
    """A learner that no training run makes."""

    learner: Learner
    team: Team


def scripted(course: Course, prior_markets: int = PRIOR_MARKETS) -> list[Scripted]:
    """Filters and priors: what is known before a flight, what is inferred within it, both."""
    prior, of_all = (
        learn_arm_prior(scenario, 0, prior_markets)
        for scenario in (course.scenario, with_all_verticals(course.scenario))
    )
    audience = {"audience": UnlearningAudience()}

    def listening(arm_prior: ArmPrior) -> Team:
        return on_desk(LISTENERS, learning_desk(arm_prior=arm_prior, reads_listeners=True))

    known = (
        (NOTHING, "briefs alone, to the flight's end", on_desk(DESK_TEAM, unlearning_desk(), **audience)),
        (
            "prior alone",
            "what seen verticals taught, to the flight's end",
            on_desk(DESK_TEAM, unlearning_desk(prior), **audience),
        ),
        (FILTER, f"`{DESK_TEAM}`: infers from counts, starts from the brief", make_team(DESK_TEAM)),
        (
            "filter + prior",
            "the same, starting from what seen verticals taught",
            on_desk(DESK_TEAM, learning_desk(arm_prior=prior)),
        ),
        (
            f"filter + {OF_ALL}",
            "the same with the prior of all verticals, the unseen ones too",
            on_desk(DESK_TEAM, learning_desk(arm_prior=of_all)),
        ),
        (
            LISTENERS,
            "infers from single impressions, who answers too; starts from the brief",
            make_team(LISTENERS),
        ),
        (
            f"{LISTENERS} + prior",
            "the same, starting from what seen verticals taught: where learned policies start",
            listening(prior),
        ),
        (f"{LISTENERS} + {OF_ALL}", "the same with the prior of all verticals", listening(of_all)),
    )
    return [Scripted(Learner(name, told, OF_ALL not in name), team) for name, told, team in known]


def trained(run: StudyRun) -> Iterator[Trained]:
    """The study's variants that have finished runs."""
    variants = run.study.variants
    for name, variant in variants.items():
        if variant.training is None:
            continue
        teams = [
            member.argument
            for member in run.members
            if member.variant == name and all(unit.finished(run.directory) for unit in member.trainings)
        ]
        own = {key: value for key, value in variant.overrides.items() if key != "verticals"}
        sees_all = variant.overrides.get("verticals") == "all"
        twins = (n for n, v in variants.items() if (v.training, v.overrides) == (variant.training, own))
        if teams:
            yield Trained(name, variant.description, teams, sees_all, next(twins, None) if sees_all else None)


def adaptation(
    course: Course, study: StudyRun | None = None, prior_markets: int = PRIOR_MARKETS
) -> Adaptation:
    """Plays all learners; without a study those that need no training run."""
    learners: list[Learner] = []
    flights: list[Earned] = []
    for each in scripted(course, prior_markets):
        learners.append(each.learner)
        flights.append(earned(each.team, course))
    twins = [(f"{name} + prior", f"{name} + {OF_ALL}") for name in (FILTER, LISTENERS)]
    for one in trained(study) if study is not None else ():
        runs = f"{one.description}; {_cost(study, one)}" if study is not None else ""
        learners.append(Learner(one.name, runs, not one.sees_all))
        flights.append(joined(earned(TeamSource(team).resolve().team, course) for team in one.teams))
        if one.twin is not None:
            twins.append((one.twin, one.name))
    learners.append(Learner(ORACLE, "the true responses and affinities", contestant=False))
    flights.append(earned(make_team(ORACLE), course))
    there = {learner.name for learner in learners}
    return Adaptation(
        course,
        learners,
        np.stack([flight.objective_usd for flight in flights]),
        flights[0].campaigns,
        nothing=NOTHING,
        base=FILTER,
        oracle=ORACLE,
        twins=[pair for pair in twins if set(pair) <= there],
    )


def _cost(study: StudyRun, one: Trained) -> str:
    """What its runs took, in words: few iterations say little."""
    units = [u for member in study.members if member.argument in one.teams for u in member.trainings]
    costs = [unit.cost(study.directory) for unit in units]
    iterations, steps, seconds = np.mean(costs, axis=0)
    return f"{len(costs)} seed(s), {iterations:,.0f} iterations, {steps:,.0f} market steps, {seconds:,.0f} s"


def main(
    scenario: str = "default",
    markets: int = 512,
    split: str = "held_out",
    study: str = "unseen-verticals",
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Of the study, as in seeds=[0].")
    ] = None,
    directory: Annotated[Path | None, typer.Option(help="Of the study's runs.")] = None,
    report: Annotated[Path | None, typer.Option(help="FILE.md; .png and .json stand beside it.")] = None,
) -> None:
    """Adaptation curves of all learners, the study's trained ones as far as they are finished."""
    check_writable(report)
    kind = next(known for known in SPLITS if known == split)
    chosen = load_study(study, overrides or ())
    run = StudyRun(chosen, directory or default_directory(chosen))
    found = adaptation(Course(load_scenario(scenario), kind, num_markets=markets), run)
    missing = [
        n for n, v in chosen.variants.items() if v.training and n not in {x.name for x in found.learners}
    ]
    remarks = [f"Not trained yet, and so left out: {', '.join(missing)}."] if missing else []
    if overrides:
        remarks.append(
            f"Study `{chosen.name}` with {', '.join(f'`--set {setting}`' for setting in overrides)}."
        )
    name = "adaptation.png" if report is None else report.with_suffix(".png").name
    text = markdown(found, name, "python -m training.adaptation --report FILE.md", remarks)
    if report is not None:
        write_bytes_atomically(report.with_suffix(".png"), picture(found))
        write_json(report.with_suffix(".json"), found.as_json())
        write_text_atomically(report, text)
    typer.echo(text)


if __name__ == "__main__":
    typer.run(main)
