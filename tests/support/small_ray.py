"""A Ray for tests: room for two remote runners, no dashboard, a small object store."""

from __future__ import annotations

import os


def start_ray() -> None:
    """Starts it, unless one runs in this process; it goes with the process."""
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    import ray

    if not ray.is_initialized():
        ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, object_store_memory=100_000_000)
