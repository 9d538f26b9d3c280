"""Where a run's time goes: by phase always, by function with `--profile`."""

from __future__ import annotations

import cProfile
import io
import pstats
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from envs.output import format_table, write_text_atomically

FILE: Final = "profile.txt"
FUNCTIONS: Final = 40
"""How many functions each of the two lists holds."""


class Phases:
    """Wall clock by phase, in seconds."""

    def __init__(self) -> None:
        """No time yet."""
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Counts the block's time to a phase."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began

    def table(self, total_seconds: float) -> str:
        """Phases by their share of a run; `other` is what no phase claims."""
        seconds = {**self.seconds, "other": max(0.0, total_seconds - sum(self.seconds.values()))}
        rows = [
            (name, f"{spent:.2f}", f"{100 * spent / max(total_seconds, 1e-9):.1f} %")
            for name, spent in sorted(seconds.items(), key=lambda phase: -phase[1])
        ]
        return format_table(("phase", "seconds", "share"), [*rows, ("all", f"{total_seconds:.2f}", "")])


@contextmanager
def profiled(file: Path, phases: Phases, say: Callable[[str], None]) -> Iterator[None]:
    """Profiles the block in this process and writes the text to a file, also when the block raises.

    Remote runners and learners are other processes: of them only the waiting shows.
    """
    profile, began = cProfile.Profile(), time.perf_counter()
    profile.enable()
    try:
        yield
    finally:
        profile.disable()
        table = phases.table(time.perf_counter() - began)
        write_text_atomically(file, f"{table}\n\n{_functions(profile)}")
        say(f"{table}\n{file}")


def _functions(profile: cProfile.Profile) -> str:
    text = io.StringIO()
    for order in ("cumulative", "tottime"):
        pstats.Stats(profile, stream=text).sort_stats(order).print_stats(FUNCTIONS)
    return text.getvalue()
