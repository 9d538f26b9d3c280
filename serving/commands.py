"""The commands of `serving`: `serve`, `replay`, `load-test`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from envs.errors import InterludeError
from envs.output import JsonOption, check_writable, emit, format_table
from envs.seeds import Split

BundleArgument = Annotated[Path, typer.Argument(metavar="BUNDLE", help="What `interlude export` wrote.")]


def serve(
    bundle: BundleArgument,
    local: Annotated[bool, typer.Option("--local", help="One process on this machine, without Ray.")] = False,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 = any free one.")] = 8707,
    grpc_port: Annotated[
        int, typer.Option("--grpc-port", min=0, max=65535, help="gRPC, too, at this port; 0 = none.")
    ] = 0,
    flight: Annotated[
        Path | None,
        typer.Option("--flight", metavar="FILE.json", help="The flight to begin with (docs/serving.md)."),
    ] = None,
    ledger: Annotated[
        Path, typer.Option("--ledger", metavar="DIR", help="Where budgets and events are kept.")
    ] = Path("ledger"),
    interval_seconds: Annotated[
        float | None,
        typer.Option(
            "--interval-seconds",
            min=0.0,
            help="Length of an interval; 0 = it ends when POST /intervals says so. [default: the scenario's]",
        ),
    ] = None,
    deadline_seconds: Annotated[
        float, typer.Option("--deadline-seconds", min=0.001, help="That a role has in an interval.")
    ] = 1.0,
    reservation_seconds: Annotated[
        float, typer.Option("--reservation-seconds", min=1.0, help="That a bid's price is kept free.")
    ] = 60.0,
    json_out: JsonOption = None,
) -> None:
    """Serve a bundle: bid requests in, bids out, budgets kept."""
    check_writable(json_out)
    settings: dict[str, Any] = {
        "deadline_seconds": deadline_seconds,
        "reservation_seconds": reservation_seconds,
    }
    if not local:
        from serving.ray_app import serve_on_ray

        serve_on_ray(bundle, ledger, flight, host, port, grpc_port, interval_seconds, settings, json_out)
        return
    from serving.local import run

    run(bundle, ledger, flight, host, port, grpc_port, interval_seconds, settings, json_out)


def replay(
    bundle: BundleArgument,
    against: Annotated[str, typer.Option("--against", metavar="URL", help="A service of this bundle.")],
    episodes: Annotated[int, typer.Option("--episodes", min=1, help="Markets, one flight each.")] = 8,
    split: Annotated[str, typer.Option("--split", help="train or development.")] = "development",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the sequence of markets.")] = 0,
    token: Annotated[
        str, typer.Option("--token", envvar="INTERLUDE_TOKEN", help="For the service's writing endpoints.")
    ] = "",
    json_out: JsonOption = None,
) -> None:
    """Play exchange and listeners against a served team, and compare it with the bundle in this process."""
    check_writable(json_out)
    if split not in ("train", "development"):
        raise typer.BadParameter("must be train or development", param_hint="--split")
    from serving.replay import compare

    name: Split = "train" if split == "train" else "development"
    result = compare(bundle, against, token, name, seed, episodes)
    rows = [
        (market, f"{here:,.1f}", f"{there:,.1f}", f"{there - here:+,.2f}")
        for market, here, there in zip(
            range(episodes), result["in_process_usd"], result["served_usd"], strict=True
        )
    ]
    low, high = result["difference_low_usd"], result["difference_high_usd"]
    table = format_table(("market", "in process, USD", "served, USD", "difference"), rows)
    told = f"mean difference {result['difference_usd']:+,.2f} USD, 95 % interval [{low:+,.2f}, {high:+,.2f}]"
    failed = ", ".join(f"{role} {count}" for role, count in result["stand_ins"].items()) or "never"
    told += f"\nstand-ins answered for the served team's roles: {failed}"
    emit(result, f"{table}\n\n{told}\n{result['seconds']:.1f} s", json_out)
    if not result["equal"]:
        raise InterludeError("the served team's result differs from the one in this process")


def load_test(
    bundle: BundleArgument,
    rate: Annotated[float, typer.Option("--rate", min=1.0, help="Bid requests a second.")] = 300.0,
    seconds: Annotated[float, typer.Option("--seconds", min=1.0, help="Of each measurement.")] = 10.0,
    json_out: JsonOption = None,
) -> None:
    """Measure a service on this machine: cold start, latency at a rate, saturation, roles."""
    check_writable(json_out)
    from serving.load_test import measure

    result = measure(bundle, rate, seconds)
    rows = [(name, value) for name, value in result["table"]]
    emit({k: v for k, v in result.items() if k != "table"}, format_table(("figure", "value"), rows), json_out)


def missing_library(error: ImportError) -> InterludeError:
    """What to do where the `serving` extra is not installed."""
    return InterludeError(
        f"{error.name} is not installed: .venv/bin/pip install --editable '.[serving]' in the checkout, or "
        "serve from one process with --local"
    )
