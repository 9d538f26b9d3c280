"""The commands of `policies`: `calibrate` (a listening history needs its factors), `export`, `policies`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from envs.output import JsonOption, check_writable, emit, format_table


def calibrate(
    price_log: Annotated[
        Path | None,
        typer.Option(
            "--price-log", metavar="FILE", help="CSV of prices won, or of bids: fit the price table."
        ),
    ] = None,
    listening_history: Annotated[
        Path | None,
        typer.Option(
            "--listening-history", metavar="DIR", help="Folder of user_artists.dat: fit how listeners differ."
        ),
    ] = None,
    scenario_out: Annotated[
        Path | None,
        typer.Option(
            "--scenario-out",
            metavar="FILE.yaml",
            help="Write the fit as a scenario, its price table beside it as FILE.prices.json.",
        ),
    ] = None,
    scenario: Annotated[
        str, typer.Option("--scenario", help="The scenario that gives what is not fitted.")
    ] = "default",
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE.html", help="Write the comparison or the fit as a page."),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="FILE.png", help="Draw the main rows; without a log or a history."),
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
    """Simulate every fact about real markets and compare; or fit a scenario to your own data."""
    for path in (json_out, report, picture, scenario_out):
        check_writable(path)
    own_data = price_log is not None or listening_history is not None
    if scenario_out is not None and not own_data:
        raise typer.BadParameter("needs --price-log or --listening-history", param_hint="--scenario-out")
    if picture is not None and own_data:
        raise typer.BadParameter(
            "shows the shipped market: leave out log and history", param_hint="--picture"
        )
    if probability_within_table is not None and price_log is None:
        raise typer.BadParameter("needs --price-log", param_hint="--probability-within-table")
    if own_data:
        from policies.own_data import fit

        fit(price_log, listening_history, scenario_out, scenario, report, probability_within_table, json_out)
        return
    from envs.calibration.command import compare_with_sources

    compare_with_sources(report, picture, json_out)


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory that `interlude train` left.")],
    output: Annotated[
        Path, typer.Option("--output", metavar="DIR", help="The bundle; it must not exist yet, or be empty.")
    ],
    evaluation: Annotated[
        Path | None,
        typer.Option(
            "--evaluation", metavar="FILE", help="JSON of `interlude evaluate`, for the model card's figures."
        ),
    ] = None,
    layout: Annotated[
        str, typer.Option("--layout", help="plain, or triton: the networks as a Triton model repository.")
    ] = "plain",
    json_out: JsonOption = None,
) -> None:
    """Turn a run into a bundle an ad server can load, and prove that it answers as the run does."""
    check_writable(json_out)
    if layout not in ("plain", "triton"):
        raise typer.BadParameter("must be plain or triton", param_hint="--layout")
    from policies.export import export as write

    manifest = write(run, output, evaluation, layout="triton" if layout == "triton" else "plain")
    parity = manifest["parity"]
    rows = [(name, f"{apart:.1e}") for name, apart in parity["largest_difference"].items()]
    if "creative_disagreements" in parity:
        rows.append(("creatives that differ", str(parity["creative_disagreements"])))
    table = format_table(("output", "largest difference, onnxruntime to PyTorch"), rows)
    told = f"{parity['observations']} observations of development flights, {parity['tolerance']:g} allowed"
    emit({"bundle": output, **manifest}, f"{table}\n\n{told}\n{output}", json_out)


def policies(json_out: JsonOption = None) -> None:
    """List the scripted teams and the policies they are made of, by role."""
    from policies.listing import describe_policies
    from policies.registry import describe_teams

    teams, found = describe_teams(), describe_policies()
    listed = [(p.role, p.name, p.knowledge, p.description, ", ".join(p.teams)) for p in found]
    rows = [(team["name"], team["knowledge"], team["description"]) for team in teams]
    text = [
        format_table(("team", "knowledge", "what it is"), rows),
        format_table(
            ("role", "policy", "knowledge", "what it does", "teams"),
            listed,
        ),
        "A run directory or a bundle is a team too; BASE+role=SOURCE replaces a role.",
    ]
    emit({"teams": teams, "policies": found}, "\n\n".join(text), json_out)
