"""The clock, simulated: a week of opportunities, hour by hour."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from envs.calibration.findings import Findings, curve
from envs.calibration.laboratory import Laboratory, scenario
from envs.inventory import first_weekday


@cache
def day() -> Findings:
    """A week of 64 markets in hours: where the day's peaks and troughs are."""
    hours = 7 * 24
    kind = scenario(
        campaigns=1,
        intervals=hours,
        intervals_per_day=24,
        opportunities_per_interval=500,
        listeners={"count": 64},
    )
    laboratory = Laboratory(kind, 64)
    volume = np.array([outcome.opportunities.sum((1, 2)) for outcome in laboratory.flight()])
    since, hour = np.divmod(np.arange(hours), 24)
    weekend = (first_weekday(laboratory.truth.seed) + since[:, None]) % 7 >= 5
    of_hour = np.broadcast_to(hour[:, None], volume.shape)

    def mean(days: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.array([volume[days & (of_hour == h)].mean() / volume.mean() for h in range(24)])

    working, free, whole = mean(~weekend), mean(weekend), mean(np.ones_like(weekend))
    morning = int(6 + working[6:12].argmax())
    figures = {
        "trough_hour": float(working.argmin()),
        "morning_hour": float(morning),
        "lunch_dip": float(working[11:15].min() / working[morning]),
        "weekend_lunch": float(free[12] / free[10]),
        "main_hour": float(working.argmax()),
        "peak_to_trough": float(whole.max() / whole.min()),
    }
    curves = {"weekday": curve(range(24), working), "weekend": curve(range(24), free)}
    return Findings(figures, curves)
