from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout

from envs.errors import InterludeError
from envs.scenario import load_scenario
from evaluation.compare import Comparison, compare
from evaluation.metrics import KPIS, OBJECTIVE
from evaluation.rollout import Course
from evaluation.tensorboard import FLIGHT_PREFIX, LAYOUT, SERIES, KpiWriter, write_comparison


def read(folder: Path) -> EventAccumulator:
    """The events of a run."""
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    scenario = load_scenario("quick").model_copy(update={"intervals": 12})
    return compare(["pid"], Course(scenario, "train", num_markets=4))


def test_every_team_is_a_run_of_its_own_with_the_same_tags(comparison: Comparison, tmp_path: Path) -> None:
    runs = write_comparison(comparison, tmp_path, until=100)
    assert len(runs) == len(comparison.standings) == 3
    expected = {*KPIS, *(FLIGHT_PREFIX + tag for tag in SERIES)}
    for folder, standing in zip(runs, comparison.standings, strict=True):
        assert folder.name.startswith(f"quick__{standing.entrant.name}__train-4__s0__")
        events = read(folder)
        assert set(events.Tags()["scalars"]) == expected
        for tag in KPIS:
            level = [(event.step, event.value) for event in events.Scalars(tag)]
            assert [step for step, _ in level] == [0, 100]
            assert {value for _, value in level} == {np.float32(standing.mean(tag))}
        curve = [event.value for event in events.Scalars(FLIGHT_PREFIX + OBJECTIVE)]
        assert curve == pytest.approx(standing.result.series[OBJECTIVE], rel=1e-6)
        histogram = events.Histograms("markets/listeners/health")[0].histogram_value
        assert histogram.num == 4 and sum(histogram.bucket) == 4


def test_the_layout_names_tags_that_exist(tmp_path: Path) -> None:
    with KpiWriter(tmp_path) as writer:
        writer.layout()
    (tensor,) = read(tmp_path).Tensors("custom_scalars__config__")
    layout = Layout.FromString(tensor.tensor_proto.string_val[0])
    assert [category.title for category in layout.category[:-1]] == list(LAYOUT)
    assert {tag for charts in LAYOUT.values() for tags in charts.values() for tag in tags} <= KPIS.keys()
    assert set(SERIES) <= KPIS.keys()


def test_texts_hyperparameters_and_what_is_not_finite(tmp_path: Path) -> None:
    with KpiWriter(tmp_path / "run") as writer:
        writer.text("note", "**hello**")
        writer.json("configuration", {"learning_rate": 0.1})
        writer.hyperparameters({"learning_rate": 0.1, "recipe": "residual", "belief": True})
        writer.scalars({"a": 1.0, "b": float("nan")}, 3)
        writer.histogram("none", [np.nan], 0)
        writer.histogram("some", [1.0, 2.0, np.inf], 0)
    events = read(tmp_path / "run")
    assert events.Tensors("note")[0].tensor_proto.string_val == [b"**hello**"]
    assert b'"learning_rate": 0.1' in events.Tensors("configuration")[0].tensor_proto.string_val[0]
    assert events.Tags()["scalars"] == ["a"]
    assert events.Tags()["histograms"] == ["some"]
    assert [folder.name for folder in tmp_path.iterdir()] == ["run"]  # no stray sub-run


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InterludeError, match="cannot write"):
        KpiWriter(tmp_path / "file" / "run")
