"""The false-alarm rate as a setting: thresholds by kind and rate, calibrated on clean flights and kept as data.

`python -m evaluation.watchdog_calibration` writes `configs/watchdog.json`; between the rates written there
thresholds are interpolated in the rate's logarithm, since a detector's run length grows exponentially with its
threshold.
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
from policies.watchdog.signals import KINDS

FALSE_ALARMS_PER_CAMPAIGN_WEEK: Final = 0.25
"""The default: one false alarm in four campaign-weeks, shared equally by all kinds."""


def calibration_file() -> Path:
    """Where thresholds are kept."""
    return configs_directory() / "watchdog.json"


@lru_cache(maxsize=4)
def _read(path: Path, modified_ns: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def thresholds(
    false_alarms_per_campaign_week: float = FALSE_ALARMS_PER_CAMPAIGN_WEEK, kinds: tuple[str, ...] = KINDS
) -> Mapping[str, float]:
    """By kind, at a rate of false alarms of all kinds together.

    Raises:
        ConfigurationError: a rate outside those calibrated; the valid range is told.
    """
    path = calibration_file()
    table = _read(path, path.stat().st_mtime_ns)
    rates = np.array(table["false_alarms_per_campaign_week_and_kind"])
    rate = false_alarms_per_campaign_week / len(kinds)
    if not rates.min() <= rate * 1.000001 or not rate <= rates.max() * 1.000001:
        raise ConfigurationError(
            f"false_alarms_per_campaign_week is {false_alarms_per_campaign_week:g} for {len(kinds)} kinds; "
            f"{path.name} knows rates from {rates.min() * len(kinds):g} to {rates.max() * len(kinds):g}"
        )
    order = np.argsort(rates)
    return {
        kind: float(np.interp(np.log(rate), np.log(rates[order]), np.array(table["thresholds"][kind])[order]))
        for kind in kinds
    }
