"""Listeners and campaigns as points in TensorBoard's embedding projector: plain files, read without torch.

A listener's point is its embedding, a campaign's the taste that its audience agent believes in: the larger
their product, the more the listener should care.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from envs.catalogue import SEGMENTS, VERTICALS
from envs.errors import InterludeError
from envs.state import Float
from evaluation.replay import Listeners

CONFIGURATION: Final = "projector_config.pbtxt"
TENSORS, METADATA = "embedding.tsv", "embedding_metadata.tsv"
COLUMNS: Final = ("kind", "market", "number", "segment", "vertical", "plays")


def write_projector(folder: Path, listeners: Listeners) -> bool:
    """Writes the points of a run into its folder; False, and nothing, where the audience embeds nobody.

    Raises:
        InterludeError: the folder cannot be written.
    """
    if listeners.embedding is None or listeners.taste is None or listeners.plays is None:
        return False
    points: list[Float] = []
    rows: list[Sequence[object]] = []
    for market, (people, tastes) in enumerate(zip(listeners.embedding, listeners.taste, strict=True)):
        for number, point in enumerate(people):
            segment = SEGMENTS[listeners.segment[market, number]]
            points.append(point)
            rows.append(("listener", market, number, segment, "", listeners.plays[market, number]))
        for number, point in enumerate(tastes):
            points.append(point)
            rows.append(("campaign", market, number, "", VERTICALS[listeners.vertical[market, number]], ""))
    values = np.array(points)
    files = {
        TENSORS: "".join("\t".join(f"{x:.6g}" for x in row) + "\n" for row in values),
        METADATA: "".join("\t".join(map(str, row)) + "\n" for row in (COLUMNS, *rows)),
        CONFIGURATION: _configuration(values.shape),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InterludeError(f"cannot write {folder}: {error.strerror or error}") from error
    return True


def _configuration(shape: tuple[int, ...]) -> str:
    """The projector's configuration, as its protocol buffer is written in text."""
    from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

    configuration = ProjectorConfig()
    embedding = configuration.embeddings.add()
    embedding.tensor_name, embedding.tensor_path = "listeners and campaigns", TENSORS
    embedding.metadata_path = METADATA
    embedding.tensor_shape.extend(shape)
    return str(configuration)  # a message's text is its text format
