"""The commands of `evaluation`: `evaluate`, `bid-landscape`, `tune-baselines`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from envs.output import (
    JsonOption,
    check_new_folder,
    check_writable,
    emit,
    format_table,
    write_json,
    write_text_atomically,
)
from evaluation import DEFAULT_EPISODES

if TYPE_CHECKING:
    from evaluation.compare import Watch

WorkersOption = Annotated[
    int, typer.Option("--workers", min=1, help="Processes that play; no figure depends on it.")
]


def evaluate(
    teams: Annotated[
        list[str],
        typer.Argument(
            metavar="TEAM...",
            help="A scripted team's name, a run directory, a bundle, `reference`, `scripted` (all scripted "
            "teams), `rules` (all rules of one role), or BASE+role=SOURCE, where SOURCE may be module:Class "
            "too. Several training runs of a method: NAME=RUN,RUN,... or a folder of runs.",
        ),
    ],
    scenario: Annotated[
        str | None,
        typer.Option("--scenario", help="Name or YAML file. [default: what the runs were trained on]"),
    ] = None,
    split: Annotated[str, typer.Option("--split", help="train, development or held_out.")] = "held_out",
    episodes: Annotated[
        int, typer.Option("--episodes", min=1, help="Markets that every team plays; each is one flight.")
    ] = DEFAULT_EPISODES,
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=2**31 - 1, help="Of the sequence of markets.")
    ] = 0,
    sample: Annotated[
        bool, typer.Option("--sample", help="Learned policies sample instead of taking the likeliest action.")
    ] = False,
    baseline: Annotated[
        str, typer.Option("--baseline", metavar="TEAM", help="Lifts are measured against it.")
    ] = "shadow-price",
    absolute: Annotated[
        bool,
        typer.Option("--absolute", help="Play the leading team again on ten times the markets, its own."),
    ] = False,
    kpis: Annotated[bool, typer.Option("--kpis", help="Print every KPI by team.")] = False,
    marl_eval: Annotated[
        Path | None,
        typer.Option("--marl-eval", metavar="FILE.json", help="Write figures per market for marl-eval."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE.html", help="Write a page with figures.")
    ] = None,
    tensorboard: Annotated[
        Path | None, typer.Option("--tensorboard", metavar="DIR", help="Write each team as a run.")
    ] = None,
    listening_history: Annotated[
        Path | None,
        typer.Option("--listening-history", metavar="DIR", help="Tastes of real listeners (HetRec format)."),
    ] = None,
    event_log: Annotated[
        Path | None,
        typer.Option(
            "--event-log", metavar="DIR", help="Log every bid, message and decision as Parquet, a run a team."
        ),
    ] = None,
    bound: Annotated[
        str | None,
        typer.Option(
            "--bound",
            metavar="exact|best-known",
            help="Scores as fractions of the clairvoyant bound (docs/bounds.md).",
        ),
    ] = None,
    workers: WorkersOption = 1,
    json_out: JsonOption = None,
) -> None:
    """Compare teams on the same markets: who is better, by how much, and how sure that is."""
    import evaluation
    from envs.errors import UnknownNameError
    from envs.seeds import SPLITS
    from evaluation.sources import trained_on

    if split not in SPLITS:
        raise UnknownNameError("split", split, SPLITS)
    check_writable(json_out)
    check_writable(report)
    check_writable(marl_eval)
    check_writable(None if tensorboard is None else tensorboard / "run")
    check_new_folder(event_log)
    played = scenario or trained_on(teams)
    if bound is not None:
        from evaluation import bound_report

        bound_report.check(bound, played)
    with _watched(episodes) as watch:
        comparison = evaluation.evaluate(
            teams,
            played,
            next(known for known in SPLITS if known == split),
            episodes,
            seed,
            baseline=baseline,
            sample=sample,
            workers=workers,
            absolute=absolute,
            listening_history=listening_history,
            event_log=event_log,
            watch=watch,
        )
    from evaluation.table import text

    lines, found = [text(comparison, kpis=kpis)], comparison.as_json()
    if marl_eval is not None:
        from evaluation.marl_eval import as_marl_eval, uneven

        figures = as_marl_eval(comparison)
        write_json(marl_eval, figures)
        lines += [f"marl-eval: {marl_eval}", *filter(None, [uneven(figures)])]
    fractions = None
    if bound is not None:
        with _watched(episodes) as watch:
            fractions = bound_report.measured(comparison, bound, watch)
        lines.append(fractions.text())
        found["bound"] = fractions.as_json()
    if report is not None:
        from evaluation.report import html_report

        write_text_atomically(report, html_report(comparison, fractions))
        lines.append(f"Report: {report}")
    if tensorboard is not None:
        from evaluation.tensorboard_runs import write_comparison

        runs = write_comparison(comparison, tensorboard)
        lines.append(f"TensorBoard: {len(runs)} runs in {tensorboard} (tensorboard --logdir {tensorboard})")
    emit(found, "\n".join(lines), json_out)


def bid_landscape(
    team: Annotated[
        str | None,
        typer.Argument(metavar="[TEAM]", help="As for `evaluate`; with --event-log, one of its runs."),
    ] = None,
    campaign: Annotated[int, typer.Option("--campaign", min=0, help="Of every market, from 0.")] = 0,
    multipliers: Annotated[
        str, typer.Option("--multipliers", metavar="K,K,…", help="By which its bids are multiplied.")
    ] = "0.5,0.7,1,1.4,2",
    window: Annotated[
        str | None,
        typer.Option(
            "--window", metavar="FIRST:END", help="Intervals; before them bids stay. [default: all]"
        ),
    ] = None,
    event_log: Annotated[
        Path | None,
        typer.Option("--event-log", metavar="DIR", help="Read what was logged; without it, play markets."),
    ] = None,
    scenario: Annotated[
        str | None,
        typer.Option("--scenario", help="Name or YAML file. [default: what the run was trained on]"),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", help="train, development or held_out. [default: held_out]"),
    ] = None,
    markets: Annotated[
        int | None,
        typer.Option("--markets", min=1, help="That are played; each is one flight. [default: 64]"),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, max=2**31 - 1, help="Of the sequence of markets. [default: 0]"),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE.html", help="Write a page with a picture.")
    ] = None,
    json_out: JsonOption = None,
) -> None:
    """Say what other bid multipliers would have won, spent and earned, without touching the market."""
    from envs.errors import ConfigurationError, UnknownNameError
    from envs.scenario import load_scenario
    from envs.seeds import SPLITS
    from evaluation import bid_landscape as landscape
    from evaluation.rollout import Course
    from evaluation.sources import trained_on
    from policies import bid_landscape as bidding

    played = {"--scenario": scenario, "--split": split, "--markets": markets, "--seed": seed}
    if event_log is not None and (given := [name for name, value in played.items() if value is not None]):
        raise ConfigurationError(
            f"{', '.join(given)} would change nothing beside --event-log: its markets are those that were "
            "logged. Leave it out, or leave out --event-log to play markets"
        )
    split = "held_out" if split is None else split
    if split not in SPLITS:
        raise UnknownNameError("split", split, SPLITS)
    check_writable(json_out)
    check_writable(report)
    grid = _numbers("--multipliers", multipliers, ",", float)
    first, end = (0, None) if window is None else _numbers("--window", window, ":", int, 2)
    if event_log is not None:
        log = landscape.logged(event_log, team, campaign)
    elif team is None:
        raise ConfigurationError("name a TEAM that plays, or an --event-log to read")
    else:
        kind = next(known for known in SPLITS if known == split)
        course = Course(load_scenario(scenario or trained_on([team])), kind, seed or 0, markets or 64)
        bidding.checked(grid, first, end, course.scenario.intervals)  # before minutes of play
        with _watched(course.num_markets) as watch:
            told = 0

            def progress(more: int) -> None:
                nonlocal told
                told += more
                watch(team, told)

            log = landscape.simulated(team, course, campaign, progress)
    points = bidding.bid_landscape(log, grid, first, end)
    lines = [format_table(landscape.COLUMNS, landscape.rows(points)), "", *landscape.NOTES]
    if report is not None:
        title = f"Bid landscape of campaign {campaign}, {log.scenario.name}"
        write_text_atomically(report, landscape.html_report(title, points))
        lines.append(f"Report: {report}")
    found = {
        "scenario": log.scenario.name,
        "campaign": campaign,
        "markets": len(log.granted_usd),
        "window_intervals": [first, log.granted_usd.shape[1] if end is None else end],
        "points": points,
    }
    emit(found, "\n".join(lines), json_out)


def _numbers(option: str, text: str, mark: str, kind: Callable[[str], Any], count: int | None = None) -> Any:
    """The numbers of an option's value."""
    from envs.errors import ConfigurationError

    try:
        found = [kind(word) for word in text.split(mark)]
    except ValueError:
        found = []
    if not found or len(found) != (count or len(found)):
        raise ConfigurationError(f"{option} takes numbers with {mark!r} between them, got {text!r}")
    return found


