"""The commands of `training`: `train`, `sweep`, `benchmark`, `study`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from envs.output import JsonOption, check_writable, emit, format_table, write_text_atomically


def train(
    config: Annotated[
        str | None,
        typer.Option("--config", metavar="NAME|FILE", help="What to train; `quick` unless --resume."),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a setting, as in ppo.gamma=0.99."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Of markets, weights and minibatches; default: the file's.")
    ] = None,
    run_dir: Annotated[
        Path | None, typer.Option("--run-dir", metavar="DIR", help="Where the run is kept; a new folder.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --run-dir from its last checkpoint.")
    ] = False,
    listening_history: Annotated[
        Path | None,
        typer.Option(
            "--listening-history", metavar="DIR", help="Take listeners' tastes from real play counts."
        ),
    ] = None,
    ray_address: Annotated[
        str | None,
        typer.Option(
            "--ray-address",
            metavar="ADDRESS",
            help="Join a running Ray cluster, as in `auto` or 10.0.0.1:6379, instead of starting one here. "
            "Its nodes need this same installation; runners (sampling.num_env_runners) spread over them.",
        ),
    ] = None,
    profile: Annotated[
        bool,
        typer.Option("--profile", help="Write where the time goes into profile.txt of the run; slower."),
    ] = False,
    json_out: JsonOption = None,
) -> None:
    """Train a team into a run directory."""
    from envs.errors import ConfigurationError
    from training.configuration import load_training

    check_writable(json_out)
    overrides = [*(overrides or []), *([] if seed is None else [f"seed={seed}"])]
    if resume and run_dir is None:
        raise ConfigurationError("--resume needs --run-dir: which run is to go on?")
    if resume and (config is not None or seed is not None):
        raise ConfigurationError(
            "--resume goes on with the run's own config.yaml and seed: leave --config and --seed out"
        )
    configuration = None if resume else load_training(config or "quick", overrides)

    from training.progress import ProgressReport
    from training.rollout import taste_pool
    from training.run_directory import RunDirectory, default_directory
    from training.session import Session

    taste_pool(listening_history)  # a bad file fails before a run directory is made
    if configuration is None:
        assert run_dir is not None
        run = RunDirectory.reopen(run_dir, overrides)
    else:
        run = RunDirectory.create(run_dir or default_directory(configuration), configuration)
    try:
        with ProgressReport() as report:
            session = Session(run, listening_history, ray_address, report.update, report.say, profile)
            last = session.train(resume=resume)
    finally:
        run.close()
    result = {"run_directory": run.path, **last}
    rows = [(tag, f"{value:.4g}") for tag, value in last.get("kpis", {}).items()]
    text = f"{format_table(('KPI, last flights', 'mean'), rows)}\n\n{run.path}"
    if runners := last.get("runners"):
        at_the_end = f"{runners['answered']} of {runners['asked']} env runners at the end"
        text += f"\n{at_the_end}; lost on the way: {runners['lost_so_far']}"
    emit(result, text, json_out)


def sweep(
    parameters: Annotated[
        list[str],
        typer.Option(
            "--parameter",
            metavar="KEY=V1,V2,…|LOW..HIGH",
            help="A setting and its values, or a range of a positive number; may be given several times.",
        ),
    ],
    config: Annotated[
        str, typer.Option("--config", metavar="NAME|FILE", help="What to train; its time budget is left out.")
    ] = "quick",
    samples: Annotated[
        int | None,
        typer.Option("--samples", min=1, help="Trials, drawn by the seed. [default: the whole grid]"),
    ] = None,
    scheduler: Annotated[
        Literal["asha", "pbt", "none"],
        typer.Option(
            "--scheduler",
            help="`asha` stops the worse trials early, `pbt` lets them take over the better ones' networks.",
        ),
    ] = "asha",
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a setting of all trials."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Of all trials and of what is drawn; default: the file's.")
    ] = None,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--directory",
            metavar="DIR",
            help="Trials and results are kept here; the same sweep goes on. [default: checkpoints/sweeps/]",
        ),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Trials at a time; pbt takes turns.")] = 2,
    ray_address: Annotated[
        str | None,
        typer.Option(
            "--ray-address",
            metavar="ADDRESS",
            help="Join this Ray cluster instead of starting one; DIR must be a folder that its nodes share.",
        ),
    ] = None,
    json_out: JsonOption = None,
) -> None:
    """Train many runs over a space of parameters; write the best configuration as YAML."""
    from training.configuration import load_training
    from training.sweep_space import parse_parameters

    check_writable(json_out)
    given = parse_parameters(parameters)
    configuration = load_training(config, overrides or [], seed)

    from training.progress import ProgressReport
    from training.sweep import BEST, Sweep

    with ProgressReport(bar=False) as report:
        chosen = Sweep(configuration, given, samples, scheduler, directory, workers, report.say)
        table = chosen.run(ray_address)
    best = chosen.settings.directory / BEST
    emit({"directory": chosen.settings.directory, **table.as_json()}, f"{table.text()}\n\n{best}", json_out)


def benchmark(
    what: Annotated[
        Literal["market", "training"] | None,
        typer.Argument(help="`market`: the simulator alone; `training`: learning; both if left out."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A smoke test: small sizes, figures that mean little.")
    ] = False,
    scenario: Annotated[
        str | None,
        typer.Option("--scenario", help="Market to measure (`default`) and to learn on (`quick`)."),
    ] = None,
    json_out: JsonOption = None,
) -> None:
    """Measure speed: of the market against targets, of learning against stock RLlib and plain PyTorch."""
    from envs.scenario import load_scenario

    check_writable(json_out)
    if scenario is not None:
        load_scenario(scenario)
    result, texts = {}, []
    if what != "training":
        result["market"], text = _benchmark_market(quick, scenario or "default")
        texts.append(text)
    if what != "market":
        result["training"], text = _benchmark_training(quick, scenario or "quick")
        texts.append(text)
    emit(result, "\n\n".join(texts), json_out)


def _benchmark_market(quick: bool, scenario: str) -> tuple[object, str]:
    from envs.benchmark import Plan, measure
    from envs.benchmark_report import market_report

    speed = measure(Plan.quick() if quick else Plan(), scenario, lambda text: typer.echo(text, err=True))
    return speed, market_report(speed)


def _benchmark_training(quick: bool, scenario: str) -> tuple[object, str]:
    from training.benchmark import BAR_PLAIN, BAR_STOCK, Plan, measure
    from training.progress import ProgressReport

    with ProgressReport(bar=False) as report:
        speed = measure(Plan.quick() if quick else Plan(), scenario, report.say)
    sizes: dict[str, dict[int, float]] = asdict(speed)
    best = {name: max(found, key=found.__getitem__) for name, found in sizes.items()}
    rows = [
        (name.replace("_", ", "), str(best[name]), f"{found[best[name]]:.0f}")
        for name, found in sizes.items()
    ]
    ratios = (
        f"ours / stock  {speed.ours_over_stock:.1f} (bar {BAR_STOCK:g})\n"
        f"ours / plain  {speed.ours_over_plain:.2f} (bar {BAR_PLAIN:g})\n"
        f"ours / stock, recurrent  {speed.recurrent_ours_over_stock:.1f} (bar {BAR_STOCK:g})\n"
        f"ours / plain, recurrent  {speed.recurrent_ours_over_plain:.2f} (bar {BAR_PLAIN:g})"
    )
    result = {
        "scenario": scenario,
        "market_steps_per_second": sizes,
        "ours_over_stock": speed.ours_over_stock,
        "ours_over_plain": speed.ours_over_plain,
        "recurrent_ours_over_stock": speed.recurrent_ours_over_stock,
        "recurrent_ours_over_plain": speed.recurrent_ours_over_plain,
        "bars": {"ours_over_stock": BAR_STOCK, "ours_over_plain": BAR_PLAIN},
    }
    return result, f"{format_table(('path', 'best size', 'market-steps/s'), rows)}\n\n{ratios}"


def study(
    file: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="A study of `configs/studies`, or a YAML file.")
    ],
    directory: Annotated[
        Path | None,
        typer.Option(
            "--directory",
            metavar="DIR",
            help="Runs and results are kept here. [default: checkpoints/studies/]",
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a setting of the study, as in seeds=[0]."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what is finished and what is missing; run nothing.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE.md", help="Write the table here too.")
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Processes that evaluate; no figure depends on it.")
    ] = 1,
    json_out: JsonOption = None,
) -> None:
    """Train and evaluate what is missing of a study's variants; one that was stopped goes on."""
    from evaluation.rollout import worker_pool
    from evaluation.study import load_study
    from training.progress import ProgressReport
    from training.study import Step, StudyRun, default_directory

    check_writable(json_out)
    check_writable(report)
    chosen = load_study(file, overrides or ())
    with ProgressReport() as progress:
        run = StudyRun(chosen, directory or default_directory(chosen), progress.say, progress.update)
        if not dry_run:
            with worker_pool(workers) as pool:
                table = run.run(pool)
    if dry_run:
        steps = run.plan()
        left = sum(step.state != "finished" for step in steps)
        text = f"{format_table(Step._fields, steps)}\n\n{left} of {len(steps)} units are to be run."
        emit({"directory": run.directory, "units": steps}, text, json_out)
        return
    if report is not None:
        write_text_atomically(report, table.markdown())
    emit(table.as_json(), f"{table.markdown()}\n{run.directory}", json_out)
