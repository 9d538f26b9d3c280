"""From a price log to a price landscape: reading, undoing the censoring, and a report of how well it fits.

A price log is a CSV file (plain or .gz, a header, commas, UTF-8) in one of two forms, in any one price unit:

* tallied: a column `price` and one or more columns of counts (one a campaign, say; they are pooled): how
  often each price was paid on a win.
* raw, one auction a row: a column `price` (market price paid) and, optionally, `won` (1 or 0), `bid` and
  `auction_id` (then no id may stand twice); other columns are not read. Of a lost auction only that the
  market price reached beyond the bid is known: `price` is not read there and may be empty, `bid` must not
  be. A file whose only column is `price` is raw, every row a win.

The price must be the market price (the best rival bid, or the reserve), as in a second-price auction; a
first-price log tells only one's own bids. Where losses are present, the product-limit estimate (Kaplan &
Meier 1958; for auctions Zhang et al., "Bid-aware gradient descent for unbiased learning with censored data in
display advertising", KDD 2016) gives the distribution of market prices rather than of prices given a win,
and how much of it the table covers.
"""

from __future__ import annotations

import base64
import csv
import gzip
import html
import io
import math
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple, NoReturn, TextIO

import numpy as np
from numpy.typing import NDArray

from envs.errors import ConfigurationError
from envs.output import check_writable, emit, write_text_atomically
from envs.price_landscape import (
    IPINYOU_PROBABILITY_WITHIN_TABLE,
    PRICE_LANDSCAPE_FORMAT,
    TABLE_SIZE,
    ParametricFit,
    PriceDistribution,
    fit_parametric,
    normalised_landscape,
    quantile_table,
    table_ks_distance,
)

_MAX_TEXT: Final = 40


class PriceLog(NamedTuple):
    """What a log says about market prices: exact on wins, only a lower bound on losses."""

    price: NDArray[np.float64]
    """[K] distinct prices paid, ascending, in the log's unit."""
    won: NDArray[np.int64]
    """[K] wins at that price."""
    lost_bid: NDArray[np.float64]
    """[J] distinct bids of lost auctions, ascending: the market price was higher. Empty without losses."""
    lost: NDArray[np.int64]
    """[J] losses at that bid."""


def read_price_log(path: Path) -> PriceLog:
    """Read a price log in either form (see the module).

    Raises:
        ConfigurationError: naming file, line and column, for a file that is missing, empty, not such a CSV
            file, lacks a column, repeats a row, or holds text, a negative or a non-finite number.
    """
    try:
        with _open_text(path) as file:
            return _Reader(path, file).read()
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigurationError(f"{path}: cannot read the price log: {error}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not UTF-8 text: {error}") from error


