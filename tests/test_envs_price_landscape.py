from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.errors import ConfigurationError
from envs.price_landscape import (
    IPINYOU,
    IPINYOU_PRICE_CNY_FEN_CPM,
    IPINYOU_PRICE_QUANTILES_BY_EXCHANGE,
    IPINYOU_PROBABILITY_WITHIN_TABLE_BY_EXCHANGE,
    SHIPPED,
    TABLE_SIZE,
    PriceDistribution,
    exchange_prices,
    fit_parametric,
    load_price_landscape,
    named_landscape,
    normalised_landscape,
    quantile_table,
    table_ks_distance,
)
from envs.price_log import price_distribution, read_price_log

VALID: dict[str, Any] = {"quantile": [0.5, 1.0, 1.5], "probability_within_table": 0.4, "source": "by hand"}


def write(tmp_path: Path, document: object) -> Path:
    path = tmp_path / "landscape.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return path


def distribution_of(prices: list[float]) -> PriceDistribution:
    price, count = np.unique(np.array(prices), return_counts=True)
    return PriceDistribution(price, np.cumsum(count) / count.sum(), None)


def test_ipinyou_is_a_normalised_frozen_table() -> None:
    assert IPINYOU.quantile.shape == (TABLE_SIZE,) and IPINYOU.quantile.dtype == np.float64
    assert IPINYOU.quantile.mean() == pytest.approx(1.0, abs=1e-12)
    assert IPINYOU.probability_within_table == 0.213
    assert IPINYOU_PROBABILITY_WITHIN_TABLE_BY_EXCHANGE == {1: 0.69, 2: 0.29, 3: 0.12}
    with pytest.raises(ValueError, match="read-only"):
        IPINYOU.quantile[0] = 2.0


def test_ipinyou_keeps_the_atoms_and_figures_of_its_source() -> None:
    table = np.array(IPINYOU_PRICE_CNY_FEN_CPM)
    assert table.mean() == pytest.approx(79.6, abs=0.05)
    drawn = table[(np.array([0.10, 0.50, 0.90, 0.99]) * TABLE_SIZE).astype(int)]
    np.testing.assert_allclose(drawn, [18, 69, 177, 268], rtol=0.03)
    value, count = np.unique(table, return_counts=True)
    assert {20, 50, 70, 77, 80} <= set(value[count >= 4].tolist())


def test_ipinyou_is_what_the_real_log_gives(data_dir: Path) -> None:
    distribution = price_distribution(
        read_price_log(data_dir / "ipinyou" / "winning_price_counts_by_campaign.csv")
    )
    assert quantile_table(distribution).astype(int).tolist() == list(IPINYOU_PRICE_CNY_FEN_CPM)
    assert table_ks_distance(distribution, np.array(IPINYOU_PRICE_CNY_FEN_CPM, np.float64)) < 0.005
    assert distribution.mass() @ distribution.price == pytest.approx(79.594, abs=0.001)
    probabilities = np.array([0.10, 0.50, 0.90, 0.99])
    assert distribution.price_at(probabilities).tolist() == [18, 69, 177, 268]
    fits = fit_parametric(distribution)
    assert 0.05 < fits["gamma"].ks_distance < fits["log_normal"].ks_distance < 0.15


@pytest.mark.parametrize("exchange", IPINYOU_PRICE_QUANTILES_BY_EXCHANGE)
def test_an_exchange_has_its_quantiles_and_keeps_the_lumps(exchange: int) -> None:
    prices, pooled = exchange_prices(exchange), np.array(IPINYOU_PRICE_CNY_FEN_CPM)
    assert prices.shape == (TABLE_SIZE,) and (np.diff(prices) >= 0.0).all()
    assert 0.0 < prices[0] and prices[-1] <= 300.0
    at = (np.array([0.25, 0.50, 0.75, 0.90, 0.95]) * TABLE_SIZE).astype(int)
    assert prices[at].tolist() == list(IPINYOU_PRICE_QUANTILES_BY_EXCHANGE[exchange])
    assert (np.diff(prices)[np.diff(pooled) == 0] == 0.0).all(), "an atom stays one"


def test_the_exchanges_quantiles_are_those_of_the_source(data_dir: Path) -> None:
    with (data_dir / "ipinyou" / "price_quantiles_by_exchange.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    source = {
        int(row["adexchange"]): tuple(float(row[f"P{p}"]) for p in (25, 50, 75, 90, 95)) for row in rows
    }
    assert source == IPINYOU_PRICE_QUANTILES_BY_EXCHANGE
    for row in rows:
        mean = exchange_prices(int(row["adexchange"])).mean()
        assert mean == pytest.approx(float(row["mean_market"]), rel=0.15), row


