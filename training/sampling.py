"""Asking env runners for flights: bounded waiting, and a name for each runner that is lost.

RLlib marks a runner that died, but asks one that hangs again for ever: here it is killed, and Ray starts it
anew, on whatever node has room.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import ray

from training.rollout import Rollout

if TYPE_CHECKING:
    from training.runner import MarketRunner

TAG: Final = "flight"
"""By which RLlib keeps these calls apart from those that spread weights."""


@dataclass(frozen=True)
class Answer:
    """What a runner hands back: its flights and metrics, or the fault that a restart would not mend."""

    worker: int
    rollouts: list[Rollout]
    metrics: Any = None
    fault: Exception | None = None


@dataclass(frozen=True)
class Loss:
    """A runner that gave nothing in an iteration, and why."""

    worker: int
    flight: int
    reason: str

    def __str__(self) -> str:
        """For whoever watches."""
        return f"env runner {self.worker} {self.reason} in flight {self.flight}"


def play(runner: MarketRunner, flight: int) -> Answer:
    """One flight of a runner.

    Markets are a function of seed and flight, so what an exception stopped once it would stop again: it is
    handed back, with where it came from, and not taken for the death of a process.
    """
    try:
        return Answer(runner.worker_index, runner.sample(flight=flight), runner.get_metrics())
    except Exception as error:
        place = f"in env runner {runner.worker_index}, flight {flight}:\n{traceback.format_exc()}"
        error.add_note(place)  # a traceback does not survive the way between processes, a note does
        return Answer(runner.worker_index, [], fault=error)


@dataclass(frozen=True)
class Asked:
    """A flight that remote runners are playing."""

    flight: int
    workers: list[int]


def request(group: Any, flight: int) -> Asked:
    """Has every healthy remote runner of RLlib's group play a flight, with the weights it then has."""
    workers = group.healthy_worker_ids()
    group.foreach_env_runner_async(
        play, tag=TAG, kwargs={"flight": flight}, healthy_only=False, remote_worker_ids=workers
    )
    return Asked(flight, workers)


def gather(group: Any, asked: Asked, timeout_seconds: float) -> tuple[list[Answer], list[Loss]]:
    """What the runners played, by runner, and the runners that were lost over it.

    Args:
        group: RLlib's env runner group.
        asked: what `request` said.
        timeout_seconds: after which a runner that has not answered counts as hanging, and is killed.
    """
    ready = group.fetch_ready_async_reqs(tags=TAG, timeout_seconds=timeout_seconds)
    answers: dict[int, Answer] = dict(sorted(ready))
    manager = group._worker_manager
    losses = []
    for worker in sorted(set(asked.workers) - set(answers)):
        reason = "died"
        if manager.is_actor_healthy(worker):
            reason = f"gave no answer in {timeout_seconds:g} s and was killed"
            ray.kill(manager.actors()[worker], no_restart=False)
            manager.set_actor_state(worker, healthy=False)
        losses.append(Loss(worker, asked.flight, reason))
    return list(answers.values()), losses
