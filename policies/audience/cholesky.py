"""Small systems of equations, for kernels that solve one a row."""

from __future__ import annotations

import math

import numpy as np

from envs.kernel import allocating_kernel


@allocating_kernel
def decompose(a):  # type: ignore[no-untyped-def]
    """Cholesky's decomposition of a symmetric positive definite a, in place of its lower triangle.

    Column by column, so that the inner loops run along rows; the upper triangle is not read.
    """
    size = a.shape[0]
    pivot = np.empty(size)
    for k in range(size):
        a[k, k] = math.sqrt(a[k, k])
        for i in range(k + 1, size):
            a[i, k] /= a[k, k]
            pivot[i] = a[i, k]
        for i in range(k + 1, size):
            for j in range(k + 1, i + 1):
                a[i, j] -= a[i, k] * pivot[j]


@allocating_kernel
def substitute(a, x):  # type: ignore[no-untyped-def]
    """Solves the system that `decompose` made a of, for the right side x, in place."""
    size = x.shape[0]
    for i in range(size):
        for k in range(i):
            x[i] -= a[i, k] * x[k]
        x[i] /= a[i, i]
    for i in range(size - 1, -1, -1):
        for k in range(i + 1, size):
            x[i] -= a[k, i] * x[k]
        x[i] /= a[i, i]


@allocating_kernel
def solve_in_place(a, x):  # type: ignore[no-untyped-def]
    """Solves a·x = x for a symmetric positive definite a, whose lower triangle is read and destroyed."""
    decompose(a)
    substitute(a, x)
