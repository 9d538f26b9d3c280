"""How every kernel of the market is compiled: cached, without the GIL, NumPy's division rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from numba import njit

Function = TypeVar("Function", bound=Callable[..., object])


def kernel(function: Function) -> Function:
    """Compiles a module-level function with numba; no fast-math, so that bits do not depend on the machine's mood."""
    return njit(cache=True, nogil=True, error_model="numpy")(function)  # type: ignore[no-any-return]
