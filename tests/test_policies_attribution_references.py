"""Classical models against libraries, on the sample of paths; and their figures where these are missing.

The libraries are the extra `attribution-references`; the figures of REFERENCE are what they told, by

    ChannelAttribution.heuristic_models(paths, "path", "total_conversions", sep=">")
    ChannelAttribution.markov_model(paths, "path", "total_conversions", var_null="total_null", order=1,
                                    sep=">", nsim_start=1e6, conv_par=.01, seed=1, ncore=1)
    mta.MTA(paths, allow_loops=True, add_timepoints=False)
        .position_based(normalize=False).shapley(normalize=False)

of ChannelAttribution 2.2.5 and mta 0.0.9. The Markov model of the former is a simulation.
"""

import csv
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policies.attribution.journeys import Journeys
from policies.attribution.models import make_model

CHANNELS = "alpha beta delta epsilon eta gamma iota kappa lambda mi theta zeta".split()
REFERENCE = {
    "first": [6308, 2831, 1, 99, 3164, 165, 4606, 74, 902, 2, 1606, 27],
    "last": [8447, 989, 5, 531, 4167, 92, 3355, 230, 1207, 2, 653, 107],
    "linear": [
        *(7574.718594, 2083.500145, 1.725, 272.170438, 3539.951157, 121.041639),
        *(3857.096221, 137.964078, 1035.257572, 2.222222, 1022.801394, 136.551540),
    ],
    "position": [
        *(7444.823759, 1969.766179, 2.586667, 301.050233, 3618.796149, 125.240911),
        *(3944.948166, 147.459557, 1046.903901, 2.057143, 1092.744472, 88.622864),
    ],
    "shapley": [
        *(7627.944048, 1982.739286, 2.292857, 374.677381, 3613.655952, 138.185714),
        *(3505.044048, 159.057143, 987.782143, 2.666667, 1190.963095, 199.991667),
    ],
    "markov": [
        *(5367.832530, 2526.664434, 4.232889, 588.212856, 3343.664947, 173.072254),
        *(3870.447999, 273.074260, 1286.480829, 1.322778, 1971.309380, 378.684844),
    ],
}


@pytest.fixture(scope="module")
def paths_file(data_dir: Path) -> Path:
    file = data_dir / "attribution-paths" / "paths.csv.gz"
    if not file.is_file():
        pytest.skip(f"no sample of paths: {file} does not exist")
    return file


@pytest.fixture(scope="module")
def journeys(paths_file: Path) -> Journeys:
    with gzip.open(paths_file, "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    paths = [[CHANNELS.index(channel) for channel in row["path"].split(" > ")] for row in rows]
    bought, not_bought = (
        np.array([int(row[column]) for row in rows]) for column in ("total_conversions", "total_null")
    )
    which = np.repeat(np.arange(len(rows)), bought + not_bought)
    first = np.repeat(np.cumsum(bought + not_bought) - bought - not_bought, bought + not_bought)
    converted = np.arange(len(which)) - first < bought[which]
    length = np.array([len(path) for path in paths])[which]
    offset = np.concatenate([[0], np.cumsum(length)])
    place = np.arange(offset[-1]) - np.repeat(offset[:-1], length)
    return Journeys(
        offset=offset,
        cell=np.concatenate([paths[row] for row in which]),
        hour=place.astype(np.float64),
        clicked=np.ones(len(place), np.bool_),
        held_out=np.zeros(len(place), np.bool_),
        conversion_hour=np.where(converted, length - 1.0, np.nan),
        value_usd=np.ones(len(which)),
    )


def told_by(name: str, journeys: Journeys) -> np.ndarray:
    return make_model(name).credit(journeys, len(CHANNELS)).conversions


@pytest.mark.parametrize("name", [name for name in REFERENCE if name != "markov"])
def test_classical_models_agree_with_the_figures_of_libraries(name: str, journeys: Journeys) -> None:
    np.testing.assert_allclose(told_by(name, journeys), REFERENCE[name], rtol=1e-6)


def test_markov_removal_agrees_with_a_simulated_chain(journeys: Journeys) -> None:
    told, reference = told_by("markov", journeys), np.array(REFERENCE["markov"])
    assert told.sum() == pytest.approx(reference.sum())
    np.testing.assert_allclose(told, reference, rtol=0.01, atol=12.0)


@pytest.fixture(scope="module")
def table(paths_file: Path) -> Any:
    return pytest.importorskip("pandas", reason="not installed").read_csv(paths_file)


def test_channel_attribution_tells_these_figures(table: Any) -> None:
    library = pytest.importorskip(
        "ChannelAttribution", reason="the extra attribution-references is not installed"
    )
    told = library.heuristic_models(table, "path", "total_conversions", sep=">", flg_pro=False)
    told = told.set_index("channel_name").loc[CHANNELS]
    for name in ("first", "last", "linear"):
        np.testing.assert_allclose(told[f"{name}_touch"], REFERENCE[name], rtol=1e-6)
    chain = library.markov_model(
        table,
        *("path", "total_conversions"),
        **{"var_null": "total_null", "order": 1, "sep": ">", "nsim_start": 1e5, "seed": 1, "ncore": 1},
        **{"verbose": False, "flg_pro": False},
    )
    chain = chain.set_index("channel_name").loc[CHANNELS, "total_conversions"]
    np.testing.assert_allclose(chain, REFERENCE["markov"], rtol=0.03, atol=40.0)


def test_mta_tells_these_figures(table: Any) -> None:
    library = pytest.importorskip("mta.mta", reason="the extra attribution-references is not installed")
    told = library.MTA(table, allow_loops=True, add_timepoints=False)
    told.first_touch(normalize=False).last_touch(normalize=False).linear("proportional", normalize=False)
    told.position_based(normalize=False)
    for name, theirs in {"first": "first_touch", "last": "last_touch", "position": "pos_based"}.items():
        figures = [told.attribution[theirs][channel] for channel in CHANNELS]
        np.testing.assert_allclose(figures, REFERENCE[name], rtol=1e-6)
    figures = [told.attribution["linear"][channel] for channel in CHANNELS]
    np.testing.assert_allclose(figures, REFERENCE["linear"], rtol=1e-6)


@pytest.mark.slow
def test_mta_tells_these_shapley_values(table: Any) -> None:
    """Over all coalitions: 20 seconds."""
    library = pytest.importorskip("mta.mta", reason="the extra attribution-references is not installed")
    told = library.MTA(table, allow_loops=True, add_timepoints=False).shapley(normalize=False)
    figures = [told.attribution["shapley"][channel] for channel in CHANNELS]
    np.testing.assert_allclose(figures, REFERENCE["shapley"], rtol=1e-6)