def _open_text(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


class _Reader:
    """One pass over a log; knows file and line for its errors."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self.path = path
        self.rows = csv.reader(file, strict=True)
        self.header: list[str] = []

    def read(self) -> PriceLog:
        self.header = [name.strip() for name in next(self._fields(), [])]
        if not any(self.header):
            raise ConfigurationError(
                f"{self.path}: the file is empty; a header with column 'price' is needed"
            )
        for name, count in Counter(self.header).items():
            if count > 1:
                self._fail(name, "this column stands twice in the header")
        if "price" not in self.header:
            self._fail("price", f"this column is missing; the header has {', '.join(map(repr, self.header))}")
        raw = len(self.header) == 1 or "won" in self.header or "bid" in self.header
        won, lost = self._read_raw() if raw else (self._read_tallied(), Counter[float]())
        if not won.total():
            raise ConfigurationError(f"{self.path}: the file holds no won auction, so no price is known")
        return PriceLog(*_sorted_counts(won), *_sorted_counts(lost))

    def _read_tallied(self) -> Counter[float]:
        tally: Counter[float] = Counter()
        first_line: dict[float, int] = {}
        for row in self._fields():
            record = dict(zip(self.header, row, strict=True))
            price = self._number(record, "price")
            if price in first_line:
                self._fail("price", f"price {price:g} stands twice, first on line {first_line[price]}")
            first_line[price] = self.rows.line_num
            for name in self.header:
                if name != "price":
                    tally[price] += self._count(record, name)
        return +tally

    def _read_raw(self) -> tuple[Counter[float], Counter[float]]:
        won: Counter[float] = Counter()
        lost: Counter[float] = Counter()
        first_line: dict[str, int] = {}
        has_bid = "bid" in self.header
        for row in self._fields():
            record = dict(zip(self.header, row, strict=True))
            if "auction_id" in record:
                identity = record["auction_id"]
                if identity in first_line:
                    self._fail(
                        "auction_id", f"{identity!r} stands twice, first on line {first_line[identity]}"
                    )
                first_line[identity] = self.rows.line_num
            outcome = record.get("won", "1").strip()
            if outcome not in ("0", "1"):
                self._fail("won", f"must be 1 (won) or 0 (lost), got {outcome!r}")
            if outcome == "0":
                if not has_bid:
                    self._fail("bid", "this column is missing; a lost auction tells nothing without its bid")
                lost[self._number(record, "bid")] += 1
                continue
            price = self._number(record, "price")
            if has_bid and price > self._number(record, "bid"):
                bid = record["bid"].strip()
                self._fail("price", f"price {price:g} of a won auction is above its bid {bid}: same unit?")
            won[price] += 1
        return won, lost

    def _fields(self) -> Iterator[list[str]]:
        while True:
            try:
                row = next(self.rows)
            except StopIteration:
                return
            except csv.Error as error:
                self._fail(None, f"not CSV: {error}")
            if not row:
                continue
            if self.header and len(row) != len(self.header):
                self._fail(None, f"has {len(row)} fields, the header has {len(self.header)}")
            yield row

    def _number(self, record: dict[str, str], name: str) -> float:
        text = record[name].strip()
        try:
            value = float(text) if "_" not in text else math.nan
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= 0.0):
            self._fail(name, f"must be a number >= 0, got {text[:_MAX_TEXT]!r}")
        return value + 0.0  # -0.0 and 0.0 are one price

    def _count(self, record: dict[str, str], name: str) -> int:
        text = record[name].strip()
        if not (text.isascii() and text.isdigit() and len(text) <= 15):
            self._fail(
                name,
                f"must be a whole number >= 0, got {text[:_MAX_TEXT]!r}; every column beside 'price' counts "
                "wins (a raw log has a column 'won' or 'bid', or 'price' alone)",
            )
        return int(text)

    def _fail(self, column: str | None, fault: str) -> NoReturn:
        where = f", column {column!r}" if column is not None else ""
        raise ConfigurationError(f"{self.path}: line {self.rows.line_num}{where}: {fault}")


def _sorted_counts(counts: Counter[float]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    value = np.array(sorted(counts), np.float64)
    return value, np.array([counts[v] for v in value.tolist()], np.int64)


def price_distribution(log: PriceLog) -> PriceDistribution:
    """The product-limit estimate of the market price's distribution.

    At each price paid, those at risk are the auctions whose price, or lost bid, is at least that price; a
    lost bid equal to a price is at risk there (its market price was higher). Without losses this is the
    plain empirical distribution, of prices given a win.
    """
    if not log.lost.size:
        return PriceDistribution(log.price, np.cumsum(log.won) / log.won.sum(), None)
    at_risk = _at_least(log.price, log.price, log.won) + _at_least(log.price, log.lost_bid, log.lost)
    reached = 1.0 - np.multiply.accumulate(1.0 - log.won / at_risk)
    within = float(reached[-1])
    return PriceDistribution(log.price, reached / within, within)


def _at_least(
    price: NDArray[np.float64], value: NDArray[np.float64], count: NDArray[np.int64]
) -> NDArray[np.int64]:
    """How many of the counted values are >= each price."""
    below = np.concatenate([np.zeros(1, np.int64), np.cumsum(count)])
    at_least: NDArray[np.int64] = below[-1] - below[np.searchsorted(value, price, side="left")]
    return at_least


class Derivation(NamedTuple):
    """A landscape as a JSON object, and how to show it."""

    landscape: dict[str, object]
    """What `load_price_landscape` reads. Prices in the log's unit have keys that end in `_log_unit`."""
    summary: str
    distribution: PriceDistribution
    table: NDArray[np.float64]
    fits: dict[str, ParametricFit]

    def report(self, name: str) -> str:
        """One HTML page with figures."""
        return _report(name, self.summary, self.distribution, self.table, self.fits)


def derive(price_log: Path, probability_within_table: float | None = None) -> Derivation:
    """A price landscape from a log.

    Args:
        price_log: see the module for the accepted forms.
        probability_within_table: P(market price <= the table's end), in (0, 1]. It goes before what the
            log's losses say. Without it and without losses iPinYou's is used, and the summary says so.

    Raises:
        ConfigurationError: a malformed log, or a probability outside (0, 1].
    """
    if probability_within_table is not None and not 0.0 < probability_within_table <= 1.0:
        raise ConfigurationError(
            f"probability_within_table must be in (0, 1], got {probability_within_table}"
        )
    log = read_price_log(price_log)
    distribution = price_distribution(log)
    table = quantile_table(distribution)
    probability, origin, note = _coverage(distribution, probability_within_table)
    landscape = normalised_landscape(table, probability, f"price log {price_log.name}; {note}")
    fits = fit_parametric(distribution)
    percentile = distribution.price_at(np.array([0.10, 0.50, 0.90, 0.99])).tolist()
    derivation: dict[str, object] = {
        "won_auctions": int(log.won.sum()),
        "lost_auctions": int(log.lost.sum()),
        "probability_within_table_origin": origin,
        "kaplan_meier_probability_within_table": distribution.probability_within_table,
        "mean_price_log_unit": float(distribution.mass() @ distribution.price),
        "table_mean_price_log_unit": float(table.mean()),
        **{f"price_p{p}_log_unit": v for p, v in zip((10, 50, 90, 99), percentile, strict=True)},
        "table_end_price_log_unit": float(log.price[-1]),
        "won_at_price_0": int(log.won[log.price == 0.0].sum()),
        "table_ks_distance": table_ks_distance(distribution, table),
        **{f"{name}_fit": {**fit.parameters, "ks_distance": fit.ks_distance} for name, fit in fits.items()},
    }
    result: dict[str, object] = {
        "format": PRICE_LANDSCAPE_FORMAT,
        "source": landscape.source,
        "probability_within_table": landscape.probability_within_table,
        "quantile": landscape.quantile.tolist(),
        "derivation": derivation,
    }
    summary = _summary(price_log, derivation, landscape.probability_within_table, note)
    return Derivation(result, summary, distribution, table, fits)


def calibrate(
    price_log: Path,
    json_out: str | None = None,
    report: Path | None = None,
    probability_within_table: float | None = None,
) -> dict[str, object]:
    """Derive a price landscape from a log; print a summary, write the table as JSON and a report as HTML.

    Args:
        price_log: see the module for the accepted forms.
        json_out: file, or - for standard output: what `load_price_landscape` reads.
        report: HTML file with figures.
        probability_within_table: see `derive`.

    Returns:
        The JSON object.

    Raises:
        ConfigurationError: a malformed log, or a probability outside (0, 1].
        InterludeError: an output that cannot be written.
    """
    check_writable(json_out)
    check_writable(report)
    derived = derive(price_log, probability_within_table)
    if report is not None:
        write_text_atomically(report, derived.report(price_log.name))
    emit(derived.landscape, derived.summary, json_out)
    return derived.landscape


def _coverage(distribution: PriceDistribution, given: float | None) -> tuple[float, str, str]:
    """P(market price within the table), where it is from, and a sentence that says so."""
    estimate = distribution.probability_within_table
    if given is not None:
        aside = "" if estimate is None else f" (the log's losses give {estimate:.4f})"
        return given, "given", f"P(market price within the table) as given{aside}"
    if estimate is not None:
        return (
            estimate,
            "kaplan_meier",
            "P(market price within the table) by Kaplan-Meier from the log's losses",
        )
    return (
        IPINYOU_PROBABILITY_WITHIN_TABLE,
        "default",
        "the log holds no lost auctions, so censoring cannot be derived from it: P(market price within the "
        f"table) is the default, iPinYou's {IPINYOU_PROBABILITY_WITHIN_TABLE}",
    )


def _summary(price_log: Path, derivation: dict[str, object], probability: float, note: str) -> str:
    def figure(key: str) -> str:
        value = derivation[key]
        return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"

    lines = [
        f"price log          {price_log}",
        f"auctions           {figure('won_auctions')} won, {figure('lost_auctions')} lost",
        f"price, log's unit  mean {figure('mean_price_log_unit')}, p10 / p50 / p90 / p99 "
        + " / ".join(figure(f"price_p{p}_log_unit") for p in (10, 50, 90, 99))
        + f", table end {figure('table_end_price_log_unit')}",
        f"within the table   {probability:.4f}: {note}",
        f"table              {TABLE_SIZE} quantiles, KS distance {figure('table_ks_distance')}",
    ]
    if derivation["won_at_price_0"]:
        lines.append(
            f"price 0            {figure('won_at_price_0')} wins, raised to the smallest positive price"
        )
    for name in ("gamma", "log_normal"):
        fit = derivation.get(f"{name}_fit")
        if isinstance(fit, dict):
            values = ", ".join(f"{key} {value:.4g}" for key, value in fit.items())
            lines.append(f"{name.replace('_', '-') + ' fit':<18} {values}")
    return "\n".join(lines)


def _report(
    name: str,
    summary: str,
    distribution: PriceDistribution,
    table: NDArray[np.float64],
    fits: dict[str, ParametricFit],
) -> str:
    """One HTML page, figures inside it."""
    from matplotlib.figure import Figure

    price = distribution.price
    figure = Figure(figsize=(9.0, 8.0), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    above.vlines(price, 0.0, distribution.mass(), color="0.4", linewidth=1.0, label="log")
    value, count = np.unique(table, return_counts=True)
    above.plot(value, count / table.size, "o", markersize=3.0, color="tab:blue", label="table")
    above.set(ylabel="probability of the price", ylim=(0.0, None))
    below.step(price, distribution.cumulative, where="post", color="0.4", label="log")
    below.step(value, np.cumsum(count) / table.size, where="post", color="tab:blue", label="table")
    for (fit_name, fit), style in zip(fits.items(), ("--", ":"), strict=False):
        label = f"{fit_name.replace('_', '-')}, KS distance {fit.ks_distance:.3f}"
        below.plot(price, fit.cumulative, style, color="tab:red", label=label)
    below.set(xlabel="market price, the log's unit", ylabel="P(price at most this | within the table)")
    for axes in (above, below):
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=110)
    encoded = base64.b64encode(image.getvalue()).decode("ascii")
    title = html.escape(f"Price landscape of {name}")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>\n'
        f'<body style="font-family: sans-serif; max-width: 62em; margin: 2em auto">\n<h1>{title}</h1>\n'
        f"<pre>{html.escape(summary)}</pre>\n"
        '<img alt="Probability and cumulative distribution of market prices: log, table and fits" '
        f'style="max-width: 100%" src="data:image/png;base64,{encoded}">\n</body></html>\n'
    )
