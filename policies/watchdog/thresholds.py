"""The false-alarm rate as a setting: thresholds by kind and rate, calibrated on clean flights, kept as data.

`python -m evaluation.watchdog.calibration` writes `configs/watchdog.json`; between the rates written there
thresholds are interpolated in the rate's logarithm, since a detector's run length grows exponentially with
its threshold.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from envs.errors import ConfigurationError
from envs.paths import configs_directory

FALSE_ALARMS_PER_CAMPAIGN_WEEK: Final = 0.25
"""The default: one false alarm in four campaign-weeks, of all kinds together."""
SHARE: Final[dict[str, float]] = {
    "invalid_traffic": 0.02,
    "rival_surge": 0.46,
    "tracking_outage": 0.02,
    "creative_burn_out": 0.04,
    "overspend": 0.02,
    "frequency_breach": 0.02,
    "dislike_surge": 0.16,
    "silent_agent": 0.12,
    "ctr_drop": 0.12,
    "cpa_breach": 0.02,
}
"""Of the false alarms: most where a false one costs nothing, since its advice is none; less where it pauses a
creative; the least rate that is calibrated for kinds that are plain to see, or that counts hardly show."""


def calibration_file() -> Path:
    """Where thresholds are kept."""
    return configs_directory() / "watchdog.json"


@lru_cache(maxsize=4)
def _read(path: Path, modified_ns: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def calibration() -> dict[str, Any]:
    """All that was calibrated."""
    path = calibration_file()
    return _read(path, path.stat().st_mtime_ns)


def season() -> Mapping[str, list[float]]:
    """By kind, how what is to be expected goes with the hour: coefficients of `signals.harmonics`."""
    found: dict[str, list[float]] = calibration()["season"]
    return found


def thresholds(
    false_alarms_per_campaign_week: float = FALSE_ALARMS_PER_CAMPAIGN_WEEK,
) -> Mapping[str, float]:
    """By kind, at a rate of false alarms of all kinds together.

    Raises:
        ConfigurationError: a rate outside those calibrated; the valid range is told.
    """
    rates = [false_alarms_per_campaign_week * share for share in SHARE.values()]
    known = calibration()["false_alarms_per_campaign_week_and_kind"]
    low, high = min(known) / min(SHARE.values()), max(known) / max(SHARE.values())
    if not low <= false_alarms_per_campaign_week * 1.000001 or not false_alarms_per_campaign_week <= high:
        raise ConfigurationError(
            f"false_alarms_per_campaign_week is {false_alarms_per_campaign_week:g}; "
            f"{calibration_file().name} knows rates from {low:g} to {high:g}"
        )
    return {kind: threshold_at(kind, rate) for kind, rate in zip(SHARE, rates, strict=True)}


def threshold_at(kind: str, rate: float) -> float:
    """One kind's, at a rate of its own false alarms a campaign-week within those calibrated."""
    table = calibration()
    rates = np.array(table["false_alarms_per_campaign_week_and_kind"])
    order = np.argsort(rates)
    levels = np.array(table["thresholds"][kind])[order]
    return float(np.interp(np.log(rate), np.log(rates[order]), levels))
