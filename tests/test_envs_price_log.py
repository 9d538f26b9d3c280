from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from envs.errors import ConfigurationError, InterludeError
from envs.price_landscape import IPINYOU, load_price_landscape
from envs.price_log import calibrate, price_distribution, read_price_log

TALLIED = "price,a,b\r\n5,1,2\r\n0,0,3\r\n7.5,4,0\r\n9,0,0\r\n"


def write(tmp_path: Path, text: str, name: str = "log.csv") -> Path:
    path = tmp_path / name
    content = text.encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


@pytest.mark.parametrize("name", ["log.csv", "log.csv.gz"])
def test_a_tallied_log_is_pooled(tmp_path: Path, name: str) -> None:
    log = read_price_log(write(tmp_path, TALLIED, name))
    assert log.price.tolist() == [0.0, 5.0, 7.5]
    assert log.won.tolist() == [3, 3, 4]
    assert log.lost.size == log.lost_bid.size == 0


def test_a_raw_log_of_wins(tmp_path: Path) -> None:
    for text in ("price\n3\n1\n3\n", "\ufeffprice,bid,campaign\n3,4,x\n1,4,y\n3,3,z\n\n"):
        log = read_price_log(write(tmp_path, text))
        assert log.price.tolist() == [1.0, 3.0] and log.won.tolist() == [1, 2]


def test_a_raw_log_with_losses(tmp_path: Path) -> None:
    log = read_price_log(
        write(tmp_path, "won,bid,price,auction_id\n1,5,2,a\n0,2,,b\n0,2.0,-,c\n0,9,0,d\n1,5,4,e\n")
    )
    assert log.price.tolist() == [2.0, 4.0] and log.won.tolist() == [1, 1]
    assert log.lost_bid.tolist() == [2.0, 9.0] and log.lost.tolist() == [2, 1]


def test_kaplan_meier_by_hand(tmp_path: Path) -> None:
    # At 2: five at risk, one price. At 4: two at risk (the price 4, the bid 9 that lost).
    distribution = price_distribution(
        read_price_log(write(tmp_path, "won,bid,price\n1,5,2\n0,2,\n0,2,\n0,9,\n1,5,4\n"))
    )
    assert distribution.probability_within_table == pytest.approx(1 - 0.8 * 0.5)
    np.testing.assert_allclose(distribution.cumulative, [0.2 / 0.6, 1.0])


def test_without_losses_the_distribution_is_the_empirical_one(tmp_path: Path) -> None:
    distribution = price_distribution(read_price_log(write(tmp_path, TALLIED)))
    assert distribution.probability_within_table is None
    assert distribution.cumulative.tolist() == [0.3, 0.6, 1.0]


def test_kaplan_meier_undoes_the_censoring(tmp_path: Path) -> None:
    generator = np.random.default_rng(7)
    market = np.ceil(generator.gamma(1.6, 60.0, 20_000))
    bid = np.ceil(generator.uniform(0.0, 150.0, 20_000))
    rows = [f"{m},{b},1" if m < b else f",{b},0" for m, b in zip(market, bid, strict=True)]
    log = read_price_log(write(tmp_path, "price,bid,won\n" + "\n".join(rows) + "\n"))
    distribution = price_distribution(log)
    end = log.price[-1]
    assert distribution.probability_within_table == pytest.approx((market <= end).mean(), abs=0.03)
    true_cumulative = np.array([(market <= price).mean() for price in log.price]) / (market <= end).mean()
    assert np.abs(distribution.cumulative - true_cumulative).max() < 0.03
    given_a_win = np.cumsum(log.won) / log.won.sum()
    assert np.abs(given_a_win - true_cumulative).max() > 0.15, "or there was nothing to undo"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        ("cost,a\n1,2\n", "line 1, column 'price': this column is missing; the header has 'cost', 'a'"),
        ("price,a,a\n1,2,3\n", "line 1, column 'a': this column stands twice"),
        ("price,a\n", "no won auction"),
        ("price,a\n1,0\n", "no won auction"),
        ("price,a\n1,2\ncheap,3\n", "line 3, column 'price': must be a number >= 0, got 'cheap'"),
        ("price,a\n1,2\n,3\n", "line 3, column 'price': .*got ''"),
        ("price,a\n1_0,2\n", "line 2, column 'price': .*got '1_0'"),
        ("price,a\n-1,2\n", "line 2, column 'price': .*got '-1'"),
        ("price,a\nnan,2\n", "line 2, column 'price': .*got 'nan'"),
        ("price,a\n1e999,2\n", "line 2, column 'price': .*got '1e999'"),
        ("price,a\n1,two\n", "line 2, column 'a': must be a whole number >= 0, got 'two'"),
        ("price,a\n1,-2\n", "line 2, column 'a': .*got '-2'"),
        ("price,a\n1,2.5\n", "line 2, column 'a': .*got '2.5'"),
        ("price,a\n1,2\n2,2\n1.0,3\n", "line 4, column 'price': price 1 stands twice, first on line 2"),
        ("price,a\n1,2,3\n", "line 2: has 3 fields, the header has 2"),
        ('price,a\n"1,2\n', "not CSV"),
        ("price,won\n1,yes\n", r"line 2, column 'won': must be 1 \(won\) or 0 \(lost\), got 'yes'"),
        ("price,won\n1,1\n,0\n", "line 3, column 'bid': this column is missing"),
        ("price,bid,won\n1,2,1\n,,0\n", "line 3, column 'bid': must be a number >= 0, got ''"),
        ("price,bid\n3,2\n", "line 2, column 'price': price 3 of a won auction is above its bid 2"),
        ("price,bid,won\n,2,0\n", "no won auction"),
        (
            "price,bid,auction_id\n1,2,x\n1,2,y\n1,2,x\n",
            "line 4, column 'auction_id': 'x' stands twice, first on line 2",
        ),
    ],
)
def test_a_malformed_log_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path, out = write(tmp_path, text), tmp_path / "out.json"
    with pytest.raises(ConfigurationError, match=message) as caught:
        calibrate(path, str(out), tmp_path / "report.html")
    assert str(path) in str(caught.value)
    assert sorted(tmp_path.iterdir()) == [path], "nothing half-written"


