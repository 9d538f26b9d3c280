"""TensorBoard: the market's KPIs under evaluation's tags, and how learning itself goes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from envs.state import Float
from evaluation.tensorboard import KpiWriter
from training.configuration import TrainingConfiguration

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

    def write(self, record: Mapping[str, Any], bids_usd: Float) -> None:
        """One iteration: KPIs by their own tags, everything else by its group, and a histogram of bids."""
        step = int(record["market_steps"])
        groups = {group: record[group] for group in GROUPS if record.get(group)}
        self._writer.scalars({**record["kpis"], **numbers(groups)}, step)
        self._writer.histogram("auction/bid_usd", bids_usd, step)
        self._writer.flush()

    def close(self) -> None:
        """Closes the file."""
        self._writer.close()


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
