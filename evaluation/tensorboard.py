"""Writes KPIs for TensorBoard, without torch or tensorflow: the same tags from training and evaluation.

Whole-flight KPIs stand under their own tags (`market/objective_usd`), so that a scripted team's run lies as
a level line over a learned team's curve. Under `flight/` the step is the interval of the flight.
"""

from __future__ import annotations

import json
import re
import struct
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from envs.errors import InterludeError
from envs.output import plain
from evaluation.metrics import KPIS, OBJECTIVE, PARTS

FLIGHT_PREFIX: Final = "flight/"
SERIES: Final = tuple(
    tag
    for tag in KPIS
    if not tag.startswith("fairness/")
    and not KPIS[tag].may_be_empty
    and tag not in {"auction/cpa_usd", "spend/wasted_fraction", "listeners/listening_fraction"}
)
"""KPIs worth a curve over the flight."""
COMPARED: Final = ("comparison/lift_over_baseline", "comparison/fraction_of_reference")
"""What only a comparison knows of a team, as level lines beside its KPIs."""
LAYOUT: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "What it was worth": {
        "objective, USD": (OBJECTIVE,),
        "its parts, USD": PARTS,
        "lift over the baseline": COMPARED[:1],
        "fraction of the reference": COMPARED[1:],
    },
    "Advertisers": {
        "value, USD": ("advertiser/value_usd",),
        "return on spend": ("advertiser/return_on_spend",),
        "CPA / target CPA": ("advertiser/cpa_to_target",),
    },
    "Money": {
        "spend / budget": ("spend/budget_fraction",),
        "wasted / spend": ("spend/wasted_fraction",),
        "pacing error": ("spend/pacing_error",),
        "CPM and CPA, USD": ("auction/cpm_usd", "auction/cpa_usd"),
        "wins / bids, price / bid": ("auction/win_rate", "auction/price_to_bid"),
    },
    "Listeners": {
        "completion rate": ("response/completion_rate",),
        "skips and dislikes": ("response/skip_rate", "response/dislike_rate"),
        "relevance": ("listeners/relevance",),
        "health and fatigue": ("listeners/health", "listeners/fatigue"),
        "frequency": ("listeners/frequency",),
    },
    "Creatives": {
        "format mix": ("creative/audio_share", "creative/video_share", "creative/display_share"),
        "entropy": ("creative/entropy",),
    },
    "Watchdog": {
        "alerts and incidents": ("monitor/alerts", "monitor/incidents"),
        "precision and recall": ("monitor/precision", "monitor/recall"),
        "delay, intervals": ("monitor/delay",),
    },
}
"""Charts of the custom-scalars page: page > chart > tags."""


class KpiWriter:
    """Writes one TensorBoard run. Close it, or use it as a context manager."""

    def __init__(self, logdir: str | Path) -> None:
        """Opens an event file in a run's folder, which is made.

        Raises:
            InterludeError: the folder cannot be written.
        """
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        try:
            Path(logdir).mkdir(parents=True, exist_ok=True)
            self._file = EventFileWriter(str(logdir))
        except OSError as error:
            raise InterludeError(f"cannot write {logdir}: {error.strerror or error}") from error

    def __enter__(self) -> KpiWriter:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the file."""
        self.close()

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """One number per tag at a step; what is not finite is left out."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        finite = {tag: float(value) for tag, value in values.items() if np.isfinite(value)}
        self._add(Summary(value=[Summary.Value(tag=t, simple_value=v) for t, v in finite.items()]), step)

    def level(self, values: Mapping[str, float], until: int) -> None:
        """A level line per tag, from step 0 to `until`: a fixed team beside a training curve."""
        for step in sorted({0, until}):
            self.scalars(values, step)

    def histogram(self, tag: str, values: ArrayLike, step: int, bins: int = 40) -> None:
        """A histogram of the finite values."""
        from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary

        array = np.asarray(values, np.float64).ravel()
        array = array[np.isfinite(array)]
        if not array.size:
            return
        counts, edges = np.histogram(array, bins)
        proto = HistogramProto(
            min=array.min(),
            max=array.max(),
            num=array.size,
            sum=array.sum(),
            sum_squares=(array**2).sum(),
            bucket_limit=edges.tolist(),
            bucket=[0.0, *counts.tolist()],  # a bucket ends at its limit: the first lies below all values
        )
        self._add(Summary(value=[Summary.Value(tag=tag, histo=proto)]), step)

    def image(self, tag: str, png: bytes, step: int = 0) -> None:
        """A picture, as the bytes of a PNG file."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        width, height = struct.unpack(">II", png[16:24])  # the header that every PNG begins with
        picture = Summary.Image(width=width, height=height, colorspace=3, encoded_image_string=png)
        self._add(Summary(value=[Summary.Value(tag=tag, image=picture)]), step)

    def text(self, tag: str, text: str) -> None:
        """A text, read as Markdown: a configuration, a note."""
        from tensorboard.plugins.text.metadata import create_summary_metadata

        metadata = create_summary_metadata(display_name=tag, description="")
        self._add(_tensor(tag, text.encode(), metadata, shape=(1,)), 0)

    def json(self, tag: str, value: object) -> None:
        """Anything that JSON can hold, as a text."""
        self.text(tag, f"```json\n{json.dumps(plain(value), indent=2)}\n```")

    def hyperparameters(self, values: Mapping[str, bool | float | str]) -> None:
        """What the HPARAMS page compares runs by; written into this run, not into a stray sub-run."""
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb

        self._add(hparams_pb(dict(values)), 0)

    def layout(self) -> None:
        """Charts of the custom-scalars page; one run of a log folder suffices."""
        from tensorboard.plugins.custom_scalar import layout_pb2
        from tensorboard.plugins.custom_scalar.metadata import CONFIG_SUMMARY_TAG, create_summary_metadata

        def chart(title: str, tags: Sequence[str]) -> Any:
            exact = [f"^{re.escape(tag)}$" for tag in tags]
            return layout_pb2.Chart(title=title, multiline=layout_pb2.MultilineChartContent(tag=exact))

        pages: dict[str, dict[str, tuple[str, ...]]] = dict(LAYOUT)
        pages["Over the flight, by interval"] = {tag: (FLIGHT_PREFIX + tag,) for tag in SERIES}
        categories = [
            layout_pb2.Category(title=page, chart=[chart(title, tags) for title, tags in charts.items()])
            for page, charts in pages.items()
        ]
        layout = layout_pb2.Layout(category=categories)
        self._add(_tensor(CONFIG_SUMMARY_TAG, layout.SerializeToString(), create_summary_metadata()), 0)

    def flush(self) -> None:
        """Hands everything to the file."""
        self._file.flush()

    def close(self) -> None:
        """Flushes and closes the file."""
        self._file.close()

    def _add(self, summary: Any, step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._file.add_event(Event(wall_time=time.time(), step=step, summary=summary))


def _tensor(tag: str, content: bytes, metadata: Any, shape: tuple[int, ...] = ()) -> Any:
    """A summary that holds one string."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

    dimensions = [TensorShapeProto.Dim(size=size) for size in shape]
    tensor = TensorProto(
        dtype="DT_STRING", string_val=[content], tensor_shape=TensorShapeProto(dim=dimensions)
    )
    return Summary(value=[Summary.Value(tag=tag, metadata=metadata, tensor=tensor)])
