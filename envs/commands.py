"""The commands of `envs`: `scenarios`, `doctor`, `calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from envs.output import JsonOption, check_writable, emit, format_table


def scenarios(json_out: JsonOption = None) -> None:
    """List the scenarios that come with the project: the kinds of market there are."""
    from envs.scenario import load_scenario, scenario_names

    found = [load_scenario(name) for name in scenario_names()]
    listing = [{"name": scenario.name, "description": scenario.description} for scenario in found]
    first = [(entry["name"], entry["description"].partition(". ")[0].rstrip(".")) for entry in listing]
    table = format_table(("scenario", "what it is"), first)
    emit({"scenarios": listing}, table, json_out)


def doctor(json_out: JsonOption = None) -> None:
    """Say whether this machine and installation are sound; exit 1 if something is broken."""
    from envs.doctor import examine

    checks = examine()
    broken = sum(check.status == "broken" for check in checks)
    table = format_table(("check", "status", "detail"), checks)
    verdict = f"{broken} of {len(checks)} checks are broken." if broken else "Ready."
    emit({"sound": not broken, "checks": checks}, f"{table}\n\n{verdict}", json_out)
    if broken:
        raise typer.Exit(1)


def calibrate(
    price_log: Annotated[
        Path, typer.Option("--price-log", metavar="FILE", help="CSV of prices won, or of bids.")
    ],
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE.html", help="Write the fit as a page to look at.")
    ] = None,
    probability_within_table: Annotated[
        float | None,
        typer.Option(
            "--probability-within-table",
            min=0.0,
            max=1.0,
            help="P(market price within the table), where the log cannot tell (it holds wins only).",
        ),
    ] = None,
    json_out: JsonOption = None,
) -> None:
    """Derive the market's price table from a log of real auctions."""
    from envs.price_log import calibrate as run

    check_writable(report)
    check_writable(json_out)
    run(price_log, json_out, report, probability_within_table)