def test_shipped_landscapes_are_found_by_name_and_files_by_path(tmp_path: Path) -> None:
    assert set(SHIPPED) == {"ipinyou", *(f"ipinyou-exchange-{n}" for n in (1, 2, 3, 4))}
    for name, landscape in SHIPPED.items():
        assert named_landscape(name) is landscape
        assert landscape.quantile.mean() == pytest.approx(1.0) and landscape.source
    for exchange, probability in IPINYOU_PROBABILITY_WITHIN_TABLE_BY_EXCHANGE.items():
        assert SHIPPED[f"ipinyou-exchange-{exchange}"].probability_within_table == probability
    assert named_landscape(str(write(tmp_path, VALID))).source == "by hand"
    with pytest.raises(ConfigurationError, match=r"unknown price landscape 'ipinyou-5'.*ipinyou-exchange-1"):
        named_landscape("ipinyou-5")


def test_a_table_resamples_the_log_and_not_what_lies_between() -> None:
    distribution = distribution_of([10.0] * 3 + [20.0])
    table = quantile_table(distribution, 4)
    assert table.tolist() == [10.0, 10.0, 10.0, 20.0]
    assert table_ks_distance(distribution, table) == 0.0
    assert table_ks_distance(distribution, np.array([10.0, 20.0])) == 0.25


def test_prices_of_zero_are_raised_to_the_smallest_positive_one() -> None:
    assert quantile_table(distribution_of([0.0, 0.0, 3.0, 4.0]), 4).tolist() == [3.0, 3.0, 3.0, 4.0]
    with pytest.raises(ConfigurationError, match="every price in the log is 0"):
        quantile_table(distribution_of([0.0]))


def test_fits_recover_their_own_distributions() -> None:
    generator = np.random.default_rng(1)
    gamma = fit_parametric(distribution_of(generator.gamma(2.0, 30.0, 20_000).tolist()))["gamma"]
    assert gamma.parameters["shape"] == pytest.approx(2.0, rel=0.05)
    assert gamma.parameters["scale_log_unit"] == pytest.approx(30.0, rel=0.05)
    assert gamma.ks_distance < 0.015
    log_normal = fit_parametric(distribution_of(generator.lognormal(1.0, 0.5, 20_000).tolist()))["log_normal"]
    assert list(log_normal.parameters.values()) == pytest.approx([1.0, 0.5], abs=0.02)
    assert log_normal.ks_distance < 0.015
    assert fit_parametric(distribution_of([5.0])) == {}


def test_a_landscape_is_read_back(tmp_path: Path) -> None:
    landscape = load_price_landscape(write(tmp_path, VALID))
    assert landscape.quantile.tolist() == [0.5, 1.0, 1.5]
    assert landscape[1:] == (0.4, "by hand")
    whole_numbers = {**VALID, "quantile": [1, 1], "probability_within_table": 1}
    assert load_price_landscape(write(tmp_path, whole_numbers)).quantile.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("", "the file is empty"),
        ("[1, 2]", "expected keys with values|expected a mapping"),
        ('{"quantile": [1.0', "not valid YAML"),
        ({**VALID, "quantiles": [1.0]}, "did you mean 'quantile'"),
        ({"quantile": [1.0], "source": "x"}, "'probability_within_table' is missing"),
        ({**VALID, "quantile": []}, "quantile: .*at least 1"),
        ({**VALID, "quantile": 1.0}, "quantile: .*got 1.0"),
        ({**VALID, "quantile": [0.0, 2.0]}, "quantile.0: .*greater than 0"),
        ({**VALID, "quantile": [float("nan"), 1.0]}, "quantile.0"),
        ({**VALID, "quantile": ["1.0", 1.0]}, "quantile.0: .*got '1.0'"),
        ({**VALID, "quantile": [True, 1.0]}, "quantile.0"),
        ({**VALID, "quantile": [1.5, 0.5]}, r"must ascend, got quantile\[1\] = 0.5 after 1.5"),
        ({**VALID, "quantile": [1.0, 5.0]}, "got mean 3"),
        ({**VALID, "probability_within_table": 0.0}, "probability_within_table: .*greater than 0"),
        ({**VALID, "probability_within_table": 1.1}, "probability_within_table: .*less than or equal to 1"),
        ({**VALID, "source": ""}, "source"),
        ({**VALID, "format": "interlude-price-landscape-9"}, "format"),
        ('{"source": "a",\n "source": "b"}', ":2: source is set twice"),
    ],
)
def test_a_malformed_landscape_is_refused(tmp_path: Path, document: object, message: str) -> None:
    path = write(tmp_path, document)
    with pytest.raises(ConfigurationError, match=message) as caught:
        load_price_landscape(path)
    assert str(path) in str(caught.value)


def test_a_missing_landscape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file"):
        load_price_landscape(tmp_path / "none.json")


@pytest.mark.parametrize("quantile", [[], [np.inf], [-1.0], [2.0, 1.0]])
def test_a_landscape_of_bad_prices_is_refused(quantile: list[float]) -> None:
    with pytest.raises(ValueError, match="quantile"):
        normalised_landscape(np.array(quantile), 0.5, "test")


@pytest.mark.parametrize("probability", [0.0, 1.5, float("nan")])
def test_a_landscape_of_a_bad_probability_is_refused(probability: float) -> None:
    with pytest.raises(ValueError, match="probability_within_table"):
        normalised_landscape(np.ones(2), probability, "test")
