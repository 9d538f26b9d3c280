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

OBJECT_STORE_BYTES: Final = 256 * 1024 * 1024
BYTES_PER_WORKER: Final = 128 * 1024 * 1024


@contextmanager
def running_ray(workers: int, address: str | None = None) -> Iterator[None]:
    """Ray while the block runs; shut down after it, unless it ran before.

    Args:
        workers: remote processes (env runners and learners) that must fit.
        address: of a cluster to join, as in `auto` or `ray://host:10001`.
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
        ray.init(address=address, log_to_driver=False, logging_level=quiet)
    try:
        for number, handler in handlers.items():  # Ray takes over SIGTERM, with an exit code of its own
            if handler is not None:
                signal.signal(number, handler)
        yield
    finally:
        ray.shutdown()
