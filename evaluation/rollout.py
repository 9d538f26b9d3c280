"""Plays flights: every team meets the same markets, whatever the batch size and the number of workers."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from envs.catalogue import D
from envs.errors import ConfigurationError
from envs.market import Observations, VectorMarket
from envs.scenario import Scenario
from envs.seeds import Split, market_seeds
from envs.state import Float
from evaluation.metrics import FlightLedger, mean_over_markets
from policies.policy import flight_of
from policies.propensity import log_propensities
from policies.team import Incapacity, Team

if TYPE_CHECKING:
    from envs.event_log import EventLog

BATCH_SIZE = 64
Progress = Callable[[int], None]
"""Is told how many markets more have been played."""
TeamMaker = Callable[[], Team]
"""Makes a team; workers need one that can be pickled and hashed, such as a `TeamSource`."""


@dataclass(frozen=True)
class Course:
    """The markets that teams meet: scenario, split and seed name them, whoever plays."""

    scenario: Scenario
    split: Split = "held_out"
    seed: int = 0
    num_markets: int = 256
    batch_size: int = BATCH_SIZE
    """Markets stepped together. No figure depends on it: learned policies compute in blocks of one shape."""
    taste_pool: Float | None = field(default=None, hash=False, compare=False)
    """[pool, D] tastes of real listeners, or None for the synthetic population."""
    event_log: Path | None = field(default=None, hash=False, compare=False)
    """Folder into which every flight is logged, a run a team (docs/event_log.md), or None."""
    first_market: int = 0
    """Where in the seed's sequence of markets the course begins."""

    def __post_init__(self) -> None:
        """Checks the numbers."""
        for name in ("num_markets", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} must be at least 1, got {getattr(self, name)}")

    def batches(self) -> list[tuple[int, int]]:
        """(first market, how many) of every batch."""
        size, end = self.batch_size, self.first_market + self.num_markets
        return [(start, min(size, end - start)) for start in range(self.first_market, end, size)]


@dataclass(frozen=True, eq=False)
class Batch:
    """What one team did in one batch of markets."""

    metrics: dict[str, Float]  # [B] by tag
    series: dict[str, Float]  # [T, B] by tag
    incapacities: list[Incapacity]


@dataclass(frozen=True, eq=False)
class TeamResult:
    """What one team did on a course."""

    team: str
    model_aware: bool
    privileged: bool
    metrics: dict[str, Float]
    """[num_markets] every KPI of `metrics.KPIS` over the flight, in the order of the course's seeds."""
    series: dict[str, Float]
    """[T] the same of each interval alone, mean over markets."""
    incapacities: list[Incapacity]
    """Roles that failed and were replaced by their stand-ins, one entry a batch."""
    wall_seconds: float

    def means(self) -> dict[str, float]:
        """Every KPI's mean over the markets that have one."""
        return {tag: float(mean_over_markets(values)) for tag, values in self.metrics.items()}


def play(team: Team, course: Course, progress: Progress | None = None) -> TeamResult:
    """Plays a team through a course, in this process.

    A role that fails is replaced by its stand-in until the end of the flights of its batch, and listed.
    """
    started = time.perf_counter()
    batches = _told((_play_batch(team, course, *batch) for batch in course.batches()), course, progress)
    return _joined(team, batches, started)


def play_with_workers(
    pool: Executor, make: TeamMaker, course: Course, progress: Progress | None = None
) -> TeamResult:
    """The same as `play(make(), course)`, number for number, with the batches spread over a pool."""
    started = time.perf_counter()
    futures = [pool.submit(_play_made, make, course, *batch) for batch in course.batches()]
    try:
        batches = _told((future.result() for future in futures), course, progress)
    finally:
        for future in futures:
            future.cancel()
    return _joined(make(), batches, started)


