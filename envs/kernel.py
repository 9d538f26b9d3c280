"""How every kernel of the market is compiled: cached, without the GIL, NumPy's division rules."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

from numba import njit

COMPILED_FROM: Final = (
    "accounts",
    "auction",
    "bids",
    "calibration/laboratory",
    "campaign_sight",
    "catalogue",
    "constants",
    "controls",
    "delivery",
    "dynamics",
    "exchange",
    "expectation",
    "feedback",
    "generator",
    "histories",
    "impressions",
    "inventory",
    "journeys/touches",
    "journeys/walk",
    "kernel",
    "listeners",
    "observation",
    "opportunities",
    "philox",
    "recent_plays",
    "reception",
    "response",
    "rewards",
    "rivals",
    "rows",
    "sight",
    "state",
    "team_sight",
)
"""Modules whose functions or constants are part of compiled kernels."""


def _digest() -> str:
    folder = Path(__file__).parent
    sources = b"".join((folder / f"{name}.py").read_bytes() for name in COMPILED_FROM)
    return hashlib.sha256(sources).hexdigest()


SOURCE_DIGEST: Final = _digest()
"""Numba's cache notices a change of a kernel's own file only, and would keep the constants and helpers
that a kernel took from another module: so cache files are named and stamped after the sources of all."""
_MARK: Final = b"envs.kernel"


@cache
def _stamp(home: Path) -> str:
    """Of what kernels in a package or a file are compiled from: the market's sources, and their own.

    In a package these are all files that have kernels, for one may call another's.
    """
    if home == Path(__file__).parent:
        return SOURCE_DIGEST
    files = [home] if home.is_file() else sorted(home.rglob("*.py"))
    own = b"".join(source for source in (path.read_bytes() for path in files) if _MARK in source)
    return hashlib.sha256(SOURCE_DIGEST.encode() + own).hexdigest()


def _home(function: Callable[..., Any]) -> Path:
    """Folder of the top package that a function is in, or its file where there is none."""
    file = Path(function.__code__.co_filename)
    depth = function.__module__.count(".")
    return file.parents[depth - 1] if depth else file


def kernel(function: Callable[..., Any]) -> Any:
    """Compiles a module-level function that allocates nothing; it writes into arrays it was given.

    So numba need not count references: a hundred of them, atomically, for every market. A function that
    does allocate fails to compile: it is an `allocating_kernel`. No fast-math: bits do not depend on the
    machine's mood. NumPy's division rules, cached, without the GIL.
    """
    return _compiled(function, _nrt=False)


def inner_kernel(function: Callable[..., Any]) -> Any:
    """A kernel that kernels alone call, compiled without a wrapper for Python.

    Wrappers that unpack a market's hundred arrays are half of what compiling the market takes.
    """
    return _compiled(function, _nrt=False, no_cpython_wrapper=True)


def inlined(function: Callable[..., Any]) -> Any:
    """A kernel that is pasted into its callers before they are compiled, so that their loops vectorise."""
    return _compiled(function, _nrt=False, inline="always")


def allocating_kernel(function: Callable[..., Any]) -> Any:
    """A kernel that makes arrays of its own; only Python or another of its kind may call it."""
    return _compiled(function)


def _compiled(function: Callable[..., Any], **options: Any) -> Any:
    options |= {"cache": True, "nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
    compiled = njit(**options)(function)
    cache_file = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if cache_file is not None:  # there is none under NUMBA_DISABLE_JIT
        cache_file._source_stamp = stamp = _stamp(_home(function))
        # An index of other sources may name classes that are gone, and then could not even be read.
        name = f"{cache_file._index_name.removesuffix('.nbi')}-{stamp[:12]}"
        cache_file._index_name = f"{name}.nbi"
        cache_file._index_path = str(Path(cache_file._cache_path) / cache_file._index_name)
        cache_file._data_name_pattern = f"{name}.{{number:d}}.nbc"
    return compiled
