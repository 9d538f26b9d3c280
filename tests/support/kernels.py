"""Inner kernels of the market as Python may call them."""

from __future__ import annotations

from numba import njit

from envs import listeners


@njit(nogil=True, error_model="numpy")
def update_listeners(m, st, k, scratch, b, t):  # type: ignore[no-untyped-def]
    listeners.update_listeners(m, st, k, scratch, b, t)


@njit(nogil=True, error_model="numpy")
def survey(m, st, out, b):  # type: ignore[no-untyped-def]
    listeners.survey(m, st, out, b)
