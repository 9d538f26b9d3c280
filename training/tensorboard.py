"""TensorBoard: the market's KPIs under evaluation's tags, and how learning itself goes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from envs.state import Float
from training.configuration import TrainingConfiguration

HPARAMS_METRIC = "development/objective_usd"


class RunWriter:
    """Writes a run's event files; the horizontal axis is market-intervals played."""

    def __init__(self, run: Path, configuration: TrainingConfiguration, market_steps: int) -> None:
        """`market_steps`: where a resumed run goes on; what an interrupted one wrote behind it is hidden."""
        self._writer = SummaryWriter(
            str(run / "tensorboard"), purge_step=market_steps + 1 if market_steps else None
        )
        self._configuration = configuration
        if not market_steps:
            self._writer.add_text("configuration", f"```yaml\n{configuration.to_yaml()}```", 0)

    def write(self, record: Mapping[str, Any], bids_usd: Float) -> None:
        """One iteration: KPIs by their own tags, everything else by its group, and a histogram of bids."""
        step = int(record["market_steps"])
        for tag, value in record["kpis"].items():
            self._writer.add_scalar(tag, value, step)
        for group in ("learner", "throughput", "development"):
            for tag, value in flattened(record.get(group) or {}):
                self._writer.add_scalar(f"{group}/{tag}", value, step)
        if len(bids_usd):
            self._writer.add_histogram("auction/bid_usd", bids_usd, step)
        self._writer.flush()

    def close(self, final: float | None) -> None:
        """Ends the files with the run's hyperparameters and its final objective."""
        settings = {
            "/".join(path): value for path, value in _leaves(self._configuration.model_dump(mode="json"))
        }
        if final is not None:
            self._writer.add_hparams(settings, {HPARAMS_METRIC: final}, run_name=".")
        self._writer.close()


def flattened(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    """Numbers of a nested mapping by their path, joined by slashes."""
    found: list[tuple[str, float]] = []
    for name, value in tree.items():
        if isinstance(value, Mapping):
            found += flattened(value, f"{prefix}{name}/")
        elif isinstance(value, int | float):
            found.append((f"{prefix}{name}", float(value)))
    return found


def _leaves(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Settings of a nested mapping, as TensorBoard's hyperparameters want them."""
    found: list[tuple[tuple[str, ...], Any]] = []
    for name, value in tree.items():
        if isinstance(value, Mapping):
            found += _leaves(value, (*path, name))
        elif name != "description":
            plain = value if isinstance(value, bool | int | float | str) else str(value)
            found.append(((*path, name), plain))
    return found
