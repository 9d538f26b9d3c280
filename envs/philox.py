"""Counter-based random numbers: Philox4x32-10, so that a draw depends on its address alone.

A draw is named by (market seed, stream, interval, item, draw); no generator is carried along, so a
market gives the same numbers alone, in a batch, or on any worker.

Source: Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011; the
constants are those of the Random123 reference implementation, whose test vectors are in the tests.
"""

from __future__ import annotations

import math

import numpy as np
from numba import uint32, uint64
from numpy.typing import NDArray

from envs.kernel import inlined, kernel

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint32(0x9E3779B9), np.uint32(0xBB67AE85)
_MASK = np.uint64(0xFFFFFFFF)
UNIT = 1.0 / 4294967296.0
"""(word + ½) · UNIT is a uniform in (0, 1)."""


@inlined
def philox4x32(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    """Ten rounds of Philox on a 4 × 32-bit counter with a 2 × 32-bit key: four uint32."""
    c0, c1, c2, c3 = uint32(c0), uint32(c1), uint32(c2), uint32(c3)
    k0, k1 = uint32(k0), uint32(k1)
    for _ in range(10):
        p0 = _M0 * uint64(c0)
        p1 = _M1 * uint64(c2)
        c0 = uint32(uint32(p1 >> uint64(32)) ^ c1 ^ k0)
        c1 = uint32(p1 & _MASK)
        c2 = uint32(uint32(p0 >> uint64(32)) ^ c3 ^ k1)
        c3 = uint32(p0 & _MASK)
        k0 = uint32(k0 + _W0)
        k1 = uint32(k1 + _W1)
    return c0, c1, c2, c3


@kernel
def uniform4(seed, stream, interval, item, draw):  # type: ignore[no-untyped-def]
    """Four uniforms in (0, 1), never an end point."""
    s = uint64(seed)
    a, b, c, d = philox4x32(draw, item, interval, stream, s & _MASK, s >> uint64(32))
    return (
        (float(a) + 0.5) * UNIT,
        (float(b) + 0.5) * UNIT,
        (float(c) + 0.5) * UNIT,
        (float(d) + 0.5) * UNIT,
    )


@kernel
def fill_words(seed, stream, interval, first, count, draws, words):  # type: ignore[no-untyped-def]
    """Raw words of items first … first + count − 1: words [4 · draws, ≥ count] uint32, row 4·draw + word.

    One plain loop over items, which the compiler turns into vector instructions: six times as fast as
    asking for one item after the other, and the same numbers.
    """
    s = uint64(seed)
    low, high = uint32(s & _MASK), uint32(s >> uint64(32))
    for draw in range(draws):
        row = 4 * draw
        for j in range(count):
            w0, w1, w2, w3 = philox4x32(draw, first + j, interval, stream, low, high)
            words[row, j], words[row + 1, j], words[row + 2, j], words[row + 3, j] = w0, w1, w2, w3


@kernel
def fill_words_at(seed, stream, interval, items, first_draw, count, draws, words):  # type: ignore[no-untyped-def]
    """Raw words of `count` scattered items: words [4 · draws, ≥ count] uint32, row 4·draw + word.

    Args:
        seed: of the market.
        stream: of the draws.
        interval: of the draws.
        items: [≥ count] which.
        first_draw: [≥ count] number of each item's first draw.
        count: how many items.
        draws: of each item.
        words: filled.
    """
    s = uint64(seed)
    low, high = uint32(s & _MASK), uint32(s >> uint64(32))
    for draw in range(draws):
        row = 4 * draw
        for j in range(count):
            w0, w1, w2, w3 = philox4x32(first_draw[j] + draw, items[j], interval, stream, low, high)
            words[row, j], words[row + 1, j], words[row + 2, j], words[row + 3, j] = w0, w1, w2, w3


@kernel
def normal_pair(u, v):  # type: ignore[no-untyped-def]
    """Two standard normals of two uniforms (Box & Muller 1958)."""
    radius = math.sqrt(-2.0 * math.log(u))
    angle = 2.0 * math.pi * v
    return radius * math.cos(angle), radius * math.sin(angle)


@kernel
def normal_quantile(u):  # type: ignore[no-untyped-def]
    """Standard normal quantile of u in (0, 1), within 1e-7 (Wichura 1988, AS 241, PPND7)."""
    q = u - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        above = ((59.109374720 * r + 159.29113202) * r + 50.434271938) * r + 3.3871327179
        return q * above / (((67.187563600 * r + 78.757757664) * r + 17.895169469) * r + 1.0)
    r = math.sqrt(-math.log(u if q < 0.0 else 1.0 - u))
    if r <= 5.0:
        r -= 1.6
        z = ((0.17023821103 * r + 1.3067284816) * r + 2.7568153900) * r + 1.4234372777
        z /= (0.12021132975 * r + 0.73700164250) * r + 1.0
    else:
        r -= 5.0
        z = ((0.017337203997 * r + 0.42868294337) * r + 3.0812263860) * r + 6.6579051150
        z /= (0.012258202635 * r + 0.24197894225) * r + 1.0
    return -z if q < 0.0 else z


@kernel
def binomial(n, p, u):  # type: ignore[no-untyped-def]
    """Successes among `n` trials of probability `p`, of one uniform: more of them for a larger one.

    By inversion where n·min(p, 1 − p) < 12 (Kachitvichyanukul & Schmeiser 1988), else the rounded
    normal approximation, clipped to [0, n].
    """
    if n <= 0 or p <= 0.0:
        return 0
    if p >= 1.0:
        return n
    if p <= 0.5 and u <= 1.0 - n * p:  # (1 − p)ⁿ ≥ 1 − n·p: none, without a power
        return 0
    q = min(p, 1.0 - p)
    left = u if p <= 0.5 else 1.0 - u
    if n * q < 12.0:
        ratio = q / (1.0 - q)
        mass = math.exp(n * math.log1p(-q))
        count = 0
        while left > mass and count < n:
            left -= mass
            count += 1
            mass *= ratio * (n - count + 1) / count
    else:
        count = math.floor(n * q + math.sqrt(n * q * (1.0 - q)) * normal_quantile(left) + 0.5)
        count = min(n, max(0, count))
    return count if p <= 0.5 else n - count


@kernel
def _fill_uniform(seeds, stream, out):  # type: ignore[no-untyped-def]
    for b in range(out.shape[0]):
        for i in range(0, out.shape[1], 4):
            draws = uniform4(seeds[b], stream, 0, i // 4, 0)
            for j in range(min(4, out.shape[1] - i)):
                out[b, i + j] = draws[j]


@kernel
def _fill_normal(seeds, stream, out):  # type: ignore[no-untyped-def]
    for b in range(out.shape[0]):
        for i in range(0, out.shape[1], 4):
            u0, u1, u2, u3 = uniform4(seeds[b], stream, 0, i // 4, 0)
            z0, z1 = normal_pair(u0, u1)
            z2, z3 = normal_pair(u2, u3)
            draws = (z0, z1, z2, z3)
            for j in range(min(4, out.shape[1] - i)):
                out[b, i + j] = draws[j]


def uniforms(seeds: NDArray[np.uint64], stream: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Uniform draws [B, *shape] in (0, 1), each market's own, addressed by (seed, stream, position)."""
    out = np.empty((len(seeds), math.prod(shape)))
    _fill_uniform(seeds, stream, out)
    return out.reshape(len(seeds), *shape)


def normals(seeds: NDArray[np.uint64], stream: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Standard normal draws [B, *shape], each market's own, addressed by (seed, stream, position)."""
    out = np.empty((len(seeds), math.prod(shape)))
    _fill_normal(seeds, stream, out)
    return out.reshape(len(seeds), *shape)
