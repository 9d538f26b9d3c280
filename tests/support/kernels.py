"""Inner kernels of the market as Python may call them."""

from __future__ import annotations

from envs import listeners
from envs.kernel import kernel


@kernel
def update_listeners(m, st, k, scratch, b, t):  # type: ignore[no-untyped-def]
    listeners.update_listeners(m, st, k, scratch, b, t)


@kernel
def survey(m, st, out, b):  # type: ignore[no-untyped-def]
    listeners.survey(m, st, out, b)
