"""The commands of `policies`: `export`, `policies`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from envs.output import JsonOption, check_writable, emit, format_table


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
    json_out: JsonOption = None,
) -> None:
    """Turn a run into a bundle an ad server can load, and prove that it answers as the run does."""
    check_writable(json_out)
    from policies.export import export as write

    manifest = write(run, output, evaluation)
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
