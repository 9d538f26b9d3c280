import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from support.markets import tiny
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.metadata import SESSION_START_INFO_TAG
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from envs.scenario import load_scenario
from evaluation import tensorboard_runs
from evaluation.compare import Comparison, compare
from evaluation.metrics import KPIS, OBJECTIVE
from evaluation.report_style import png
from evaluation.rollout import Course
from evaluation.tensorboard import COMPARED, FLIGHT_PREFIX, SERIES
from evaluation.tensorboard_runs import run_name, write_comparison

FIGURES = {
    "bids_and_prices",
    "where_the_money_goes",
    "creatives",
    "one_flight",
    "who_cares",
    "affinity_reliability",
}


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    scenario = load_scenario("quick").model_copy(update={"intervals": 12})
    return compare(["pid"], Course(scenario, "train", num_markets=4))


@pytest.fixture(scope="module")
def folders(comparison: Comparison, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_comparison(comparison, tmp_path_factory.mktemp("logs"), until=100)


@pytest.fixture(scope="module")
def runs(folders: list[Path]) -> list[EventAccumulator]:
    found = [EventAccumulator(str(folder), size_guidance={"images": 0}) for folder in folders]
    for events in found:
        events.Reload()
    return found


def test_every_team_is_one_run_and_none_is_stray(comparison: Comparison, folders: list[Path]) -> None:
    assert len(folders) == len(comparison.standings) == 3
    assert sorted(folders[0].parent.iterdir()) == sorted(folders)
    for folder, standing in zip(folders, comparison.standings, strict=True):
        assert re.fullmatch(
            rf"quick__{standing.entrant.name}__[0-9a-f]{{12}}__s0__\d{{8}}T\d{{6}}Z", folder.name
        )
        assert [child.is_file() for child in folder.iterdir()] == [True]


def test_all_runs_have_the_same_tags(comparison: Comparison, runs: list[EventAccumulator]) -> None:
    every = {*KPIS, *COMPARED, *(FLIGHT_PREFIX + tag for tag in SERIES)}
    for events, standing in zip(runs, comparison.standings, strict=True):
        empty = {tag for tag in KPIS if not np.isfinite(standing.mean(tag))}
        assert all(KPIS[tag].may_be_empty for tag in empty)
        assert set(events.Tags()["scalars"]) == every - empty
        assert events.Tags()["histograms"] == runs[0].Tags()["histograms"]
        assert set(events.Tags()["images"]) == {f"figures/{name}" for name in FIGURES}
        assert events.Tags()["tensors"] == runs[0].Tags()["tensors"]


def test_figures_are_those_of_the_comparison(comparison: Comparison, runs: list[EventAccumulator]) -> None:
    for events, standing in zip(runs, comparison.standings, strict=True):
        for tag in ("spend/spend_usd", OBJECTIVE):
            level = [(event.step, event.value) for event in events.Scalars(tag)]
            assert level == [(step, np.float32(standing.mean(tag))) for step in (0, 100)]
        curve = [event.value for event in events.Scalars(FLIGHT_PREFIX + OBJECTIVE)]
        assert curve == pytest.approx(standing.result.series[OBJECTIVE], rel=1e-6)
        histogram = events.Histograms("markets/listeners/health")[0].histogram_value
        assert histogram.num == 4 and sum(histogram.bucket) == 4
        lift = standing.lift.get(comparison.baseline)
        expected = 0.0 if lift is None else lift.estimate
        assert events.Scalars(COMPARED[0])[0].value == pytest.approx(expected, rel=1e-6)
    best = comparison.standing(comparison.reference)
    events = runs[comparison.standings.index(best)]
    assert events.Scalars(COMPARED[1])[0].value == 1.0


def test_bids_are_those_of_the_flights_played_once_more(
    comparison: Comparison, runs: list[EventAccumulator]
) -> None:
    for events, standing in zip(runs, comparison.standings, strict=True):
        paid = events.Histograms("auction/paid_usd")[0].histogram_value
        assert paid.sum == pytest.approx(standing.result.metrics["spend/spend_usd"].sum())
        bids = events.Histograms("auction/bid_usd")[0].histogram_value
        assert 0 <= bids.min <= bids.max and bids.num > paid.num


def test_hyperparameters_and_configuration_name_the_team(
    comparison: Comparison, runs: list[EventAccumulator]
) -> None:
    for events, standing in zip(runs, comparison.standings, strict=True):
        data = HParamsPluginData.FromString(
            events.SummaryMetadata(SESSION_START_INFO_TAG).plugin_data.content
        )
        told = data.session_start_info.hparams
        assert told["team"].string_value == standing.entrant.name
        assert told["markets"].number_value == 4
        text = events.Tensors("configuration")[0].tensor_proto.string_val[0]
        assert f'"team": "{standing.entrant.name}"'.encode() in text


def test_the_name_tells_configurations_apart(comparison: Comparison) -> None:
    names = {run_name(comparison, standing, "now").split("__")[2] for standing in comparison.standings}
    assert len(names) == len(comparison.standings)
    first = comparison.standings[0]
    assert run_name(comparison, first, "now") == run_name(comparison, first, "now")


def test_where_people_have_journeys_credit_and_their_paths_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = tiny(journeys={"people": 16})
    compared = compare(["pid"], Course(scenario, "train", num_markets=2))
    monkeypatch.setattr(  # the others are drawn above
        tensorboard_runs, "png", lambda draw: png(draw) if isinstance(draw, partial) else bytes(24)
    )
    for folder in write_comparison(compared, tmp_path, until=100):
        events = EventAccumulator(str(folder), size_guidance={"images": 0})
        events.Reload()
        assert {"figures/credit", "figures/paths"} <= {*events.Tags()["images"]}
