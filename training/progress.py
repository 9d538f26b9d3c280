"""Progress for whoever watches: a live bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from evaluation.metrics import OBJECTIVE

PLAIN_LINE_SECONDS: Final = 15.0


class ProgressReport:
    """Tells on standard error how a run goes."""

    def __init__(self, *, bar: bool = True) -> None:
        """Chooses by whether standard error is a terminal; lines alone without `bar`."""
        console = Console(stderr=True)
        self._bar: Progress | None = None
        self._said = -PLAIN_LINE_SECONDS
        if bar and console.is_terminal:
            columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
            self._bar = Progress(*columns, console=console)
            self._task = self._bar.add_task("starting", total=1.0)

    def __enter__(self) -> ProgressReport:
        """Shows the bar."""
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leaves the terminal as it was."""
        if self._bar:
            self._bar.stop()

    def say(self, text: str) -> None:
        """A message between two iterations."""
        if self._bar:
            self._bar.console.print(text, highlight=False, markup=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def update(self, record: Mapping[str, Any]) -> None:
        """One iteration."""
        text = summary_line(record)
        development = record.get("development")
        if self._bar:
            self._bar.update(self._task, completed=record["progress"], description=text)
            if development:
                self.say(text)
        elif development or record["progress"] >= 1.0 or time.monotonic() - self._said > PLAIN_LINE_SECONDS:
            self._said = time.monotonic()
            self.say(text)


def summary_line(record: Mapping[str, Any]) -> str:
    """An iteration in one line."""
    kpis, parts = record["kpis"], [f"iteration {record['iteration']}"]
    parts.append(f"{100 * record['progress']:.0f}%")
    parts.append(f"J {kpis[OBJECTIVE]:.0f} USD")
    parts.append(f"spent {100 * kpis['spend/budget_fraction']:.0f}%")
    parts.append(f"{record['throughput']['market_steps_per_second']:.0f} market-steps/s")
    if record.get("development"):
        lift = record["development"]["lift_fraction"]
        parts.append(
            f"development J {record['development']['objective_usd']:.0f} USD ({100 * lift:+.1f}% on base)"
        )
    return " · ".join(parts)