def tune_baselines(
    teams: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TEAM...]",
            help="Scripted teams, or rules of one role (`rules`: all); without any, all teams with knobs.",
        ),
    ] = None,
    scenario: Annotated[
        list[str] | None,
        typer.Option("--scenario", help="Name or YAML file; several are weighed alike. [default: default]"),
    ] = None,
    markets: Annotated[
        int, typer.Option("--markets", min=1, help="Training markets of each scenario that a trial plays.")
    ] = 64,
    trials: Annotated[
        int, typer.Option("--trials", min=32, help="Most trials a team; fewer where doubling gains < .2 %.")
    ] = 256,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**31 - 1, help="Of markets and search.")] = 0,
    state: Annotated[
        Path | None,
        typer.Option("--state", metavar="DIR", help="Trials are kept here. [default: checkpoints/tuning]"),
    ] = None,
    per_vertical: Annotated[
        bool,
        typer.Option(
            "--per-vertical",
            help="Search for each vertical alone, beside the global knobs; TEAM@vertical plays with them.",
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Leave configs/baselines as it is.")] = False,
    workers: WorkersOption = 1,
    json_out: JsonOption = None,
) -> None:
    """Tune the scripted teams on training markets; a search that was broken off goes on."""
    from evaluation.rollout import worker_pool
    from evaluation.sources import ALL_RULES
    from evaluation.table import percent
    from evaluation.tuning import Search, shared_verticals, store, tune
    from policies.registry import knob_space, rule_names, team_names

    check_writable(json_out)
    unfolded = {ALL_RULES: [name for name in rule_names() if knob_space(name)]}
    named = teams or [name for name in team_names() if knob_space(name)]
    chosen = dict.fromkeys(name for team in named for name in unfolded.get(team, [team]))
    scenarios = tuple(scenario or ["default"])
    verticals = shared_verticals(scenarios) if per_vertical else (None,)
    searches = [
        Search(team, scenarios, vertical, seed, markets, trials) for team in chosen for vertical in verticals
    ]
    tuned = []
    with worker_pool(workers) as pool:
        for search in searches:
            found = tune(search, state_directory=state, pool=pool, watch=_tell_trials)
            if not dry_run:
                _tell(f"{search.name}: wrote {store(found)}")
            tuned.append(found)
    columns = ("team", "J before, USD", "after", "lift [95 %]", "trials", "last doubling gained")
    rows = [
        (
            found.search.name,
            " / ".join(f"{value:,.0f}" for value in found.objective_before_usd),
            " / ".join(f"{value:,.0f}" for value in found.objective_after_usd),
            " / ".join(percent(lift) for lift in found.lift_fraction),
            found.trials,
            f"{100 * found.doubling_gain_fraction:.2f} %{'' if found.converged else ': not converged'}",
        )
        for found in tuned
    ]
    emit({"tuned": tuned}, format_table(columns, rows), json_out)


def _tell(line: str) -> None:
    """A line of progress: on standard error, so that standard output is the result alone."""
    typer.echo(line, err=True)


def _tell_trials(name: str, trials: int, best: float) -> None:
    _tell(f"{name}: {trials} trials, best {100 * (best - 1):+.2f} % over where it started")


@contextmanager
def _watched(markets: int) -> Iterator[Watch]:
    """A progress bar a team on a terminal, a line a team elsewhere."""
    if not sys.stderr.isatty():

        def line(team: str, played: int) -> None:
            if played == _markets_of(team, markets):
                _tell(f"{team}: played {played} markets")

        yield line
        return
    from rich.console import Console
    from rich.progress import Progress, TaskID

    tasks: dict[str, TaskID] = {}
    with Progress(console=Console(stderr=True), transient=True) as bars:

        def watch(team: str, played: int) -> None:
            if team not in tasks:
                tasks[team] = bars.add_task(team, total=_markets_of(team, markets))
            bars.update(tasks[team], completed=played)

        yield watch


def _markets_of(team: str, markets: int) -> int:
    """How many markets a team plays, by the name under which it reports."""
    from evaluation.compare import ABSOLUTE_FACTOR, ABSOLUTE_LABEL

    return markets * ABSOLUTE_FACTOR if team.endswith(ABSOLUTE_LABEL) else markets