def test_an_unreadable_log_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(TALLIED.encode())
    for name, content in (
        ("cut.csv.gz", whole[: len(whole) // 2]),
        ("not.csv.gz", TALLIED.encode()),
        ("flipped.csv.gz", whole[:12] + bytes([whole[12] ^ 0xFF]) + whole[13:]),
        ("binary.csv", b"price,a\n1,\xff\xfe\n"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ConfigurationError, match=name):
            read_price_log(path)
    for path in (tmp_path, tmp_path / "none.csv"):
        with pytest.raises(ConfigurationError, match=path.name):
            read_price_log(path)


def test_calibrate_writes_what_a_scenario_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = write(tmp_path, "won,bid,price\n1,5,2\n0,2,\n0,2,\n0,9,\n1,5,4\n", "<log> & co.csv")
    result = calibrate(log, str(tmp_path / "out.json"), tmp_path / "report.html")
    assert json.loads((tmp_path / "out.json").read_text()) == result
    landscape = load_price_landscape(tmp_path / "out.json")
    assert landscape.probability_within_table == pytest.approx(0.6)
    assert landscape.quantile.mean() == pytest.approx(1.0)
    assert len(np.unique(landscape.quantile)) == 2
    summary = capsys.readouterr().out
    assert "2 won, 3 lost" in summary and "Kaplan-Meier" in summary
    report = (tmp_path / "report.html").read_text()
    assert (
        "data:image/png;base64," in report and "&lt;log&gt; &amp; co.csv" in report and "<log>" not in report
    )


def test_calibrate_says_what_it_assumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = write(tmp_path, TALLIED)
    result = calibrate(log)
    assert result["probability_within_table"] == IPINYOU.probability_within_table
    summary = capsys.readouterr().out
    assert "censoring cannot be derived" in summary and "default, iPinYou's 0.213" in summary
    assert "3 wins, raised to the smallest positive price" in summary
    assert calibrate(log, probability_within_table=0.5)["probability_within_table"] == 0.5
    assert "as given" in capsys.readouterr().out
    losses = write(tmp_path, "won,bid,price\n1,5,2\n0,9,\n")
    assert calibrate(losses, probability_within_table=0.9)["probability_within_table"] == 0.9
    assert "as given (the log's losses give 0.5000)" in capsys.readouterr().out


def test_calibrate_to_standard_output_is_one_json_object(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = calibrate(write(tmp_path, TALLIED), "-")
    assert json.loads(capsys.readouterr().out) == result


def test_calibrate_takes_a_log_of_one_price(tmp_path: Path) -> None:
    result = calibrate(write(tmp_path, "price\n4\n4\n"), report=tmp_path / "report.html")
    assert set(result["quantile"]) == {1.0}  # type: ignore[call-overload]
    assert (tmp_path / "report.html").is_file()


@pytest.mark.parametrize("probability", [0.0, -0.1, 1.01, float("nan")])
def test_calibrate_refuses_a_probability_outside_its_range(tmp_path: Path, probability: float) -> None:
    with pytest.raises(ConfigurationError, match="probability_within_table"):
        calibrate(write(tmp_path, TALLIED), probability_within_table=probability)


def test_calibrate_refuses_an_unwritable_output_before_any_other(tmp_path: Path) -> None:
    with pytest.raises(InterludeError, match="cannot write"):
        calibrate(write(tmp_path, TALLIED), str(tmp_path / "out.json"), tmp_path)
    assert not (tmp_path / "out.json").exists()


def test_the_real_log_is_calibrated(data_dir: Path, tmp_path: Path) -> None:
    log = data_dir / "ipinyou" / "winning_price_counts_by_campaign.csv"
    result = calibrate(log, str(tmp_path / "out.json"), tmp_path / "report.html")
    derivation = result["derivation"]
    assert isinstance(derivation, dict)
    assert derivation["won_auctions"] == 12_589_342
    assert derivation["mean_price_log_unit"] == pytest.approx(79.6, abs=0.05)
    assert [derivation[f"price_p{p}_log_unit"] for p in (10, 50, 90, 99)] == [18, 69, 177, 268]
    assert derivation["table_ks_distance"] < 0.02
    np.testing.assert_allclose(load_price_landscape(tmp_path / "out.json").quantile, IPINYOU.quantile)
