from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout

from envs.errors import InterludeError
from evaluation.metrics import KPIS
from evaluation.report_style import canvas, png
from evaluation.tensorboard import COMPARED, LAYOUT, SERIES, KpiWriter


def read(folder: Path) -> EventAccumulator:
    """The events of a run."""
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def test_the_layout_names_tags_that_exist(tmp_path: Path) -> None:
    with KpiWriter(tmp_path) as writer:
        writer.layout()
    (tensor,) = read(tmp_path).Tensors("custom_scalars__config__")
    layout = Layout.FromString(tensor.tensor_proto.string_val[0])
    assert [category.title for category in layout.category[:-1]] == list(LAYOUT)
    assert {tag for charts in LAYOUT.values() for tags in charts.values() for tag in tags} <= {
        *KPIS,
        *COMPARED,
    }
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


def test_a_picture_comes_back_with_its_size(tmp_path: Path) -> None:
    drawn = png(lambda: canvas(4.0, 2.0), dpi=50)
    with KpiWriter(tmp_path) as writer:
        writer.image("figures/one", drawn)
    (picture,) = read(tmp_path).Images("figures/one")
    assert (picture.width, picture.height) == (200, 100)
    assert picture.encoded_image_string == drawn
