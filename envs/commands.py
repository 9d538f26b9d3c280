"""The commands of `envs`: `scenarios`, `doctor`."""

from __future__ import annotations

import typer

from envs.output import JsonOption, emit, format_table


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
