"""Ray for one run: started small and quiet on this machine, or joined where it already runs."""

from __future__ import annotations

import logging
import os
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # a local run needs no token file in the home folder
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray

from envs.errors import InterludeError

OBJECT_STORE_BYTES: Final = 256 * 1024 * 1024
BYTES_PER_WORKER: Final = 128 * 1024 * 1024


@contextmanager
def running_ray(workers: int, address: str | None = None) -> Iterator[None]:
    """Ray while the block runs; shut down after it, unless it ran before.

    Args:
        workers: remote processes (env runners and learners) that must fit.
        address: of a cluster to join, as in `auto` or `10.0.0.1:6379`.

    Raises:
        InterludeError: no cluster is there, or it is too small.
    """
    if ray.is_initialized():
        yield
        return
    logging.getLogger("ray.rllib").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.filterwarnings("ignore", message=".*Overriding environment rllib")
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    quiet = logging.ERROR
    if address is None:
        memory = OBJECT_STORE_BYTES + BYTES_PER_WORKER * workers
        ray.init(
            num_cpus=2 + workers,
            object_store_memory=memory,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=quiet,
        )
    else:
        try:
            ray.init(address=address, log_to_driver=False, logging_level=quiet)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise InterludeError(f"cannot join a Ray cluster at {address}: {error}") from error
    try:
        if address is not None:
            _check_room(workers, address)
        for number, handler in handlers.items():  # Ray takes over SIGTERM, with an exit code of its own
            if handler is not None:
                signal.signal(number, handler)
        yield
    finally:
        ray.shutdown()


def _check_room(workers: int, address: str) -> None:
    """Ray would wait for ever where there is no room."""
    processors = int(ray.cluster_resources().get("CPU", 0))  # type: ignore[no-untyped-call]
    if processors < workers:
        raise InterludeError(
            f"the Ray cluster at {address} has {processors} CPUs, and this run wants {workers}: one for each "
            "of sampling.num_env_runners and num_learners"
        )
