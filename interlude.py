"""Interlude's command line: a table of commands, each loaded from its package when it is called."""

from __future__ import annotations

import importlib
import importlib.util
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Final, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

__version__ = "0.1.0"

HOME: Final = Path(__file__).resolve().parent
PACKAGES: Final = ("envs", "policies", "evaluation", "training", "serving")


class Entry(NamedTuple):
    """Where a command is implemented, and what it does in one line."""

    module: str
    function: str
    help: str


COMMANDS: Final[dict[str, Entry]] = {
    "train": Entry("training.commands", "train", "Train a team into a run directory."),
    "evaluate": Entry("evaluation.commands", "evaluate", "Compare teams on the same markets."),
    "bid-landscape": Entry(
        "evaluation.commands", "bid_landscape", "What other bid multipliers would have brought a campaign."
    ),
    "off-policy": Entry(
        "evaluation.off_policy_command", "off_policy", "What other creatives would have earned, from a log."
    ),
    "sweep": Entry("training.commands", "sweep", "Train over a space of parameters; keep the best."),
    "study": Entry("training.commands", "study", "Train and evaluate the variants of a study."),
    "tune-baselines": Entry("evaluation.commands", "tune_baselines", "Tune the scripted teams by grid."),
    "export": Entry("policies.commands", "export", "Turn a run into a bundle an ad server can load."),
    "calibrate": Entry(
        "policies.commands", "calibrate", "Compare the market with its sources, or fit it to data."
    ),
    "audience": Entry(
        "policies.audience.commands", "audience", "Fit a model of who will care, or say how good one is."
    ),
    "benchmark": Entry("training.commands", "benchmark", "Measure the speed of market and training."),
    "scenarios": Entry("envs.commands", "scenarios", "List the kinds of market there are."),
    "policies": Entry("policies.commands", "policies", "List the teams and policies there are."),
    "serve": Entry("serving.commands", "serve", "Answer bid requests with an exported team."),
    "replay": Entry("serving.commands", "replay", "Play the simulator against a served team, over HTTP."),
    "load-test": Entry("serving.commands", "load_test", "Measure how fast a service answers."),
    "doctor": Entry("envs.commands", "doctor", "Say whether this machine and installation are sound."),
}


def load_command(name: str) -> Any:
    """Import the package of a command and build the command from its function."""
    entry = COMMANDS[name]
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    single.command(name)(getattr(importlib.import_module(entry.module), entry.function))
    return typer.main.get_command(single)


class CommandTable(TyperGroup):
    """A group whose help needs no package of ours: a command is imported when it is called."""

    def __init__(self, **settings: Any) -> None:
        """List every command by name and one line."""
        super().__init__(**settings)
        for name, entry in COMMANDS.items():
            self.add_command(TyperCommand(name, help=entry.help))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command asked for, imported now; an unknown name is refused with the nearest."""
        name, command, rest = super().resolve_command(ctx, args)
        return (name, load_command(name), rest) if name else (name, command, rest)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; print a fault the user can mend as one message, without a traceback."""
        from envs.errors import InterludeError

        try:
            return super().invoke(ctx)
        except InterludeError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(error.exit_code) from error


app = typer.Typer(
    cls=CommandTable, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"interlude {__version__}")
        raise typer.Exit


@app.callback()
def _interlude(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    """Interlude: train and compare teams of advertising agents in a market of ad breaks."""


def foreign_packages() -> dict[str, str]:
    """Our package names that Python would load from somewhere else, and from where.

    Nothing is imported: this runs before any package of ours, which may not be ours.
    """
    foreign = {}
    for name in PACKAGES:
        if (HOME / name / "__init__.py").is_file():
            spec = importlib.util.find_spec(name)
            found = list(spec.submodule_search_locations or [spec.origin or ""]) if spec else []
            if [Path(folder).resolve() for folder in found] != [HOME / name]:
                foreign[name] = ", ".join(found) or "nowhere"
    return foreign


def check_packages() -> None:
    """Exit 1, saying what to do, when another distribution hides a package of ours."""
    foreign = foreign_packages()
    if foreign:
        where = "\n".join(f"  {name} would be loaded from {place}" for name, place in foreign.items())
        sys.exit(
            f"error: these packages of Interlude belong in {HOME}, but others hide them:\n{where}\n"
            "Uninstall the distribution they came with (usually `pip uninstall envs`), or give Interlude an "
            "environment of its own with `make install` and call `.venv/bin/interlude`."
        )


def _terminate(signum: int, frame: FrameType | None) -> None:
    """End by SIGTERM as by an exception, so that half-written outputs are cleared away."""
    raise SystemExit(128 + signum)


def main() -> None:
    """The console script: exit codes 0, 1 (failed), 2 (misuse), 130 (Ctrl-C), 143 (SIGTERM)."""
    check_packages()
    signal.signal(signal.SIGTERM, _terminate)
    app(prog_name="interlude")


if __name__ == "__main__":
    main()
