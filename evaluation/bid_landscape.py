"""The bid landscape of a team's campaign, from a log or from markets played for it, and how it is shown."""

from __future__ import annotations

import base64
import html
import io
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from envs.errors import ConfigurationError, UnknownNameError
from envs.event_log import run_names
from evaluation.rollout import Course, Progress, play
from evaluation.sources import TeamSource
from policies.bid_landscape import CampaignLog, Point

COLUMNS = ("multiplier", "bids", "wins", "spend, USD", "completions", "clicks", "earned, USD", "won anew")
NOTES = (
    "Other bids, listeners and rivals as they were; prices beyond the price table count as never won.",
    "What was served brings what it brought; what is won anew, its cell's rate times its predicted value.",
)


def logged(directory: Path, run: str | None, campaign: int) -> CampaignLog:
    """A campaign's bids from an event log; without a run's name, of its only one.

    Raises:
        ConfigurationError: there is no log, no such run or campaign, or several runs and none is named.
    """
    runs = run_names(directory)
    if not runs:
        raise ConfigurationError(
            f"{directory} holds no event log: `interlude evaluate --event-log` writes one"
        )
    if run is None and len(runs) > 1:
        raise ConfigurationError(f"{directory} holds several runs: name one of {', '.join(runs)}")
    if run is not None and run not in runs:
        raise UnknownNameError(f"run in the event log {directory}", run, runs)
    return CampaignLog.read(directory, run or runs[0], campaign)


def simulated(team: str, course: Course, campaign: int, progress: Progress | None = None) -> CampaignLog:
    """A campaign's bids in markets that a team plays for it.

    Raises:
        UnknownNameError: no such team.
        ConfigurationError: no such campaign.
    """
    if not 0 <= campaign < course.scenario.campaigns:
        raise ConfigurationError(
            f"campaign {campaign} does not exist: scenario {course.scenario.name} has "
            f"{course.scenario.campaigns}, from 0"
        )
    player = TeamSource(team)()
    with tempfile.TemporaryDirectory(prefix="interlude-") as folder:
        play(player, replace(course, event_log=Path(folder)), progress)
        return CampaignLog.read(folder, player.name, campaign)


def rows(points: Sequence[Point]) -> list[tuple[str, ...]]:
    """The table's cells."""
    return [
        (
            f"{point.multiplier:g}",
            f"{point.bids:,}",
            f"{point.wins:,.0f}",
            f"{point.spend_usd:,.2f}",
            f"{point.completions:,.0f}",
            f"{point.clicks:,.0f}",
            f"{point.earned_usd:,.0f}",
            f"{100 * point.won_anew_fraction:.0f} %",
        )
        for point in points
    ]


def html_report(title: str, points: Sequence[Point]) -> str:
    """A page with the table and what was spent and earned by multiplier."""
    head = "".join(f"<th>{html.escape(column)}</th>" for column in COLUMNS)
    body = "".join(
        f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows(points)
    )
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in NOTES)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        "<style>body{font:15px system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}"
        "td,th{text-align:right;padding:.2rem .7rem}</style></head>\n<body>\n"
        f"<h1>{html.escape(title)}</h1>\n<table><tr>{head}</tr>{body}</table>\n{notes}\n"
        f'<img alt="Wins, spend and earnings by multiplier." style="max-width: 100%" '
        f'src="data:image/png;base64,{_picture(points)}">\n</body></html>\n'
    )


def _picture(points: Sequence[Point]) -> str:
    """Base64 of a PNG: wins, spend and earnings by multiplier."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 3.0), layout="constrained")
    shown = sorted(point for point in points if point.multiplier > 0.0)
    for axes, field, name in zip(
        figure.subplots(1, 3),
        ("wins", "spend_usd", "earned_usd"),
        ("wins", "spend, USD", "earned, USD"),
        strict=True,
    ):
        axes.plot([point.multiplier for point in shown], [getattr(point, field) for point in shown], "o-")
        axes.set(xscale="log", xlabel="multiplier", title=name)
        axes.set_ylim(bottom=0.0)
        axes.set_xticks([point.multiplier for point in shown], [f"{point.multiplier:g}" for point in shown])
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    return base64.b64encode(image.getvalue()).decode("ascii")
