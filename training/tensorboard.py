"""TensorBoard: the market's KPIs under evaluation's tags, and how learning itself goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from envs.state import Float
from evaluation.tensorboard import KpiWriter
from training.configuration import TrainingConfiguration
from training.rollout import Rollout

GROUPS = ("learner", "throughput", "development", "runners")
"""Parts of an iteration's record that are written under their own names."""


class RunWriter:
    """Writes a run's event files; the horizontal axis is market-intervals played."""

    def __init__(self, run: Path, configuration: TrainingConfiguration, *, resumed: bool) -> None:
        """Opens an event file; a resumed run gets one more in the same folder."""
        self._writer = KpiWriter(run / "tensorboard")
        if not resumed:
            self._writer.layout()
            self._writer.text("configuration", f"```yaml\n{configuration.to_yaml()}```")
            self._writer.hyperparameters(hyperparameters(configuration))

    def write(self, record: Mapping[str, Any], rollouts: Sequence[Rollout]) -> None:
        """One iteration: KPIs by their own tags, everything else by its group, and histograms."""
        step = int(record["market_steps"])
        groups = {group: record[group] for group in GROUPS if record.get(group)}
        self._writer.scalars({**record["kpis"], **numbers(groups)}, step)
        for tag, values in histograms(rollouts).items():
            self._writer.histogram(tag, values, step)
        self._writer.flush()

    def close(self) -> None:
        """Closes the file."""
        self._writer.close()


def histograms(rollouts: Sequence[Rollout]) -> dict[str, Float]:
    """What was bid in USD, and what learned actors chose: arms, and residuals of bids in their own scale."""
    values = {"auction/bid_usd": np.concatenate([r.bids_usd for r in rollouts])}
    for tag, column in (("creative/arm", "arm"), ("bidding/residual", "action")):
        chosen = [r.columns[column].reshape(-1) for r in rollouts if column in r.columns]
        if chosen:
            values[tag] = np.concatenate(chosen).astype(np.float64)
    return values


def numbers(tree: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Numbers of a nested mapping by their path, joined by slashes."""
    found: dict[str, float] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            found |= numbers(value, f"{prefix}{name}/")
        elif isinstance(value, int | float):
            found[prefix + name] = float(value)
    return found


def hyperparameters(configuration: TrainingConfiguration) -> dict[str, bool | float | str]:
    """Settings by their path, as TensorBoard's HPARAMS page compares runs by them."""

    def leaves(tree: Mapping[str, Any], prefix: str) -> dict[str, bool | float | str]:
        found: dict[str, bool | float | str] = {}
        for name, value in tree.items():
            if isinstance(value, Mapping):
                found |= leaves(value, f"{prefix}{name}.")
            else:
                found[prefix + name] = value if isinstance(value, bool | int | float) else str(value)
        return found

    return leaves(configuration.model_dump(mode="json", exclude={"description"}), "")
