from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format  # type: ignore[import-untyped]
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

from envs.catalogue import SEGMENTS, VERTICALS
from envs.errors import InterludeError
from envs.scenario import load_scenario
from evaluation import projector, tensorboard_runs
from evaluation.compare import compare
from evaluation.replay import Listeners
from evaluation.rollout import Course
from evaluation.tensorboard_runs import write_comparison


def drawn(embeds: bool = True) -> Listeners:
    rng = np.random.default_rng(0)
    affinity = rng.uniform(0.5, 2.0, (2, 3, 5))
    return Listeners(
        predicted=affinity,
        true=affinity,
        segment=rng.integers(0, 4, (2, 5)),
        vertical=rng.integers(0, 8, (2, 3)),
        embedding=rng.normal(size=(2, 5, 4)) if embeds else None,
        taste=rng.normal(size=(2, 3, 4)) if embeds else None,
        plays=rng.integers(0, 900, (2, 5)) if embeds else None,
    )


def test_the_files_are_what_the_projector_reads(tmp_path: Path) -> None:
    told = drawn()
    assert projector.write_projector(tmp_path / "run", told)
    text = (tmp_path / "run" / "projector_config.pbtxt").read_text()
    (embedding,) = text_format.Parse(text, ProjectorConfig()).embeddings
    assert list(embedding.tensor_shape) == [2 * (5 + 3), 4]
    points = np.loadtxt(tmp_path / "run" / embedding.tensor_path, delimiter="\t")
    lines = (tmp_path / "run" / embedding.metadata_path).read_text().splitlines()
    header, *rows = [line.split("\t") for line in lines]
    assert tuple(header) == projector.COLUMNS and len(rows) == len(points) == 16
    assert told.embedding is not None and told.taste is not None and told.plays is not None
    for row, point in zip(rows, points, strict=True):
        kind, market, number, segment, vertical, plays = row
        at = (int(market), int(number))
        if kind == "listener":
            np.testing.assert_allclose(point, told.embedding[at], rtol=1e-5)
            assert (segment, vertical, plays) == (SEGMENTS[told.segment[at]], "", str(told.plays[at]))
        else:
            np.testing.assert_allclose(point, told.taste[at], rtol=1e-5)
            assert (segment, vertical, plays) == ("", VERTICALS[told.vertical[at]], "")


def test_nothing_is_written_for_an_audience_that_embeds_nobody(tmp_path: Path) -> None:
    assert not projector.write_projector(tmp_path / "run", drawn(embeds=False))
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InterludeError, match="cannot write"):
        projector.write_projector(tmp_path / "file", drawn())


def test_a_comparison_writes_it_for_the_teams_that_embed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorboard_runs, "png", lambda draw: bytes(24))  # figures have tests of their own
    scenario = load_scenario("quick").model_copy(update={"intervals": 6})
    comparison = compare(["pid", "listener-aware"], Course(scenario, "train", num_markets=2))
    for folder in write_comparison(comparison, tmp_path):
        written = (folder / projector.CONFIGURATION).exists()
        assert written is ("__listener-aware__" in folder.name)