@contextmanager
def worker_pool(workers: int) -> Iterator[Executor | None]:
    """A pool of worker processes, or None where one process is enough.

    Processes are spawned, not forked: a fork would copy the locks of libraries that run threads. The
    kernels are compiled here first, so that the workers find them in the cache.
    """
    if workers < 2:
        yield None
        return
    warm_up()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_one_thread) as pool:
        yield pool


def listening_tastes(directory: Path) -> Float:
    """Tastes of the listeners of a real listening history: [pool, D], standardised.

    Raises:
        ConfigurationError: a malformed file; file, line and column are named.
    """
    from policies.audience.als import factorise
    from policies.audience.factors import tastes
    from policies.audience.history import read_listening_history

    return tastes(factorise(read_listening_history(directory), D), D).astype(np.float64)


def warm_up() -> None:
    """Compiles the market's kernels (about 40 s, once on a machine) by playing a small market."""
    from envs.scenario import load_scenario
    from policies.registry import make_team

    scenario = load_scenario("quick").model_copy(update={"intervals": 1})
    play(make_team("oracle"), Course(scenario, "train", num_markets=1))


def _one_thread() -> None:
    """Keeps a worker's libraries to one thread: the workers share the cores."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@lru_cache(maxsize=4)
def _made(make: TeamMaker) -> Team:
    return make()


def _play_made(make: TeamMaker, course: Course, start: int, count: int) -> Batch:
    return _play_batch(_made(make), course, start, count)


def opened(
    team: Team, course: Course, start: int, count: int, *, log: bool = False
) -> tuple[VectorMarket, Observations]:
    """Markets `start … start + count - 1` of a course's sequence, reset, and the team started on them.

    The team then acts by `team.act(observations, market.impressions)`: its audience may read listeners.
    """
    reads = team.reads_listeners
    market = VectorMarket(
        course.scenario,
        count,
        split=course.split,
        taste_pool=course.taste_pool,
        log=log,
        impressions=reads,
    )
    observations = market.reset(market_seeds(course.split, course.seed, start, count))
    flight = flight_of(market, privileged=team.privileged, listening=reads, order=team.reads_order)
    team.start(flight)
    return market, observations


def _play_batch(team: Team, course: Course, start: int, count: int) -> Batch:
    """Plays the flights of markets `start … start + count - 1` of a course's sequence."""
    log = course.event_log
    market, observations = opened(team, course, start, count, log=log is not None)
    ledger = FlightLedger(market, keep_series=True)
    terminated = False
    with nullcontext() if log is None else _event_log(log, team, market, start) as events:
        while not terminated:
            actions = team.act(observations, market.impressions)
            step = market.step(actions)
            ledger.add(step)
            if events is not None:
                events.add(actions, log_propensities(team))
            observations, terminated = step.observations, step.terminated
    return Batch(ledger.finish(), ledger.series(), list(team.incapacities))


def _event_log(directory: Path, team: Team, market: VectorMarket, start: int) -> EventLog:
    from envs.event_log import EventLog

    return EventLog(directory, team.name, market, start)


def _told(batches: Iterable[Batch], course: Course, progress: Progress | None) -> list[Batch]:
    """All batches; `progress` hears of each."""
    done = []
    for batch, (_, count) in zip(batches, course.batches(), strict=True):
        done.append(batch)
        if progress is not None:
            progress(count)
    return done


def _joined(team: Team, batches: list[Batch], started: float) -> TeamResult:
    first = batches[0]
    metrics = {tag: np.concatenate([batch.metrics[tag] for batch in batches]) for tag in first.metrics}
    series = {tag: np.concatenate([batch.series[tag] for batch in batches], 1) for tag in first.series}
    return TeamResult(
        team=team.name,
        model_aware=team.model_aware,
        privileged=team.privileged,
        metrics=metrics,
        series={tag: mean_over_markets(array) for tag, array in series.items()},
        incapacities=[incapacity for batch in batches for incapacity in batch.incapacities],
        wall_seconds=time.perf_counter() - started,
    )
