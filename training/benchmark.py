"""How fast is learning: the same environment, networks and settings on three paths, each at its best size.

`stock` is RLlib as it comes on the PettingZoo environment; `ours` is RLlib with the native runner and the
trimmed learner; `plain` is the same learning in one PyTorch loop: the practical ceiling. Networks act on
observations alone (no desk), so that all three do the same work; so do recurrent actors. A market-step is
one interval of one market, all of its agents acting, learning included.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import torch

from envs.seeds import market_seeds
from training.algorithm import build_algorithm
from training.cluster import running_ray
from training.configuration import TrainingConfiguration, load_training
from training.plain import PlainTrainer
from training.stock import build_stock
from training.warm_up import warm_up

BAR_STOCK: Final = 8.0
BAR_PLAIN: Final = 0.70
MEMORY_UNITS: Final = 64
Iterate = Callable[[], int]
"""Does one iteration; gives the market-steps of it."""


@dataclass(frozen=True)
class Plan:
    """What is measured, and for how long."""

    stock_environments: tuple[int, ...] = (1, 8, 32, 64)
    markets: tuple[int, ...] = (48, 128, 256)
    recurrent_stock_environments: tuple[int, ...] = (8, 32)
    recurrent_markets: tuple[int, ...] = (48, 128)
    seconds: float = 12.0
    """Of measurement a size, after one iteration that is not counted."""

    @classmethod
    def quick(cls) -> Plan:
        """A smoke test: one small size each."""
        return cls((4,), (8,), (8,), (8,), seconds=1.0)


@dataclass(frozen=True)
class Speed:
    """What was measured."""

    stock: dict[int, float]
    """Market-steps/s with learning, by environments."""
    ours: dict[int, float]
    plain: dict[int, float]
    stock_recurrent: dict[int, float]
    ours_recurrent: dict[int, float]
    plain_recurrent: dict[int, float]

    @property
    def ours_over_stock(self) -> float:
        """Ratio of the best sizes."""
        return max(self.ours.values()) / max(self.stock.values())

    @property
    def ours_over_plain(self) -> float:
        """Ratio of the best sizes."""
        return max(self.ours.values()) / max(self.plain.values())

    @property
    def recurrent_ours_over_stock(self) -> float:
        """Ratio of the best sizes, actors with memory."""
        return max(self.ours_recurrent.values()) / max(self.stock_recurrent.values())

    @property
    def recurrent_ours_over_plain(self) -> float:
        """Ratio of the best sizes, actors with memory."""
        return max(self.ours_recurrent.values()) / max(self.plain_recurrent.values())


def measure(plan: Plan, scenario: str = "quick", say: Callable[[str], None] = lambda text: None) -> Speed:
    """Runs the whole benchmark on this machine, one thread a process."""
    torch.set_num_threads(1)
    found: dict[str, dict[int, float]] = {}
    with running_ray(0):
        for name, sizes, contestant, memory in (
            ("stock", plan.stock_environments, _stock, 0),
            ("ours", plan.markets, _ours, 0),
            ("plain", plan.markets, _plain, 0),
            ("stock_recurrent", plan.recurrent_stock_environments, _stock, MEMORY_UNITS),
            ("ours_recurrent", plan.recurrent_markets, _ours, MEMORY_UNITS),
            ("plain_recurrent", plan.recurrent_markets, _plain, MEMORY_UNITS),
        ):
            found[name] = {}
            for size in sizes:
                with contestant(_configuration(scenario, size, memory), size) as iterate:
                    found[name][size] = steps_per_second(iterate, plan.seconds)
                say(f"{name.replace('_', ', ')}, {size}: {found[name][size]:.0f} market-steps/s")
    return Speed(**found)


def steps_per_second(iterate: Iterate, seconds: float) -> float:
    """Market-steps a second of wall clock, over at least one iteration after the first."""
    iterate()
    started, steps = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - started) < seconds or not steps:
        steps += iterate()
    return steps / elapsed


def _configuration(scenario: str, markets: int, memory: int) -> TrainingConfiguration:
    overrides = [f"scenario={scenario}", f"sampling.markets={markets}", "development.every=0"]
    overrides += ["critic=unprivileged", f"networks.memory={memory}"]
    return load_training("observations-alone", overrides)


@contextmanager
def _stock(configuration: TrainingConfiguration, environments: int) -> Iterator[Iterate]:
    steps = configuration.load_scenario().intervals * max(4, environments)
    algorithm = build_stock(configuration, environments, steps)

    def iterate() -> int:
        return int(algorithm.train()["env_runners"]["num_env_steps_sampled"])

    try:
        yield iterate
    finally:
        algorithm.stop()


@contextmanager
def _ours(configuration: TrainingConfiguration, markets: int) -> Iterator[Iterate]:
    algorithm = build_algorithm(configuration, warm_up(configuration))

    def iterate() -> int:
        algorithm.train()
        return sum(rollout.env_steps() for rollout in algorithm.rollouts)

    try:
        yield iterate
    finally:
        algorithm.stop()


@contextmanager
def _plain(configuration: TrainingConfiguration, markets: int) -> Iterator[Iterate]:
    trainer = PlainTrainer(configuration, warm_up(configuration))
    number = 0

    def iterate() -> int:
        nonlocal number
        number += 1
        seeds = market_seeds("train", configuration.seed, number * markets, markets)
        return trainer.iteration(number, seeds).env_steps()

    yield iterate
