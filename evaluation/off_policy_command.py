"""The command `off-policy`: what other creatives would have earned, from an event log or Open Bandit data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from envs.output import JsonOption, check_writable, emit, format_table

if TYPE_CHECKING:
    from evaluation.off_policy import Estimate, Logged

ONE_CHOICE: Final = (
    "Of a policy that makes one choice otherwise and leaves the rest as logged: where budgets, fatigue and "
    "recall tie choices together, it is not what that policy would earn if it made them all."
)


def off_policy(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="A run of the event log. [default: its only one]")
    ] = None,
    event_log: Annotated[
        Path | None, typer.Option("--event-log", metavar="DIR", help="Written by evaluate --event-log.")
    ] = None,
    creatives: Annotated[
        str, typer.Option("--creatives", metavar="WORD,…", help="The policy: any arm that matches.")
    ] = "audio",
    reward: Annotated[
        str, typer.Option("--reward", help="completions, clicks, skips or dislikes, a choice.")
    ] = "completions",
    open_bandit: Annotated[
        Path | None,
        typer.Option(
            "--open-bandit", metavar="DIR", help="Estimate its Thompson policy from its random log."
        ),
    ] = None,
    clip: Annotated[
        float | None, typer.Option("--clip", min=0.0, help="The largest weight that is believed.")
    ] = None,
    json_out: JsonOption = None,
) -> None:
    """Estimate what another policy would have earned, from the log of one that chose at random."""
    from envs.errors import ConfigurationError

    check_writable(json_out)
    if (event_log is None) == (open_bandit is None):
        raise ConfigurationError("name either an --event-log or --open-bandit data")
    found: dict[str, Any] = {}
    note = ""
    if open_bandit is not None:
        from evaluation.choice_logs import read_open_bandit, thompson_from_random
        from evaluation.off_policy import on_policy

        random, thompson = (read_open_bandit(open_bandit, name) for name in ("random", "thompson"))
        logged, what = thompson_from_random(random, thompson), "click rate of Thompson, from the random log"
        own = on_policy(thompson.click)
        rows = [_row("its own log", own)]
        found["own_log"] = own
    else:
        from envs.event_log import run_names
        from evaluation.choice_logs import creative_choices, uniform_over

        assert event_log is not None
        runs = run_names(event_log)
        if run is None and len(runs) != 1:
            raise ConfigurationError(f"{event_log} holds {len(runs)} runs: name one of {', '.join(runs)}")
        logged = creative_choices(event_log, run or runs[0], uniform_over(creatives), reward)
        what, rows, note = f"{reward} a choice of creatives {creatives!r}", [], f"\n{ONE_CHOICE}"
    estimates = estimates_of(logged, clip)
    rows += [_row(one.method, one) for one in estimates]
    columns = ("method", "estimate [95 %]", "rows", "effective", "largest weight", "mean weight", "clipped")
    text = f"{what}\n{format_table(columns, rows)}{note}"
    emit({"what": what, "estimates": estimates, **found}, text, json_out)


def estimates_of(logged: Logged, clip: float | None) -> list[Estimate]:
    """All three estimators."""
    from evaluation.off_policy import doubly_robust, inverse_propensity, self_normalised

    return [method(logged, clip=clip) for method in (inverse_propensity, self_normalised, doubly_robust)]


def _row(name: str, one: Estimate) -> tuple[str, ...]:
    return (
        name,
        f"{one.value:.4g} [{one.low:.4g}, {one.high:.4g}]",
        f"{one.rows:,}",
        f"{one.effective_sample_size:,.0f}",
        f"{one.max_weight:.3g}",
        f"{one.mean_weight:.3f}",
        f"{one.clipped_fraction:.1%}",
    )
