"""What a benchmark ran on, and how much memory its arrays take."""

from __future__ import annotations

import os
import platform
import resource
import sys
from pathlib import Path
from typing import Any

import numba
import numpy as np


def array_bytes(tree: Any) -> int:
    """Bytes of all arrays in nested containers, each counted once."""
    seen: dict[int, int] = {}

    def count(thing: Any) -> None:
        if isinstance(thing, np.ndarray):
            whole = thing if thing.base is None or not isinstance(thing.base, np.ndarray) else thing.base
            seen[id(whole)] = whole.nbytes
        elif isinstance(thing, dict):
            count(tuple(thing.values()))
        elif isinstance(thing, list | tuple):
            for part in thing:
                count(part)

    count(tree)
    return sum(seen.values())


def resident_bytes() -> int:
    """What the process holds in memory now; where that cannot be told, what it ever held."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return peak_bytes()


def peak_bytes() -> int:
    """The most it ever held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def machine() -> dict[str, Any]:
    """What it ran on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": _processor(),
        "cores": cores,
        "load_average_1_minute": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")
