"""The market's price landscape: a table of real winning prices, and how much of the market it covers.

A market price is the highest rival bid an advertiser has to beat. Draw it so: with probability
`probability_within_table` it is `quantile[floor(u * Q)]`, u uniform; otherwise it lies beyond the table's
end and the opportunity cannot be won. No interpolation: real prices are lumpy, and the atoms are kept.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from envs.configuration import load_yaml, validate
from envs.errors import ConfigurationError

PriceLandscapeFormat = Literal["interlude-price-landscape-1"]
PRICE_LANDSCAPE_FORMAT: Final[PriceLandscapeFormat] = "interlude-price-landscape-1"

TABLE_SIZE: Final = 128
"""Points of a quantile table: KS distance of at most 1/256 from what it stands for."""

_MEAN_TOLERANCE: Final = 1e-6
_LEAST_SPREAD: Final = 1e-8


class PriceLandscape(NamedTuple):
    """What rivals pay: prices in units of their mean, and the chance that a price lies in the table."""

    quantile: NDArray[np.float64]
    """[Q] market price at probabilities (i + 1/2) / Q, ascending, in units of the mean winning price."""
    probability_within_table: float
    """P(market price <= the table's end); the rest is unwinnable."""
    source: str
    """Where the table comes from."""


def normalised_landscape(
    price: NDArray[np.float64], probability_within_table: float, source: str
) -> PriceLandscape:
    """A landscape of [Q] ascending positive prices in any unit: divided by their mean.

    Raises:
        ValueError: where prices are not finite, positive and ascending, or the probability is not in (0, 1].
    """
    if price.ndim != 1 or price.size == 0:
        raise ValueError(f"quantile must be a list of at least one price, got shape {price.shape}")
    if not np.isfinite(price).all() or (price <= 0.0).any():
        bad = int(np.flatnonzero(~(np.isfinite(price) & (price > 0.0)))[0])
        raise ValueError(f"quantile[{bad}] must be finite and positive, got {price[bad]}")
    if (np.diff(price) < 0.0).any():
        bad = int(np.flatnonzero(np.diff(price) < 0.0)[0]) + 1
        raise ValueError(f"quantile must ascend, got quantile[{bad}] = {price[bad]} after {price[bad - 1]}")
    if not 0.0 < probability_within_table <= 1.0:
        raise ValueError(f"probability_within_table must be in (0, 1], got {probability_within_table}")
    quantile = np.asarray(price / price.mean(), np.float64)
    quantile.flags.writeable = False
    return PriceLandscape(quantile, float(probability_within_table), source)


# fmt: off
IPINYOU_PRICE_CNY_FEN_CPM: Final[tuple[int, ...]] = (
    4, 5, 5, 6, 7, 9, 10, 11, 13, 14, 16, 17, 18, 19, 20, 20, 20, 20, 20, 20, 21, 22, 22, 23, 25, 27, 29,
    30, 31, 31, 31, 33, 34, 36, 37, 39, 40, 42, 44, 45, 46, 48, 50, 50, 50, 50, 50, 50, 50, 51, 52, 54, 55,
    55, 55, 55, 57, 59, 60, 61, 63, 64, 66, 67, 70, 70, 70, 70, 70, 70, 70, 70, 70, 72, 75, 76, 77, 77, 77,
    77, 77, 79, 80, 80, 80, 80, 81, 85, 87, 88, 88, 89, 90, 93, 95, 99, 101, 102, 106, 109, 113, 118, 121,
    125, 128, 133, 139, 142, 148, 150, 153, 160, 162, 166, 172, 177, 180, 188, 198, 201, 210, 217, 225, 236,
    241, 253, 265, 285,
)
# fmt: on
"""Winning prices of seven iPinYou campaigns pooled (12,589,342 wins), CNY fen CPM, at 128 midpoints.

Of the raw prices: mean 79.59, p10 / p50 / p90 / p99 = 18 / 69 / 177 / 268, table end 300; the table's own
mean is 79.61. Lumpy: atoms at 20, 50, 70, 77, 80. A gamma or log-normal fit misses that (KS .06 to .15).
"""

IPINYOU_PROBABILITY_WITHIN_TABLE: Final = 0.213
"""P(market price <= 300 CNY fen CPM), an input: the Kaplan-Meier estimate of the source, all exchanges."""

IPINYOU_PROBABILITY_WITHIN_TABLE_BY_EXCHANGE: Final = {1: 0.69, 2: 0.29, 3: 0.12}
"""The same by advertising exchange, by the exchange's number in the source."""

IPINYOU: Final = normalised_landscape(
    np.array(IPINYOU_PRICE_CNY_FEN_CPM, np.float64),
    IPINYOU_PROBABILITY_WITHIN_TABLE,
    "iPinYou winning prices, 7 campaigns pooled (han-cai/rlb-dp@1eeb9e4); "
    "P(price <= 300) by Kaplan-Meier of the source",
)


_ANCHOR_PROBABILITY: Final = (0.25, 0.50, 0.75, 0.90, 0.95)
IPINYOU_PRICE_QUANTILES_BY_EXCHANGE: Final[dict[int, tuple[float, ...]]] = {
    1: (40.0, 78.0, 135.0, 209.0, 236.0),
    2: (26.0, 56.0, 123.0, 180.0, 216.0),
    3: (50.0, 70.0, 80.0, 96.0, 160.0),
    4: (31.0, 31.0, 76.0, 133.0, 187.0),
}
"""Winning prices at 25 / 50 / 75 / 90 / 95 % by exchange, CNY fen CPM (tae73/rtb_ipinyou@0f549bb)."""
_PROBABILITY_BY_EXCHANGE: Final = {
    4: IPINYOU_PROBABILITY_WITHIN_TABLE,
    **IPINYOU_PROBABILITY_WITHIN_TABLE_BY_EXCHANGE,
}


def exchange_prices(exchange: int) -> NDArray[np.float64]:
    """[TABLE_SIZE] prices of one exchange, CNY fen CPM: the pooled table bent through its quantiles.

    A monotone map, straight between the published points and to the common ends 0 and 300: the exchange's
    quantiles hold exactly, and what is lumpy in the pooled table stays lumpy.
    """
    pooled = np.array(IPINYOU_PRICE_CNY_FEN_CPM, np.float64)
    at = (np.array(_ANCHOR_PROBABILITY) * TABLE_SIZE).astype(np.int64)
    known = np.array(IPINYOU_PRICE_QUANTILES_BY_EXCHANGE[exchange])
    bent = np.interp(pooled, [0.0, *pooled[at], 300.0], [0.0, *known, 300.0])
    return np.asarray(bent, np.float64)


def _shipped() -> dict[str, PriceLandscape]:
    found = {"ipinyou": IPINYOU}
    for exchange in IPINYOU_PRICE_QUANTILES_BY_EXCHANGE:
        source = (
            f"iPinYou winning prices on advertising exchange {exchange}: the pooled table bent through the "
            "quantiles of tae73/rtb_ipinyou@0f549bb; P(price <= 300) by Kaplan-Meier of the source"
        )
        probability = _PROBABILITY_BY_EXCHANGE[exchange]
        found[f"ipinyou-exchange-{exchange}"] = normalised_landscape(
            exchange_prices(exchange), probability, source
        )
    return found


SHIPPED: Final = _shipped()
"""Landscapes that come with the project, by name."""


def named_landscape(name_or_path: str) -> PriceLandscape:
    """A shipped landscape by its name, or the one in a file.

    Raises:
        ConfigurationError: neither; the valid names are listed.
    """
    if name_or_path in SHIPPED:
        return SHIPPED[name_or_path]
    path = Path(name_or_path)
    if not path.exists():
        raise ConfigurationError(
            f"unknown price landscape {name_or_path!r}: neither a file nor one of {', '.join(SHIPPED)}"
        )
    return load_price_landscape(path)


class _Document(BaseModel):
    """A price landscape as a file."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    quantile: Annotated[list[Annotated[float, Field(gt=0.0)]], Field(min_length=1)]
    probability_within_table: Annotated[float, Field(gt=0.0, le=1.0)]
    source: Annotated[str, Field(min_length=1)]
    format: PriceLandscapeFormat = PRICE_LANDSCAPE_FORMAT
    derivation: dict[str, Any] = {}


def load_price_landscape(path: Path) -> PriceLandscape:
    """Read the JSON that `interlude calibrate --json FILE` writes, or one made by hand (YAML will do).

    Its keys: `quantile` (positive, ascending, mean 1), `probability_within_table`, `source`; optional are
    `format` and `derivation`, which records how `calibrate` got there and is not used.

    Raises:
        ConfigurationError: naming the file, the line and the key at fault.
    """
    settings = load_yaml(path)
    document = validate(_Document, settings, path)
    table = np.array(document.quantile, np.float64)
    try:
        landscape = normalised_landscape(table, document.probability_within_table, document.source)
    except ValueError as error:
        raise ConfigurationError(f"{path}: {error}") from error
    if abs(float(table.mean()) - 1.0) > _MEAN_TOLERANCE:
        raise ConfigurationError(
            f"{path}: quantile must be in units of its own mean, got mean {table.mean():g}: divide by it"
        )
    return landscape


class PriceDistribution(NamedTuple):
    """Distribution of market prices up to the highest price seen (the table's end)."""

    price: NDArray[np.float64]
    """[K] distinct prices, ascending, in the log's unit."""
    cumulative: NDArray[np.float64]
    """[K] P(market price <= price, given that it is within the table); the last is 1."""
    probability_within_table: float | None
    """P(market price <= the table's end); None where the log holds no losses to tell it."""

    def mass(self) -> NDArray[np.float64]:
        """[K] probability of each price."""
        return np.diff(self.cumulative, prepend=0.0)

    def price_at(self, probability: NDArray[np.float64]) -> NDArray[np.float64]:
        """The prices at these probabilities: always prices of the log, none in between."""
        position = np.searchsorted(self.cumulative, probability, side="left")
        return self.price[np.minimum(position, self.price.size - 1)]


class ParametricFit(NamedTuple):
    """A parametric distribution fitted to the positive prices by maximum likelihood."""

    parameters: dict[str, float]
    cumulative: NDArray[np.float64]
    """[K] at the prices of the log."""
    ks_distance: float


def quantile_table(distribution: PriceDistribution, size: int = TABLE_SIZE) -> NDArray[np.float64]:
    """[size] prices at probabilities (i + 1/2) / size: each a price of the log, so that atoms survive.

    A price of 0 is raised to the smallest positive one: a landscape's prices are positive.

    Raises:
        ConfigurationError: no price is positive.
    """
    positive = distribution.price[distribution.price > 0.0]
    if positive.size == 0:
        raise ConfigurationError("every price in the log is 0, so there is no landscape to derive")
    table: NDArray[np.float64] = np.maximum(
        distribution.price_at((np.arange(size) + 0.5) / size), positive[0]
    )
    return table


def table_ks_distance(distribution: PriceDistribution, table: NDArray[np.float64]) -> float:
    """Kolmogorov-Smirnov distance of a table, resampled as it is used, from the distribution."""
    prices = np.union1d(distribution.price, table)
    steps = np.concatenate([[0.0], distribution.cumulative])
    of_log = steps[np.searchsorted(distribution.price, prices, side="right")]
    of_table = np.searchsorted(table, prices, side="right") / table.size
    return float(np.abs(of_log - of_table).max())


def fit_parametric(distribution: PriceDistribution) -> dict[str, ParametricFit]:
    """Gamma and log-normal fits, to show what a smooth landscape would miss; none for a single price."""
    from scipy import optimize, special

    keep = (distribution.price > 0.0) & (distribution.mass() > 0.0)
    price, mass = distribution.price[keep], distribution.mass()[keep]
    mass = mass / mass.sum()
    mean, log_mean = float(mass @ price), float(mass @ np.log(price))
    gap = math.log(mean) - log_mean
    if gap < _LEAST_SPREAD:
        return {}
    shape = math.exp(optimize.brentq(lambda x: x - special.digamma(math.exp(x)) - gap, -20.0, 20.0))
    deviation = math.sqrt(float(mass @ (np.log(price) - log_mean) ** 2))
    upper = np.cumsum(mass)

    def fit(parameters: dict[str, float], cumulative: NDArray[np.float64]) -> ParametricFit:
        distance = np.maximum(np.abs(cumulative - upper), np.abs(cumulative - (upper - mass))).max()
        return ParametricFit(parameters, np.interp(distribution.price, price, cumulative), float(distance))

    return {
        "gamma": fit(
            {"shape": shape, "scale_log_unit": mean / shape}, special.gammainc(shape, price * shape / mean)
        ),
        "log_normal": fit(
            {"log_mean": log_mean, "log_standard_deviation": deviation},
            special.ndtr((np.log(price) - log_mean) / deviation),
        ),
    }
