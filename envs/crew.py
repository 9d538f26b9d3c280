"""Markets shared out among threads: kernels hold no lock, and no market knows of another."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

Answer = TypeVar("Answer")


class Crew:
    """Threads that each take one contiguous range of the markets of a batch, always the same."""

    def __init__(self, num_markets: int, threads: int) -> None:
        """Shares `num_markets` out among `threads`, as evenly as it goes."""
        if threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        parts = min(threads, num_markets)
        edges = [num_markets * part // parts for part in range(parts + 1)]
        self.ranges = list(pairwise(edges))
        self._others = ThreadPoolExecutor(parts - 1, "market") if parts > 1 else None

    def run(self, work: Callable[[int, int, int], Answer]) -> list[Answer]:
        """Answers of work(part, first, end) for every part; the caller's thread does the first."""
        rest = list(enumerate(self.ranges))[1:]
        waiting = [self._others.submit(work, n, *bounds) for n, bounds in rest] if self._others else []
        return [work(0, *self.ranges[0]), *(answer.result() for answer in waiting)]
